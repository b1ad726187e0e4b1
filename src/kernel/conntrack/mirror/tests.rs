use proptest::prelude::*;

use super::view::tcp;
use super::*;
use crate::packet::conntrack::{CtStatus, Fate, TcpState};
use crate::packet::fate::{FateLabels, FateStore};

const NOW: Timestamp = Timestamp { micros: 1_000_000_000 };

fn tuple(protocol: u8, src: &str, src_port: u16, dst: &str, dst_port: u16) -> Tuple {
    Tuple { src: src.parse().unwrap(), dst: dst.parse().unwrap(), protocol, src_port, dst_port }
}

/// A confirmed UDP entry of client port `port`: its destination and source changed as asked.
fn entry(port: u16, dnat: bool, snat: bool, id: u32) -> Conntrack {
    let orig = tuple(17, "10.0.0.1", port, "192.0.2.1", 53);
    let (server, server_port) = if dnat { ("10.1.0.2", 5300) } else { ("192.0.2.1", 53) };
    let (client, client_port) = if snat { ("10.1.0.9", port ^ 0x8000) } else { ("10.0.0.1", port) };
    let mut entry = Conntrack::of_tuples(0, orig, tuple(17, server, server_port, client, client_port));
    (entry.id, entry.status) = (ConntrackId(id), CtStatus(CtStatus::CONFIRMED));
    entry
}

/// The tuple that a packet of the entry shows from this view.
fn packet(entry: &Conntrack, view: View, direction: Direction) -> Tuple {
    let face = view.face(direction).of(&entry.orig, &entry.reply).unwrap();
    if direction == Direction::Original { face } else { view::opposite(&face).unwrap() }
}

fn seen<'a>(tuple: &'a Tuple, view: View) -> Seen<'a> {
    Seen { tuple, tcp_flags: None, views: view.only(), now: NOW }
}

type Answer = Result<Option<Conntrack>, ConntrackError>;

fn nobody_asks(tuple: &Tuple) -> Answer {
    panic!("asked for {tuple:?}")
}

fn nothing_there(_: &Tuple) -> Answer {
    Ok(None)
}

/// What GET finds in a table of these.
fn kernel_with(entries: &[Conntrack]) -> impl Fn(&Tuple) -> Answer + '_ {
    |tuple| Ok(entries.iter().find(|entry| entry.orig == *tuple || entry.reply == *tuple).copied())
}

fn mirror() -> Mirror {
    Mirror::new(MirrorOptions::default())
}

const NATS: [(bool, bool); 4] = [(false, false), (true, false), (false, true), (true, true)];
const VIEWS: [View; 3] = [View::BeforeNat, View::BetweenNats, View::AfterNat];
const BOTH: [Direction; 2] = [Direction::Original, Direction::Reply];

#[test]
fn a_known_connection_is_found_from_every_view_without_asking() {
    for (dnat, snat) in NATS {
        let mirror = mirror();
        let entry = entry(1000, dnat, snat, 7);
        mirror.apply(&Event::New(entry));
        for view in VIEWS {
            for (direction, info) in BOTH.into_iter().zip([CtInfo::New, CtInfo::EstablishedReply]) {
                mirror.apply(&Event::New(entry));
                let shown = packet(&entry, view, direction);
                let found = mirror.lookup_with(&seen(&shown, view), nobody_asks).unwrap().unwrap();
                assert_eq!((found.entry.orig, found.entry.reply), (entry.orig, entry.reply), "{view:?} {direction:?}");
                assert_eq!(found.info.direction(), direction, "dnat {dnat} snat {snat} {view:?}");
                if view == View::BeforeNat {
                    assert_eq!(found.info, info);
                }
            }
        }
        assert_eq!(mirror.counters().entries, 1);
    }
}

#[test]
fn an_unknown_connection_is_asked_for() {
    for (dnat, snat) in NATS {
        let entry = entry(1000, dnat, snat, 7);
        for view in VIEWS {
            for direction in BOTH {
                let mirror = mirror();
                let shown = packet(&entry, view, direction);
                let found = mirror.lookup_with(&seen(&shown, view), kernel_with(&[entry])).unwrap().unwrap();
                // Between both NATs a packet shows neither of the tuples that GET could find.
                let findable = !(dnat && snat && view == View::BetweenNats);
                assert_eq!(found.entry.status.is_confirmed(), findable, "{dnat} {snat} {view:?} {direction:?}");
                if findable {
                    assert_eq!((found.entry.id, found.info.direction()), (entry.id, direction));
                    mirror.lookup_with(&seen(&shown, view), nobody_asks).unwrap().unwrap();
                }
            }
        }
    }
}

#[test]
fn a_first_packet_stands_in_until_the_kernel_confirms() {
    let mirror = mirror();
    let entry = entry(1000, false, true, 7);
    let shown = packet(&entry, View::BetweenNats, Direction::Original);
    for _ in 0..3 {
        let first = mirror.lookup_with(&seen(&shown, View::BetweenNats), nothing_there).unwrap().unwrap();
        assert_eq!((first.entry.orig, first.info), (entry.orig, CtInfo::New));
        assert_eq!((first.entry.id, first.entry.status), (ConntrackId(0), CtStatus(0)));
    }
    assert_eq!((mirror.counters().entries, mirror.counters().gets, mirror.counters().unconfirmed), (1, 6, 1));
    // The kernel knows it now, the event is still on its way.
    let found = mirror.lookup_with(&seen(&shown, View::BetweenNats), kernel_with(&[entry])).unwrap().unwrap();
    assert_eq!((found.entry.id, found.entry.reply, found.formerly), (entry.id, entry.reply, None));
    mirror.lookup_with(&seen(&shown, View::BetweenNats), nobody_asks).unwrap().unwrap();
}

#[test]
fn a_mirror_that_missed_nothing_knows_a_syn_for_a_first_packet() {
    let orig = tuple(6, "10.0.0.1", 40000, "192.0.2.1", 80);
    let syn = Seen { tcp_flags: Some(tcp::SYN), ..seen(&orig, View::BetweenNats) };
    let swept = || {
        let mirror = mirror();
        let run = mirror.begin_sweep();
        mirror.end_sweep(run, NOW, |_| ());
        mirror
    };
    let mirror = swept();
    let first = mirror.lookup_with(&syn, nobody_asks).unwrap().unwrap();
    assert_eq!((first.entry.status, first.info), (CtStatus(0), CtInfo::New));
    let mut known = Conntrack::of_tuples(0, orig, orig.inverted());
    (known.id, known.status) = (ConntrackId(7), CtStatus(CtStatus::CONFIRMED));
    let again = mirror.lookup_with(&syn, kernel_with(&[known])).unwrap().unwrap();
    assert_eq!(again.entry.id, known.id, "what comes after the first asks");
    // After a loss the connection may be there, unheard.
    let mirror = swept();
    mirror.apply(&Event::Lost(1));
    let found = mirror.lookup_with(&syn, kernel_with(&[known])).unwrap().unwrap();
    assert_eq!(found.entry.id, known.id);
}

#[test]
fn behind_both_nats_the_flow_is_renamed_once() {
    let mirror = mirror();
    let entry = entry(1000, true, true, 7);
    let [there, back] = BOTH.map(|direction| packet(&entry, View::BetweenNats, direction));
    let first = mirror.lookup_with(&seen(&there, View::BetweenNats), nothing_there).unwrap().unwrap();
    assert_eq!(first.entry.orig, there, "the original destination is not known yet");
    let answer = mirror.lookup_with(&seen(&back, View::BetweenNats), nothing_there).unwrap().unwrap();
    assert_eq!((answer.entry.orig, answer.info), (there, CtInfo::EstablishedReply), "the answer meets the stand-in");
    mirror.apply(&Event::New(entry));
    let found = mirror.lookup_with(&seen(&there, View::BetweenNats), nobody_asks).unwrap().unwrap();
    assert_eq!((found.entry.orig, found.info), (entry.orig, CtInfo::Established));
    assert_eq!(found.formerly, Some(key_of(&there)));
    let again = mirror.lookup_with(&seen(&back, View::BetweenNats), nobody_asks).unwrap().unwrap();
    assert_eq!((again.formerly, mirror.counters().entries), (None, 1));
}

#[test]
fn a_rename_that_no_packet_heard_of_is_told_at_death() {
    let mirror = mirror();
    let entry = entry(1000, true, false, 7);
    let shown = packet(&entry, View::BetweenNats, Direction::Original);
    mirror.lookup_with(&seen(&shown, View::BetweenNats), nothing_there).unwrap().unwrap();
    mirror.apply(&Event::New(entry));
    assert_eq!(mirror.apply(&Event::Destroy(entry)), Some(key_of(&shown)));
    assert_eq!(mirror.counters().entries, 0);
}

#[test]
fn only_its_own_death_removes_an_entry() {
    let mirror = mirror();
    let (old, new) = (entry(1000, false, false, 7), entry(1000, false, false, 8));
    mirror.apply(&Event::New(new));
    mirror.apply(&Event::Destroy(old));
    assert_eq!(mirror.counters().entries, 1, "a predecessor's DESTROY came late");
    mirror.apply(&Event::Destroy(new));
    assert_eq!(mirror.counters().entries, 0);
    // The successor's first packet stands in when its predecessor's DESTROY is heard, with the same id even.
    mirror.lookup_with(&seen(&new.orig, View::BetweenNats), nothing_there).unwrap().unwrap();
    mirror.apply(&Event::Destroy(old));
    assert_eq!(mirror.counters().entries, 1);
}

#[test]
fn a_late_death_spares_a_successor_with_the_same_id() {
    let mirror = mirror();
    let old = entry(1000, true, false, 7);
    let new = Conntrack { status: CtStatus(CtStatus::CONFIRMED | CtStatus::SEEN_REPLY), ..old };
    let shown = packet(&new, View::BetweenNats, Direction::Original);
    mirror.lookup_with(&seen(&shown, View::BetweenNats), nothing_there).unwrap().unwrap();
    mirror.lookup_with(&seen(&shown, View::BetweenNats), kernel_with(&[new])).unwrap().unwrap();
    mirror.apply(&Event::Destroy(old));
    mirror.apply(&Event::New(old));
    let found = mirror.lookup_with(&seen(&shown, View::BetweenNats), nobody_asks).unwrap().unwrap();
    assert_eq!(found.info, CtInfo::Established, "the event is older than the reply that GET knew of");
    mirror.apply(&Event::Destroy(new));
    assert_eq!(mirror.counters().entries, 0);
}

#[test]
fn a_birth_heard_after_the_end_was_seen_changes_nothing() {
    let orig = tuple(6, "10.0.0.1", 40000, "192.0.2.1", 80);
    let track = |state| crate::packet::conntrack::TcpTrack {
        state,
        wscale_orig: 0,
        wscale_reply: 0,
        flags_orig: 0,
        flags_reply: 0,
    };
    let mut born = Conntrack::of_tuples(0, orig, orig.inverted());
    (born.id, born.status, born.tcp) = (ConntrackId(7), CtStatus(CtStatus::CONFIRMED), Some(track(TcpState::SynSent)));
    let closed = Conntrack {
        status: CtStatus(CtStatus::CONFIRMED | CtStatus::SEEN_REPLY),
        tcp: Some(track(TcpState::Close)),
        ..born
    };
    let mirror = mirror();
    let with = |tcp_flags| Seen { tcp_flags: Some(tcp_flags), ..seen(&orig, View::BetweenNats) };
    mirror.lookup_with(&with(tcp::SYN), nothing_there).unwrap().unwrap();
    mirror.lookup_with(&with(tcp::RST), kernel_with(&[closed])).unwrap().unwrap();
    mirror.apply(&Event::New(born));
    let found = mirror.lookup_with(&with(tcp::RST), nobody_asks).unwrap().unwrap();
    assert_eq!((found.info, found.entry.tcp), (CtInfo::Established, closed.tcp));
    // Even when the same has happened before, and only the first connection's death and the second's birth are heard.
    mirror.apply(&Event::Destroy(closed));
    mirror.apply(&Event::New(born));
    let found = mirror.lookup_with(&with(tcp::ACK), kernel_with(&[closed])).unwrap().unwrap();
    assert_eq!((found.info, found.entry.tcp), (CtInfo::Established, closed.tcp));
}

#[test]
fn an_answer_overtaken_by_a_death_is_not_kept() {
    let mirror = mirror();
    let entry = entry(1000, false, false, 7);
    let found = mirror
        .lookup_with(&seen(&entry.orig, View::BetweenNats), |_| {
            mirror.apply(&Event::Destroy(entry));
            Ok(Some(entry))
        })
        .unwrap();
    assert_eq!(found.unwrap().entry.id, entry.id, "this packet belongs to it");
    assert_eq!(mirror.counters().entries, 0);
}

#[test]
fn a_late_event_does_not_draw_a_syn_into_the_predecessor() {
    let orig = tuple(6, "10.0.0.1", 40000, "192.0.2.1", 80);
    let mut old = Conntrack::of_tuples(0, orig, orig.inverted());
    (old.id, old.status) = (ConntrackId(7), CtStatus(CtStatus::CONFIRMED | CtStatus::SEEN_REPLY));
    let syn = Seen { tcp_flags: Some(tcp::SYN), ..seen(&orig, View::BetweenNats) };
    let mirror = mirror();
    let none_but_an_event_comes = |_: &Tuple| {
        mirror.apply(&Event::Update(old));
        Ok(None)
    };
    let found = mirror.lookup_with(&syn, none_but_an_event_comes).unwrap().unwrap();
    assert_eq!((found.entry.status, found.info), (CtStatus(0), CtInfo::New));
}

#[test]
fn a_syn_in_an_open_connection_is_checked() {
    let orig = tuple(6, "10.0.0.1", 40000, "192.0.2.1", 80);
    let mut old = Conntrack::of_tuples(0, orig, orig.inverted());
    (old.id, old.status) = (ConntrackId(7), CtStatus(CtStatus::CONFIRMED | CtStatus::SEEN_REPLY));
    let syn = Seen { tcp_flags: Some(tcp::SYN), ..seen(&orig, View::BetweenNats) };
    let mirror = mirror();
    mirror.apply(&Event::New(old));
    let ignored = mirror.lookup_with(&syn, kernel_with(&[old])).unwrap().unwrap();
    assert_eq!((ignored.entry.id, ignored.info), (old.id, CtInfo::Established), "the kernel ignored the SYN");
    let reopened = mirror.lookup_with(&syn, nothing_there).unwrap().unwrap();
    assert_eq!((reopened.entry.status, reopened.info), (CtStatus(0), CtInfo::New), "the SYN replaced the entry");
    // Now the predecessor's end, then the successor's birth are heard.
    mirror.apply(&Event::Destroy(old));
    let new = Conntrack { id: ConntrackId(9), status: CtStatus(CtStatus::CONFIRMED), ..old };
    mirror.apply(&Event::New(new));
    let found = mirror.lookup_with(&seen(&orig, View::BetweenNats), nobody_asks).unwrap().unwrap();
    assert_eq!((found.entry.id, found.info), (new.id, CtInfo::New));
}

#[test]
fn what_opens_nothing_is_invalid() {
    let orig = tuple(6, "10.0.0.1", 40000, "192.0.2.1", 80);
    let echo_reply = tuple(1, "10.0.0.1", 5, "192.0.2.1", 0);
    let mirror = mirror();
    for (tuple, tcp_flags) in [(orig, Some(tcp::RST)), (orig, Some(tcp::SYN | tcp::ACK)), (echo_reply, None)] {
        let seen = Seen { tcp_flags, ..seen(&tuple, View::BetweenNats) };
        assert_eq!(mirror.lookup_with(&seen, nothing_there).unwrap(), None, "{tuple:?}");
    }
    assert_eq!(mirror.counters().entries, 0);
}

#[test]
fn an_echo_and_its_reply_are_one_connection() {
    let orig = tuple(1, "10.0.0.1", 5, "192.0.2.1", 0x0800);
    let back = view::opposite(&orig).unwrap();
    let mirror = mirror();
    mirror.lookup_with(&seen(&orig, View::BetweenNats), nothing_there).unwrap().unwrap();
    let found = mirror.lookup_with(&seen(&back, View::BetweenNats), nothing_there).unwrap().unwrap();
    assert_eq!((found.entry.orig, found.info), (orig, CtInfo::EstablishedReply));
}

#[test]
fn an_icmp_error_is_related_against_the_packet_that_it_quotes() {
    for (dnat, snat) in NATS {
        let entry = entry(1000, dnat, snat, 7);
        let mirror = mirror();
        mirror.apply(&Event::New(entry));
        for view in VIEWS {
            for (direction, info) in BOTH.into_iter().zip([CtInfo::RelatedReply, CtInfo::Related]) {
                let quoted = packet(&entry, view.of_quoted(), direction);
                let found = mirror.lookup_related_with(&seen(&quoted, view), nobody_asks).unwrap().unwrap();
                assert_eq!((found.entry.orig, found.info), (entry.orig, info));
            }
        }
        let found = mirror.lookup_with(&seen(&entry.orig, View::BeforeNat), nobody_asks).unwrap().unwrap();
        assert_eq!(found.info, CtInfo::New, "a quoted reply is no reply");
    }
    let stranger = tuple(17, "10.9.9.9", 1, "10.9.9.8", 2);
    assert_eq!(mirror().lookup_related_with(&seen(&stranger, View::BetweenNats), nothing_there).unwrap(), None);
}

#[test]
fn beyond_the_cap_each_packet_asks() {
    let mirror = Mirror::new(MirrorOptions { entry_count_max: 1, priority: None });
    let (one, two) = (entry(1000, false, false, 1), entry(2000, false, false, 2));
    mirror.apply(&Event::New(one));
    mirror.apply(&Event::New(two));
    for _ in 0..2 {
        let found = mirror.lookup_with(&seen(&two.orig, View::BetweenNats), kernel_with(&[one, two])).unwrap().unwrap();
        assert_eq!(found.entry.id, two.id);
    }
    assert_eq!((mirror.counters().entries, mirror.counters().gets, mirror.counters().over_cap), (1, 2, 3));
    mirror.apply(&Event::Destroy(one));
    mirror.apply(&Event::New(two));
    mirror.lookup_with(&seen(&two.orig, View::BetweenNats), nobody_asks).unwrap().unwrap();
}

#[test]
fn what_we_write_ourselves_is_known_at_once() {
    let mirror = mirror();
    let entry = Conntrack { mark: 0x11, ..entry(1000, false, false, 1) };
    mirror.apply(&Event::New(entry));
    let mark = FateStore::default().write_fate(Fate::Reject);
    let label = FateStore::Labels(FateLabels::default()).write(Fate::Drop, 5);
    mirror.note_write(&entry.key(), &mark);
    mirror.note_write(&entry.key(), &label);
    let found = mirror.lookup_with(&seen(&entry.orig, View::BetweenNats), nobody_asks).unwrap().unwrap();
    assert_eq!(found.entry.mark, 0x0300_0011);
    assert_eq!(found.entry.labels, label.labels.map(|(labels, _)| labels));
}

#[test]
fn stand_ins_are_given_up_when_nobody_asks() {
    let mirror = mirror();
    let old = entry(1000, false, false, 1).orig;
    let dropped = entry(2000, false, false, 1);
    mirror.lookup_with(&seen(&old, View::BetweenNats), nothing_there).unwrap().unwrap();
    mirror.lookup_with(&seen(&dropped.orig, View::BetweenNats), nothing_there).unwrap().unwrap();
    mirror.forget_unconfirmed(&dropped.key());
    let mut gone = Vec::new();
    mirror.expire(Timestamp::from_micros(NOW.micros + 29_000_000), |key| gone.push(key));
    assert!(gone.is_empty());
    mirror.expire(Timestamp::from_micros(NOW.micros + 31_000_000), |key| gone.push(key));
    assert_eq!((gone, mirror.counters().entries), (vec![key_of(&old)], 0));
}

#[test]
fn other_zones_stay_out() {
    let mirror = mirror();
    let entry = Conntrack { zone: 3, ..entry(1000, false, false, 1) };
    mirror.apply(&Event::New(entry));
    mirror.apply(&Event::Destroy(entry));
    assert_eq!((mirror.counters().entries, mirror.counters().other_zones), (0, 2));
}

/// What the module says about memory and allocation.
#[test]
fn an_entry_costs_what_is_documented_and_a_known_packet_nothing() {
    const COUNT: u32 = 50_000;
    let known = |number: u32| {
        let port = u16::try_from(number % 50_000).unwrap();
        entry(port, false, false, number)
    };
    let mirror = mirror();
    let filled = allocation_counter::measure(|| {
        for number in 0..COUNT {
            mirror.apply(&Event::New(known(number)));
        }
    });
    let each = filled.bytes_current / i64::from(COUNT);
    assert!((100..=180).contains(&each), "{each} bytes for an entry");
    let looked_up = allocation_counter::measure(|| {
        for number in 0..1000 {
            let known = known(number);
            for tuple in [known.orig, known.reply] {
                mirror.lookup_with(&seen(&tuple, View::BetweenNats), nobody_asks).unwrap().unwrap();
            }
        }
    });
    assert_eq!(looked_up.count_total, 0);
    for number in 0..COUNT {
        mirror.apply(&Event::Destroy(known(number)));
    }
    mirror.expire(NOW, |_| ());
    let left = mirror.table.slot_count();
    assert!(left < 5000, "{left} slots for no entry");
}

proptest! {
    /// Whatever is opened, changed, reopened and closed in whatever order: each packet finds its connection, and when all
    /// are closed nothing is left, aliases included.
    #[test]
    fn the_mirror_follows_any_life(steps in proptest::collection::vec((0u16..6, 0usize..4, 0u8..5), 1..80)) {
        let mirror = mirror();
        let mut living: Vec<Option<Conntrack>> = vec![None; 6];
        for (step, (port, nat, action)) in steps.into_iter().enumerate() {
            let (dnat, snat) = NATS[nat];
            let slot = &mut living[usize::from(port)];
            match (&slot, action) {
                (None, 0..3) => {
                    // Its first packet shows up, then the kernel confirms it.
                    let entry = entry(1000 + port, dnat, snat, u32::try_from(step).unwrap() + 1);
                    let shown = packet(&entry, View::BetweenNats, Direction::Original);
                    if action > 0 {
                        mirror.lookup_with(&seen(&shown, View::BetweenNats), nothing_there).unwrap().unwrap();
                    }
                    mirror.apply(&Event::New(entry));
                    *slot = Some(entry);
                }
                (Some(entry), 0) => {
                    mirror.apply(&Event::Destroy(*entry));
                    *slot = None;
                }
                (Some(entry), 1) => drop(mirror.apply(&Event::Update(*entry))),
                _ => {}
            }
            for entry in living.iter().flatten() {
                for (view, direction) in VIEWS.into_iter().flat_map(|view| BOTH.map(|direction| (view, direction))) {
                    let shown = packet(entry, view, direction);
                    let found = mirror.lookup_with(&seen(&shown, view), nobody_asks).unwrap().unwrap();
                    prop_assert_eq!((found.entry.id, found.info.direction()), (entry.id, direction));
                }
            }
        }
        for entry in living.into_iter().flatten() {
            mirror.apply(&Event::Destroy(entry));
        }
        prop_assert_eq!(mirror.counters().entries, 0);
        prop_assert_eq!(mirror.table.alias_count(), 0);
    }
}
