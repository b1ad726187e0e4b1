use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use super::keys::keys;
use super::*;
use crate::output::spec::{Destination, DropFlows};
use crate::packet::app::record::EVENT_TYPES;
use crate::packet::conntrack::FateMask;

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn blessing() -> bool {
    std::env::var_os("TIDEGATE_BLESS").is_some()
}

fn parse(text: &str) -> Config {
    match Config::parse(text, Path::new("test.yaml"), &[]) {
        Ok(loaded) => loaded.config,
        Err(error) => panic!("{text}\n{error}"),
    }
}

fn errors(text: &str) -> String {
    Config::parse(text, Path::new("test.yaml"), &[]).unwrap_err().to_string()
}

fn set(sets: &[&str]) -> Result<Config, String> {
    let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
    Config::load(None, &sets).map(|loaded| loaded.config).map_err(|error| error.to_string())
}

#[test]
fn nothing_typed_is_the_default() {
    for text in ["", "%YAML 1.1\n---\n", "stats:\nqueue:\noutputs:\n", "# only words\n"] {
        assert_eq!(parse(text), Config::default(), "{text:?}");
    }
    assert_eq!(set(&[]).unwrap(), Config::default());
}

#[test]
fn values_are_understood() {
    let text = "
queue: {numbers: '0:3', length: 100, receive-buffer: 4 GiB, gso: off}
";
    assert!(errors(text).contains("a size from 64kb to 1gb"), "4 GiB is understood, and too much");

    let config = parse(
        "
queue: {numbers: 0:3, length: 100, receive-buffer: 64 MiB, gso: off}
nfq: {mode: repeat, repeat-mark: 0x10, repeat-mask: 0x30, batchcount: 20, fail-open: no}
gate: {hook: host, priority: -150, install: no, remove-on-exit: TRUE, never-block: 10.0.0.0/8}
fate: {store: label, mask: 0x3}
policy: {invalid: drop, untracked: drop, decode-error: drop, flow-memcap: drop}
flow: {count-max: 1000, sweep-interval: 5m}
conntrack: {sysctl: keep, ask: no, br-netfilter: allow, event-buffer: 1mb}
unix-command: {enabled: auto, filename: /tmp/s}
pid-file: t.pid
run-as: {user: nobody}
stats: {enabled: no, interval: 30s}
rule-files: [a.rules, 'b/*.rules']
action-order: [drop, pass, reject, alert]
",
    );
    assert_eq!(config.queue.numbers, QueueNumbers { first: 0, last: 3 });
    assert_eq!((config.queue.length_packets, config.queue.receive_buffer_bytes), (100, 64 << 20));
    assert!(!config.queue.gso && !config.queue.fail_open, "nfq.fail-open speaks for queue.fail-open");
    assert_eq!(config.nfq.mode, NfqMode::Repeat(MarkMask { mark: 0x10, mask: 0x30 }));
    assert_eq!(config.nfq.batch_count_max, 20);
    let never_block = config.gate.never_block.clone();
    assert!(never_block.as_ref().is_some_and(|never| never.contains("10.1.2.3".parse().unwrap())));
    let gate = Gate { hook: GateHook::Host, priority: -150, install: false, remove_on_exit: true, never_block };
    assert_eq!(config.gate, gate);
    assert_eq!(config.fate, Fate { store: FateStore::Label, mask: FateMask::new(3).unwrap(), ..Fate::default() });
    assert_eq!(config.policy.untracked, OnTrouble::Drop);
    assert_eq!(config.flow, Flow { count_max: 1000, sweep_interval_s: 300 });
    assert_eq!(
        config.conntrack,
        Conntrack { sysctl: Sysctl::Keep, ask: false, br_netfilter: BrNetfilter::Allow, event_buffer_bytes: 1 << 20 }
    );
    assert_eq!(config.service.unix_command, UnixCommand { enabled: true, filename: "/tmp/s".into() });
    assert_eq!(config.service.pid_file, Some("/run/tidegate/t.pid".into()));
    assert_eq!(config.service.run_as, Some(RunAs { user: "nobody".into(), group: None }));
    assert_eq!(config.stats, Stats { enabled: false, interval_s: 30 });
    assert_eq!(config.rules.rule_files, ["a.rules", "b/*.rules"]);
    assert_eq!(config.rules.action_order[0], ActionClass::Drop);
    assert_eq!(parse("nfq: {fail-open: no}\nqueue: {fail-open: yes}").queue, Queue::default());
}

#[test]
fn exceptions_have_one_switch_and_their_own() {
    let policies = |text: &str| {
        let config = parse(text);
        let Stream { memcap_policy, midstream_policy, .. } = config.stream;
        [config.policy.flow_memcap, config.policy.app_error, memcap_policy, midstream_policy]
    };
    assert_eq!(policies("exception-policy: auto"), [OnTrouble::Pass; 4]);
    assert_eq!(policies("exception-policy: drop-flow"), [OnTrouble::DropFlow; 4]);
    let own = "exception-policy: reject
flow: {memcap-policy: bypass}
app-layer: {error-policy: ignore}
stream: {midstream-policy: drop-packet, reassembly: {memcap-policy: pass-flow}}
";
    assert_eq!(policies(own), [OnTrouble::PassFlow, OnTrouble::Pass, OnTrouble::PassFlow, OnTrouble::Drop]);
    assert_eq!(parse("exception-policy: drop-flow").policy.invalid, OnTrouble::Pass, "ours is not among them");
}

#[test]
fn only_listed_outputs_are_written() {
    let config = parse(
        "
default-log-dir: /logs
outputs:
  - fast: {enabled: no}
  - eve-log:
      filetype: unix_dgram
      filename: /run/eve.sock
      community-id: yes
      community-id-seed: 7
      types:
        - alert: {metadata: no, payload: yes, payload-buffer-size: 1kb}
        - drop: {flows: all}
        - stats: {enabled: no}
        - flow
  - eve-log: {filename: all.json}
",
    );
    assert_eq!((config.outputs.fast, config.outputs.eve.len()), (None, 2));
    let eve = &config.outputs.eve[0];
    assert_eq!(eve.destination, Destination::UnixDatagram("/run/eve.sock".into()));
    assert_eq!(eve.community_id_seed, Some(7));
    let alert = eve.types.alert.unwrap();
    assert!(!alert.metadata && !alert.flow && alert.payload && alert.payload_bytes_max == 1024);
    assert_eq!(eve.types.drop.unwrap().flows, DropFlows::All);
    assert!(eve.types.flow && !eve.types.anomaly && !eve.types.stats);
    assert_eq!(config.outputs.eve[1].destination, Destination::File("/logs/all.json".into()));
}

#[test]
fn groups_that_are_typed_join_those_that_are_known() {
    let config = parse("vars: {address-groups: {HOME_NET: [10.0.0.0/8, '!10.1.0.0/16'], LAB: any}}");
    let find = |name: &str| {
        config.vars.address_groups.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    };
    assert_eq!(find("HOME_NET"), Some("[10.0.0.0/8,!10.1.0.0/16]"));
    assert_eq!(find("LAB"), Some("any"));
    assert_eq!(find("EXTERNAL_NET"), Some("!$HOME_NET"));
}

#[test]
fn overrides_change_and_make() {
    let file = "stats: {interval: 8}\noutputs: [fast: {enabled: yes}]\n";
    let sets =
        ["stats.interval=30", "outputs.0.fast.enabled=no", "outputs.1.eve-log.filename=x.json", "gate.hook=host"];
    let config = Config::parse(file, Path::new("f"), &sets.map(str::to_owned)).unwrap().config;
    assert_eq!(config.stats.interval_s, 30);
    assert_eq!(config.outputs.fast, None);
    assert_eq!(config.outputs.eve[0].destination, Destination::File("/var/log/tidegate/x.json".into()));
    assert_eq!(config.gate.hook, GateHook::Host);
    assert_eq!(set(&["rule-files.0=a", "rule-files.1=b"]).unwrap().rules.rule_files, ["a", "b"]);
    assert_eq!(home_net(&set(&["vars.address-groups.HOME_NET=[10.0.0.0/8]"]).unwrap()), Some("[10.0.0.0/8]"));
    assert_eq!(set(&["pid-file=a=b"]).unwrap().service.pid_file, Some("/run/tidegate/a=b".into()));
}

fn home_net(config: &Config) -> Option<&str> {
    config.vars.address_groups.iter().find(|(name, _)| name == "HOME_NET").map(|(_, value)| value.as_str())
}

#[test]
fn overrides_that_do_not_fit_say_so() {
    let cases = [
        ("stats.interval", "--set stats.interval: expected key=value, such as --set stats.interval=30"),
        ("a..b=1", "--set a..b=1: expected key=value, such as --set stats.interval=30"),
        ("rule-files.3=x", "--set rule-files.3=x: rule-files has 0 elements, the next one would be 0"),
        ("stats.intervall=3", "--set stats.intervall=3: stats.intervall: there is no such key; did you mean interval?"),
        ("gate.hook=up", "--set gate.hook=up: gate.hook: 'up' is not possible; expected forward, host or prerouting"),
    ];
    for (option, expected) in cases {
        assert_eq!(set(&[option]).unwrap_err(), expected);
    }
    let error = set(&["stats.interval=3", "stats.interval.x=3"]).unwrap_err();
    assert_eq!(error, "--set stats.interval.x=3: stats.interval holds a single value, so x cannot be under it");
}

#[test]
fn includes_are_joined_and_later_values_hold() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    write("main.yaml", "include: [a.yaml, b.yaml]\nstats: {interval: 3}\nvars: {include: vars.yaml}\n");
    write("a.yaml", "stats: {interval: 1, enabled: no}\nrule-files: [a]\n");
    write("b.yaml", "rule-files: [b]\n");
    write("vars.yaml", "address-groups: {HOME_NET: any}\n");
    write("loop.yaml", "include: loop.yaml\n");
    write("wrong.yaml", "include: typo.yaml\n");
    write("typo.yaml", "\nstats: {intervall: 3}\n");
    let load = |name: &str| Config::load(Some(&dir.path().join(name)), &[]);

    let config = load("main.yaml").unwrap().config;
    assert_eq!(config.stats, Stats { enabled: false, interval_s: 3 });
    assert_eq!(config.rules.rule_files, ["b"]);
    assert_eq!(home_net(&config), Some("any"));
    assert!(load("loop.yaml").unwrap_err().to_string().contains("does a file include itself?"));
    assert!(
        load("wrong.yaml").unwrap_err().to_string().contains("typo.yaml:2:9: stats.intervall: there is no such key")
    );
    assert!(load("absent.yaml").unwrap_err().to_string().starts_with("cannot read the configuration"));
}

/// `tests/golden/config/NAME.yaml` with `NAME.txt` beside it: all errors, or else all notices.
#[test]
fn messages_are_what_the_goldens_say() {
    let dir = repository("tests/golden/config");
    let mut seen = 0;
    for file in fs::read_dir(&dir).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        seen += 1;
        let text = fs::read_to_string(&path).unwrap();
        let name = Path::new(path.file_name().unwrap());
        let mut said = match Config::parse(&text, name, &[]) {
            Ok(loaded) => loaded.notices.iter().map(|notice| format!("{notice}\n")).collect(),
            Err(error) => error.to_string(),
        };
        if !said.ends_with('\n') {
            said.push('\n');
        }
        let golden = path.with_extension("txt");
        if blessing() {
            fs::write(&golden, &said).unwrap();
        }
        assert_eq!(said, fs::read_to_string(&golden).unwrap(), "{}", path.display());
    }
    assert!(seen >= 5, "goldens are missing from {}", dir.display());
}

#[test]
fn any_text_is_an_answer_and_never_a_panic() {
    proptest::proptest!(|(text in "[a-z:\\-\\[\\]{}&*#\n \"'.0-9,?!|>%@]{0,120}")| {
        let _ = Config::parse(&text, Path::new("f"), &[]);
    });
    proptest::proptest!(|(option in "[a-z0-9.=]{0,20}")| {
        let _ = Config::load(None, &[option]);
    });
}

/// The table of keys and the reader know the same keys.
#[test]
fn every_key_is_in_the_table_and_every_one_there_is_read() {
    let protocols: String = EVENT_TYPES.iter().map(|name| format!(", {name}: {{}}")).collect();
    let everything = format!(
        "
outputs:
  - fast: {{}}
  - file-store: {{}}
  - eve-log:
      types: [alert: {{metadata: yes}}, alert: {{}}, drop: {{}}, flow: {{}}, anomaly: {{}}, stats: {{}}{protocols}]
"
    );
    let mut report = Report::default();
    Config::read(&Node::parse(&everything, Path::new("f")).unwrap(), &mut report);
    let asked = report.asked.into_iter().collect::<BTreeSet<_>>();
    let listed: BTreeSet<String> = keys().map(|key| key.path.to_owned()).collect();
    assert_eq!(asked, listed);
}

#[test]
fn the_defaults_in_the_table_are_the_defaults() {
    let sets: Vec<String> = keys()
        .filter(|key| !key.default.is_empty() && !key.path.starts_with("vars."))
        .filter(|key| !matches!(key.path, "action-order" | "outputs.eve-log.types.alert.metadata"))
        .map(|key| {
            let path = key
                .path
                .replace("outputs.fast", "outputs.0.fast")
                .replace("outputs.file-store", "outputs.1.file-store")
                .replace("outputs.eve-log", "outputs.2.eve-log")
                .replace("types.alert", "types.0.alert")
                .replace("types.drop", "types.1.drop")
                .replace("types.flow", "types.2.flow")
                .replace("types.anomaly", "types.3.anomaly")
                .replace("types.stats", "types.4.stats");
            let path = EVENT_TYPES.iter().enumerate().fold(path, |path, (at, name)| {
                path.replace(&format!("types.{name}."), &format!("types.{}.{name}.", at + 5))
            });
            format!("{path}={}", key.default)
        })
        .collect();
    let loaded = Config::load(None, &sets).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(loaded.config, Config::default());
}

#[test]
fn the_reference_is_written_from_the_table() {
    let path = repository("docs/configuration.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once("<!-- keys -->\n").unwrap();
    let (_, after) = rest.split_once("<!-- /keys -->").unwrap();
    let mut table = String::new();
    let mut section = "";
    for key in keys() {
        let top = key.path.split('.').next().unwrap();
        let heading = if key.path.contains('.') { top } else { "rules, logs and the process" };
        if heading != section {
            section = heading;
            write!(table, "\n### {heading}\n\n| key | default | meaning |\n|---|---|---|\n").unwrap();
        }
        let default = if key.default.is_empty() { String::new() } else { format!("`{}`", key.default) };
        writeln!(table, "| `{}` | {default} | {} |", key.path, key.meaning).unwrap();
    }
    let fresh = format!("{before}<!-- keys -->\n{table}\n<!-- /keys -->{after}");
    if blessing() {
        fs::write(&path, &fresh).unwrap();
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), fresh, "run with TIDEGATE_BLESS=1");
}

#[test]
fn the_example_names_every_key_and_changes_nothing() {
    let path = repository("docs/tidegate.yaml");
    let loaded = Config::load(Some(&path), &[]).unwrap_or_else(|error| panic!("{error}"));
    assert!(loaded.notices.is_empty(), "{:?}", loaded.notices);
    assert_eq!(loaded.config, Config::default());
    let text = fs::read_to_string(&path).unwrap();
    for key in keys() {
        let name = key.path.rsplit('.').next().unwrap();
        assert!(text.contains(&format!("{name}:")), "{}", key.path);
    }
}

/// Debian's own file, where Suricata is installed or `TIDEGATE_SURICATA_YAML` names one.
#[test]
fn the_file_that_suricata_ships_loads_with_notices_only() {
    let path = std::env::var_os("TIDEGATE_SURICATA_YAML")
        .map_or_else(|| PathBuf::from("/etc/suricata/suricata.yaml"), PathBuf::from);
    if !path.exists() {
        println!("skipped: the_file_that_suricata_ships_loads_with_notices_only: no {}", path.display());
        return;
    }
    let loaded = Config::load(Some(&path), &[]).unwrap_or_else(|error| panic!("{error}"));
    assert!(!loaded.notices.is_empty());
    assert!(loaded.config.outputs.eve.iter().any(|eve| eve.types.alert.is_some()));
}
