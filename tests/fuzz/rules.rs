//! The rule language: any text is read to its end, and what loads means the same alone and among others.

use std::net::IpAddr;

use tidegate::packet::decode::{Headers, Ip, Tcp, Transport};
use tidegate::packet::detect::{DetectThread, SharedDetectState};
use tidegate::packet::ingress::{Ingress, Timestamp};
use tidegate::rules::dataset::{DataKind, DataSet};
use tidegate::rules::reputation::Reputation;
use tidegate::rules::{Context, Options, RuleSet, Source, Thresholds, Vars, compile};

fn context() -> Context {
    Context { vars: Vars::standard(), ..Context::default() }
}

/// A rule file: each rule is loaded, replaced or rejected, and each mistake has a place in the file.
pub fn fuzz_rules(data: &[u8]) {
    let source = Source::from_bytes("fuzz.rules", data.to_vec());
    let lines = source.text.lines().count().max(1);
    let compiled = compile(&[source], &context(), &Options::default());
    assert_eq!(compiled.rules, compiled.loaded() + compiled.rejected.len() + compiled.replaced + compiled.left_out);
    for rejected in &compiled.rejected {
        assert!((1..=lines).contains(&(rejected.line as usize)), "a place outside of the file");
    }
    for diagnostic in &compiled.diagnostics {
        assert!((1..=lines).contains(&(diagnostic.line as usize)) && diagnostic.column > 0);
        assert!(diagnostic.excerpt.is_char_boundary(diagnostic.span.start), "half a character");
        assert!(diagnostic.excerpt.is_char_boundary(diagnostic.span.end), "half a character");
        assert!(!diagnostic.render(false).is_empty());
    }
}

/// Options of rules, a line each, then an empty line and a payload: a rule that matches among the others matches
/// alone, and the other way round, and a second look sees the same.
pub fn fuzz_matcher(data: &[u8]) {
    let end = data.windows(2).position(|two| two == b"\n\n").unwrap_or(data.len());
    let text = String::from_utf8_lossy(&data[..end]);
    let payload = data.get(end + 2..).unwrap_or_default();
    // What rules remember of one another is no matter of one payload.
    let remembers = ["bits", "flowint", "dataset", "threshold", "filter", "tag", "bypass", "sid", "gid"];
    let options = text.lines().filter(|line| !remembers.iter().any(|word| line.contains(word)));
    let rules: Vec<String> = options
        .take(12)
        .enumerate()
        .map(|(at, options)| format!("alert tcp any any -> any any ({options} sid:{};)", at + 1))
        .collect();
    let all = compile(&[Source::new("all", rules.join("\n"))], &context(), &Options::default());
    let mut alone: Vec<u32> = rules
        .iter()
        .flat_map(|rule| {
            found(&compile(&[Source::new("one", rule.as_str())], &context(), &Options::default()).set, payload)
        })
        .collect();
    alone.sort_unstable();
    let together = found(&all.set, payload);
    assert_eq!(together, alone, "another answer alone");
    assert_eq!(found(&all.set, payload), together, "another answer the second time");
}

fn found(rules: &RuleSet, payload: &[u8]) -> Vec<u32> {
    let address: IpAddr = [192, 0, 2, 1].into();
    let ip = Ip {
        src: address,
        dst: address,
        version: 4,
        protocol: 6,
        ttl: 64,
        tos: 0,
        id: 1,
        flow_label: 0,
        fragment_flags: 0,
        fragment_offset: 0,
        total_len: 40,
        options: &[],
        header: &[],
    };
    let tcp = Tcp {
        src_port: 1024,
        dst_port: 80,
        seq: 1,
        ack: 1,
        flags: Tcp::ACK,
        reserved: 0,
        window: 512,
        checksum: 0,
        urgent: 0,
        options: &[],
        header: &[],
    };
    let headers = Headers { ip, transport: Transport::Tcp(tcp), payload };
    let (mut thread, shared) = (DetectThread::new(), SharedDetectState::default());
    let now = Timestamp::from_micros(1_700_000_000_000_000);
    let outcome = thread.inspect(rules, &Ingress::bare(&[], 0x0800), &headers, None, &shared, now);
    let mut sids: Vec<u32> = outcome.matches().map(|found| found.rule.sid).collect();
    sids.sort_unstable();
    sids
}

/// The files around the rules, each read from the same bytes: no panic, and what a set saves it can load.
pub fn fuzz_lists(data: &[u8]) {
    let source = Source::from_bytes("fuzz", data.to_vec());
    let (vars, mut told) = (Vars::standard(), Vec::new());
    Thresholds::default().read(&source, &vars, &mut told);
    let mut reputation = Reputation::default();
    reputation.read_categories(&source, &mut told);
    reputation.read_scores(&source, &mut told);
    let _ = reputation.score(1, [10, 0, 0, 1].into());
    let mut context = context();
    context.classifications.read(&source, &mut told);
    context.references.read(&source, &mut told);
    for (_, kind) in DataKind::WORDS {
        let (set, again) = (DataSet::new(kind, 1 << 16), DataSet::new(kind, 1 << 16));
        set.load(&source.text);
        assert!(again.load(&set.save()).is_empty(), "it does not read what it has written");
        assert_eq!(set.len(), again.len());
    }
}
