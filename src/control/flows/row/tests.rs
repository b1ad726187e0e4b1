use serde_json::{Value, json};

use super::*;
use crate::control::flows::known::tests::{entry, view_of};
use crate::packet::conntrack::{FateMask, TcpTrack};

const MASK: u32 = 0x0700_0000;

fn mask() -> FateMask {
    FateMask::new(MASK).unwrap()
}

fn busy(mark: u32) -> Conntrack {
    Conntrack {
        mark,
        timeout_s: Some(431_999),
        tcp: Some(TcpTrack {
            state: TcpState::Established,
            wscale_orig: 0,
            wscale_reply: 0,
            flags_orig: 0,
            flags_reply: 0,
        }),
        counters_orig: Some(Counters { packets: 5, bytes: 300 }),
        counters_reply: Some(Counters { packets: 4, bytes: 9000 }),
        start_ns: Some(1_795_198_279_123_456_000),
        ..entry(4000)
    }
}

#[test]
fn a_line_is_that_of_conntrack_with_ours_behind_it() {
    let dropped = mask().encode(Fate::Drop) | 5;
    let entry = busy(dropped);
    assert_eq!(
        Row::new(&entry, None, mask().into()).to_string(),
        "tcp      6 431999 ESTABLISHED src=10.0.0.1 dst=192.0.2.1 sport=4000 dport=443 packets=5 bytes=300 \
         src=192.0.2.1 dst=10.0.0.1 sport=443 dport=4000 packets=4 bytes=9000 [ASSURED] mark=33554437 fate=drop"
    );
    let ping = Tuple { protocol: 1, src_port: 77, dst_port: 8 << 8, ..entry.orig };
    let mut ping = Conntrack::of_tuples(3, ping, Tuple { dst_port: 0, ..ping });
    ping.timeout_s = Some(29);
    assert_eq!(
        Row::new(&ping, None, mask().into()).changed("NEW").to_string(),
        "    [NEW] icmp     1 29 src=10.0.0.1 dst=192.0.2.1 type=8 code=0 id=77 [UNREPLIED] \
         src=10.0.0.1 dst=192.0.2.1 type=0 code=0 id=77 mark=0 zone=3 fate=inspect"
    );
}

#[test]
fn the_gate_adds_what_no_entry_holds() {
    let entry = busy(0);
    let view = view_of(&entry, 3, |flow| {
        flow.fate = Fate::Drop;
        flow.generation = 3;
        flow.last_sid = 2_000_001;
    });
    let row = Row::new(&entry, Some(&view), mask().into());
    assert!(row.to_string().ends_with(" mark=0 fate=drop(unwritten) generation=3 sid=2000001"), "{row}");
    let json: Value = serde_json::from_str(&row.json(&mut Context::of_lists())).unwrap();
    let ours = json!({
        "fate": "drop", "fate_in_kernel": false, "generation": 3, "last_sid": 2_000_001, "timeout": 431_999,
        "counted_by": "kernel"
    });
    assert_eq!(json["tidegate"], ours);
    assert_eq!(json["flow"]["bytes_toclient"], 9000);
    assert_eq!(json["conntrack"]["orig"]["dest_port"], 443);
    assert_eq!(json["conntrack"]["state"], "established");
}

#[test]
fn which_fate_is_in_force() {
    let (pass_now, pass_before) = (mask().encode_with(Fate::Pass, 3), mask().encode_with(Fate::Pass, 2));
    let drop = mask().encode(Fate::Drop);
    // (what, mark, the gate's fate, of which generation, fate that is shown, the kernel enforces it)
    let cases = [
        ("nothing", 0, Fate::Inspect, 3, Fate::Inspect, true),
        ("cleared", pass_now, Fate::Pass, 3, Fate::Pass, true),
        ("cleared by older rules", pass_before, Fate::Pass, 2, Fate::Inspect, true),
        ("not written yet", 0, Fate::Reject, 3, Fate::Reject, false),
        ("condemned by somebody else", drop, Fate::Inspect, 3, Fate::Drop, true),
        ("condemned by older rules", drop, Fate::Drop, 1, Fate::Drop, true),
    ];
    for (what, mark, held, generation, shown, in_kernel) in cases {
        let entry = busy(mark);
        let view = view_of(&entry, 3, |flow| {
            flow.fate = held;
            flow.generation = generation;
        });
        let row = Row::new(&entry, Some(&view), mask().into());
        assert_eq!((row.fate, row.in_kernel), (shown, in_kernel), "{what}");
    }
}

#[test]
fn without_accounting_the_gates_own_counters_are_shown() {
    let silent = Conntrack { counters_orig: None, counters_reply: None, ..busy(0) };
    let untimed = Conntrack { start_ns: None, ..busy(0) };
    let json: Value =
        serde_json::from_str(&Row::new(&untimed, None, mask().into()).json(&mut Context::of_lists())).unwrap();
    assert_eq!(json["flow"].get("start"), None, "nobody knows when it began: {json}");
    assert!(!Row::new(&silent, None, mask().into()).to_string().contains("packets="));
    let view = view_of(&silent, 1, |flow| flow.seen_to_server = Counters { packets: 2, bytes: 80 });
    let row = Row::new(&silent, Some(&view), mask().into());
    assert!(row.to_string().contains("dport=443 packets=2 bytes=80 "), "{row}");
    let json: Value = serde_json::from_str(&row.json(&mut Context::of_lists())).unwrap();
    assert_eq!(json["tidegate"]["counted_by"], "tidegate");
}
