//! One attack in many disguises, after Ptacek and Newsham, fragroute and their heirs: each is sent through the gate to
//! hosts that read TCP in different ways, and none of them may get the attack.
//!
//! A disguise that leaves the bytes alone is also sent with a harmless text, which must arrive whole: what stops the
//! attack is that it was seen. `docs/evasions.md` is written from what happens here: `TIDEGATE_BLESS=1`.

// A test program says what it expects by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod disguises;
mod gate;
mod http;
mod packets;
mod victim;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Mutex;

use disguises::{DISGUISES, Disguise};
use gate::Gate;
use victim::{Kind, Victim};

const ATTACK: &str = "GET /cgi-bin/search?file=../../../../etc/passwd HTTP/1.1\r\nHost: victim.example\r\n\r\n";
const HARMLESS: &str = "GET /cgi-bin/search?file=../../../../etc/issues HTTP/1.1\r\nHost: victim.example\r\n\r\n";
const SUPER_PACKET_BYTES: usize = 60_000;
const PATTERN: &[u8] = b"/etc/passwd";

/// What one host got, and why packets did not get there.
struct Outcome {
    data: Vec<u8>,
    reasons: BTreeSet<&'static str>,
}

fn send(mut gate: Gate, disguise: &Disguise, text: &str, kind: Kind) -> Outcome {
    let mut victim = Victim::new(kind);
    for frame in (disguise.frames)(text.as_bytes()) {
        for packet in gate.send(&frame) {
            let Some(answer) = victim.receive(&packet) else { continue };
            if !disguise.one_sided {
                gate.send(&answer);
            }
        }
    }
    let reasons = gate.finish();
    Outcome { data: victim.data, reasons }
}

#[test]
fn no_disguise_brings_the_attack_to_any_host() {
    let mut table = String::new();
    let mut names = BTreeSet::new();
    let mut surprises = Vec::new();
    for disguise in DISGUISES {
        assert!(names.insert(disguise.name), "{} twice", disguise.name);
        let mut reasons = BTreeSet::new();
        let mut got = 0;
        for kind in Kind::all() {
            let outcome = send(Gate::new(), disguise, ATTACK, kind);
            let delivered = is_attacked(&outcome);
            let text = String::from_utf8_lossy(&outcome.data);
            assert!(!delivered || disguise.open.is_some(), "{}: {kind:?} got {text:?}", disguise.name);
            reasons.extend(outcome.reasons);
            got += usize::from(delivered);
        }
        let uri = hold_uri(disguise, &mut surprises);
        let kernel = disguise.not_in_kernel().map_or("yes".to_owned(), |why| format!("not sent: {why}"));
        if let Some(why) = disguise.open {
            assert!(got > 0, "{} is stopped by now", disguise.name);
            writeln!(table, "| {} | {} | **no** | {why} | {uri} | {kernel} |", disguise.name, disguise.what).unwrap();
            continue;
        }
        assert!(!reasons.is_empty(), "{}: nobody got it, and nobody stopped it", disguise.name);
        let by: Vec<_> = reasons.into_iter().filter(|reason| *reason != "flow drop").collect();
        let by = by.join(", ");
        writeln!(table, "| {} | {} | yes | {by} | {uri} | {kernel} |", disguise.name, disguise.what).unwrap();
    }
    assert!(surprises.is_empty(), "with http.uri, and how many hosts got it: {surprises:?}");
    assert!(DISGUISES.len() >= 60, "{} disguises", DISGUISES.len());
    hold_page(
        "tcp",
        "| disguise | how | blocked | by | by `http.uri` | in real kernels |\n|---|---|---|---|---|---|\n",
        &table,
    );
}

/// The same against a rule that knows nothing but the URI of a request; what is said of it on the page. A host has the
/// attack when it has the request, but perhaps for a last byte that is urgent.
fn hold_uri(disguise: &Disguise, surprises: &mut Vec<(&'static str, usize)>) -> String {
    let request = &ATTACK.as_bytes()[..ATTACK.len() - 1];
    let got = |kind: &Kind| {
        let data = send(Gate::of_http(), disguise, ATTACK, *kind).data;
        data.windows(request.len()).any(|window| window == request)
    };
    let got = Kind::all().filter(got).count();
    if (got == 0) == disguise.open_to_uri.is_some() {
        surprises.push((disguise.name, got));
    }
    disguise.open_to_uri.map_or("yes".to_owned(), |why| format!("**no**: {why}"))
}

fn is_attacked(outcome: &Outcome) -> bool {
    outcome.data.windows(PATTERN.len()).any(|window| window == PATTERN)
}

#[test]
fn a_harmless_text_in_the_same_disguise_arrives_whole() {
    for disguise in DISGUISES.iter().filter(|disguise| disguise.honest) {
        let outcome = send(Gate::new(), disguise, HARMLESS, Kind::default());
        assert!(outcome.reasons.is_empty(), "{}: {:?}", disguise.name, outcome.reasons);
        assert!(
            outcome.data.ends_with(HARMLESS.as_bytes()),
            "{}: {:?}",
            disguise.name,
            String::from_utf8_lossy(&outcome.data)
        );
    }
}

/// Without the gate the hosts do get the attack, or the disguise would prove nothing.
#[test]
fn without_rules_some_host_gets_each_attack() {
    for disguise in DISGUISES {
        let delivered = Kind::all().any(|kind| {
            let mut gate = Gate::open();
            let mut victim = Victim::new(kind);
            for frame in (disguise.frames)(ATTACK.as_bytes()) {
                for packet in gate.send(&frame) {
                    let answer = victim.receive(&packet);
                    if let Some(answer) = answer.filter(|_| !disguise.one_sided) {
                        gate.send(&answer);
                    }
                }
            }
            victim.data.windows(PATTERN.len()).any(|window| window == PATTERN)
        });
        assert!(delivered, "{}: no host reads this as the attack", disguise.name);
    }
}

#[test]
fn no_words_hide_the_request() {
    let mut table = String::new();
    for words in http::WORDS {
        let text = (words.text)();
        let delivered = gets_through(&text, 7);
        assert_eq!(gets_through(&text, SUPER_PACKET_BYTES), delivered, "{} in one piece", words.name);
        assert_eq!(delivered, words.open.is_some(), "{}", words.name);
        let blocked = if delivered { "**no**" } else { "yes" };
        writeln!(table, "| {} | {} | {blocked} | {} |", words.name, words.what, words.open.unwrap_or("rules")).unwrap();
    }
    hold_page("http", "| disguise | how | blocked | by |\n|---|---|---|---|\n", &table);
}

/// Whether the text arrives whole behind a gate with rules about requests.
fn gets_through(text: &[u8], segment_bytes: usize) -> bool {
    let mut gate = Gate::of_http();
    let mut victim = Victim::new(Kind::default());
    let segments = text.chunks(segment_bytes).enumerate().map(|(nth, part)| packets::at(nth * segment_bytes, part));
    for segment in packets::open().into_iter().chain(segments) {
        for packet in gate.send(&segment.v4()) {
            let Some(answer) = victim.receive(&packet) else { continue };
            gate.send(&answer);
        }
    }
    gate.finish();
    victim.data == text
}

fn hold_page(part: &str, head: &str, table: &str) {
    static PAGE: Mutex<()> = Mutex::new(());
    let _alone = PAGE.lock();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/evasions.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(&format!("<!-- {part} -->\n")).unwrap();
    let (_, after) = rest.split_once(&format!("<!-- /{part} -->")).unwrap();
    let fresh = format!("{before}<!-- {part} -->\n{head}{table}<!-- /{part} -->{after}");
    if std::env::var_os("TIDEGATE_BLESS").is_some() {
        std::fs::write(&path, &fresh).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), fresh, "run with TIDEGATE_BLESS=1");
}
