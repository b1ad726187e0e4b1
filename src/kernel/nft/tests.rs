use super::model::{Family, Rule, Term};
use super::*;
use crate::packet::conntrack::FateMask;
use crate::packet::fate::{FateLabels, FateStore};

fn gate(table: &GateTable, way: Installed) -> Vec<Rule> {
    table.chains(way.mode, way.balance).into_iter().find(|chain| chain.name == model::GATE).unwrap().rules
}

#[test]
fn queue_rules_match_the_way() {
    let table = GateTable::default();
    let one = GateTable { queues: Queues { first: 9, count: 1 }, ..table.clone() };
    let off = GateTable { queueing: false, ..table.clone() };
    let cases =
        [(&table, WAYS[0], 5), (&table, WAYS[1], 1), (&table, WAYS[2], 1), (&one, WAYS[0], 1), (&off, WAYS[0], 0)];
    for (table, way, expected) in cases {
        let rules = gate(table, way);
        let queues = |term: &Term| matches!(term, Term::QueueByAddresses { .. } | Term::QueueByConnection { .. });
        let queueing = rules.iter().filter(|rule| rule.terms.iter().any(queues)).count();
        assert_eq!(queueing, expected, "{way:?} {table:?}");
        let offered = rules.iter().any(|rule| rule.terms.contains(&Term::Count(model::Counter::Offered)));
        assert_eq!(offered, table.queueing);
        let aside = rules.iter().any(|rule| rule.terms.contains(&Term::Count(model::Counter::Aside)));
        assert_eq!(aside, !table.queueing);
    }
}

#[test]
fn nothing_slips_through_while_queueing() {
    for way in WAYS {
        let rules = gate(&GateTable::default(), way);
        let last = rules.last().unwrap();
        assert!(matches!(last.terms.as_slice(), [Term::QueueByAddresses { .. }]), "{last}");
    }
}

#[test]
fn fate_stands_before_the_queue_and_touches_only_its_bits() {
    for mask in [0x0700_0000, 0x3, 0xc000_0000, 0xff00] {
        let table = GateTable { fate: FateMask::new(mask).unwrap().into(), generation: 3, ..GateTable::default() };
        let rules = gate(&table, WAYS[0]);
        let offered = rules.iter().position(|rule| rule.terms.contains(&Term::Count(model::Counter::Offered))).unwrap();
        for (index, rule) in rules.iter().enumerate() {
            for term in &rule.terms {
                if let Term::CtMark { mask: bits, value } = *term {
                    assert_eq!((bits & !mask, value & !bits), (0, 0), "{rule}");
                    assert!(index < offered);
                }
            }
        }
    }
}

#[test]
fn labels_are_a_store_like_the_mark_and_need_a_rule_that_sets_them() {
    let place = FateLabels::new(16).unwrap();
    let table = GateTable { fate: FateStore::Labels(place), generation: 3, ..GateTable::default() };
    let rules = gate(&table, WAYS[0]);
    let texts: Vec<String> = rules.iter().map(Rule::to_string).collect();
    assert!(texts.iter().any(|text| text.starts_with("ct label & (16|17) == (17) counter name \"fate_dropped\" drop")));
    assert!(texts.iter().any(|text| text.contains("30|31) == (16|18|19) counter name \"fate_passed\" accept")));
    assert!(!texts.iter().any(|text| text.contains("ct mark")), "{texts:?}");
    let sets = |table: &GateTable| {
        let chains = table.chains(WAYS[0].mode, WAYS[0].balance);
        chains.iter().flat_map(|chain| &chain.rules).filter(|rule| rule.terms.contains(&Term::SetLabels)).count()
    };
    assert_eq!((sets(&table), sets(&GateTable::default())), (1, 0));
}

#[test]
fn the_table_says_which_rules_are_in_force() {
    let table = GateTable { generation: 77, rules_hash: 0x00ab_cdef_0123_4567, ..GateTable::default() };
    let comments: Vec<_> = gate(&table, WAYS[0]).into_iter().map(|rule| rule.comment).collect();
    let read: Vec<_> = comments.iter().filter_map(|comment| model::rules_in_comment(comment)).collect();
    assert_eq!(read, [(77, 0x00ab_cdef_0123_4567)]);
    for comment in ["", "cleared by the rules in force", "cleared by generation x of the rules (0)", "condemned"] {
        assert_eq!(model::rules_in_comment(comment), None, "{comment}");
    }
}

#[test]
fn the_flowtable_is_fed_before_cleared_packets_are_accepted() {
    let table = GateTable { flowtable: vec!["lan".to_owned(), "wan".to_owned()], ..GateTable::default() };
    let texts: Vec<String> = gate(&table, WAYS[0]).iter().map(Rule::to_string).collect();
    let at = |what: &str| texts.iter().position(|text| text.contains(what)).unwrap();
    assert_eq!(at("flow add @cleared counter name \"fate_offloaded\"") + 1, at("\"fate_passed\" accept"), "{texts:?}");
    assert!(print(&table).contains("devices = { \"lan\", \"wan\" }"));
    assert!(!print(&GateTable::default()).contains("flow"));
}

#[test]
fn terms_in_nft_syntax() {
    let queues = Queues { first: 7400, count: 4 };
    let cases = [
        (Term::CtMark { mask: 0x300, value: 0x100 }, "ct mark & 0x00000300 == 0x00000100"),
        (Term::L4Proto(&[6]), "meta l4proto tcp"),
        (Term::L4Proto(&[6, 58, 200]), "meta l4proto { tcp, icmpv6, 200 }"),
        (Term::Blocked(Family::Ipv6, model::Side::Source), "ip6 saddr @block6"),
        (Term::Blocked(Family::Ipv4, model::Side::Destination), "ip daddr @block4"),
        (
            Term::QueueByConnection { family: Family::Ipv6, ports: false, queues },
            "queue flags bypass to jhash ct original ip6 saddr . ct original ip6 daddr mod 4 offset 7400",
        ),
        (Term::QueueByAddresses { mode: QueueMode::NftQueue, queues }, "queue flags bypass to 7400-7403"),
        (
            Term::QueueByAddresses { mode: QueueMode::NftQueue, queues: Queues { first: 3, count: 1 } },
            "queue flags bypass to 3",
        ),
    ];
    for (term, text) in cases {
        assert_eq!(term.to_string(), text);
    }
}

#[test]
fn comments_fit_libnftnl_and_nft() {
    for hook in [Hook::Forward, Hook::Host, Hook::Prerouting] {
        for way in WAYS {
            let table = GateTable { hook, ..GateTable::default() };
            for chain in table.chains(way.mode, way.balance) {
                for rule in chain.rules {
                    assert!(rule.comment.len() < 128 && !rule.comment.contains(['"', '\0']), "{rule}");
                }
            }
        }
    }
}

#[test]
fn queue_numbers_end_at_65535() {
    for (first, count, fits) in
        [(0, 1, true), (65_535, 1, true), (65_535, 2, false), (0, 0, false), (65_000, 536, true)]
    {
        assert_eq!(Queues { first, count }.check().is_ok(), fits, "{first} {count}");
    }
}

/// The files for an admin are what `install --print` prints: `TIDEGATE_BLESS=1 cargo test shipped` writes them.
#[test]
fn shipped_files_are_what_print_prints() {
    for (hook, file) in [(Hook::Forward, "forward"), (Hook::Host, "host"), (Hook::Prerouting, "prerouting")] {
        let printed = print(&GateTable { hook, ..GateTable::default() });
        let path = format!("{}/nft/{file}.nft", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("TIDEGATE_BLESS").is_some() {
            std::fs::write(&path, &printed).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), printed, "{path}");
    }
}
