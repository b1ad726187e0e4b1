//! Every key, once. `docs/configuration.md` is written from this table; tests compare the table with what the reader
//! asks for, and its defaults with [`super::Config::default`].

use crate::packet::app::record::with_records;

/// A key by its path, list indices left out.
pub struct Key {
    pub path: &'static str,
    /// As one would type it; empty where nothing is set.
    pub default: &'static str,
    pub meaning: &'static str,
}

const fn key(path: &'static str, default: &'static str, meaning: &'static str) -> Key {
    Key { path, default, meaning }
}

/// All keys, section by section.
pub fn keys() -> impl Iterator<Item = &'static Key> {
    let before_records = KEYS.iter().position(|key| key.path == FILE_RECORDS).map_or(0, |at| at + 1);
    let (head, tail) = KEYS.split_at_checked(before_records).unwrap_or((KEYS, &[]));
    head.iter().chain(RECORD_KEYS).chain(tail)
}

macro_rules! record_keys {
    (shaped { $($name:ident $event:literal $folder:ident::$record:ident, $doc:literal;)* }
     plain { $($plain:ident $plain_event:literal $plain_folder:ident::$plain_record:ident, $plain_doc:literal;)* }) => {
        /// Whether records of a protocol are written.
        const RECORD_KEYS: &[Key] = &[
            $(key(concat!("outputs.eve-log.types.", $event, ".enabled"), "yes", $doc),)*
            $(key(concat!("outputs.eve-log.types.", $plain_event, ".enabled"), "yes", $plain_doc),)*
        ];
    };
}
with_records!(record_keys);

/// The key after which those of protocols stand.
const FILE_RECORDS: &str = "outputs.eve-log.types.fileinfo.enabled";

const KEYS: &[Key] = &[
    key(
        "vars.address-groups",
        "Suricata's",
        "Names and what `$NAME` stands for in rules. Groups that are not typed keep their default",
    ),
    key("vars.port-groups", "Suricata's", "The same for ports"),
    key("default-rule-path", "/var/lib/tidegate/rules", "Where relative `rule-files` are"),
    key("rule-files", "", "List of files or globs. Empty: no rules, so nothing is dropped"),
    key("classification-file", "", "Without it the shipped one"),
    key("reference-config-file", "", "Without it the shipped one"),
    key("threshold-file", "", "Suppressions and thresholds by sid"),
    key(
        "action-order",
        "[pass, drop, reject, alert]",
        "Which action wins when rules of several match, strongest first",
    ),
    key("reputation-categories-file", "", "Categories for `iprep`: number, name, description a line"),
    key("default-reputation-path", "/etc/tidegate/iprep", "Where relative `reputation-files` are"),
    key("reputation-files", "", "List of files with addresses or networks, category and score"),
    key("default-data-dir", "/var/lib/tidegate/data", "Where data sets of rules are saved"),
    key("datasets", "", "Sets by name, each with `type` and, if wanted, `load`, `save` or `state`, and `memcap`"),
    key("datasets.defaults.memcap", "100mb", "Memory of a set that names none; beyond it nothing is added"),
    key("datasets.rules.allow-write", "yes", "Rules may save sets under `default-data-dir`"),
    key("datasets.rules.allow-absolute-filenames", "no", "And anywhere else"),
    key("pcre.match-limit", "3500", "How much work one expression of a rule may be. 0: PCRE2's own limit"),
    key("pcre.match-limit-recursion", "1500", "The same for its depth, where it is not compiled to machine code"),
    key("default-log-dir", "/var/log/tidegate", "Where relative log file names are. Made if missing. `-l` sets it"),
    key("outputs.fast.enabled", "yes", "One line an alert"),
    key("outputs.fast.filetype", "regular", "`regular`, `unix_dgram` or `unix_stream`"),
    key("outputs.fast.filename", "fast.log", "File or socket"),
    key("outputs.file-store.enabled", "no", "Keep the files that rules with `filestore` match, by their SHA-256"),
    key("outputs.file-store.dir", "filestore", "Where, under `default-log-dir`"),
    key("outputs.file-store.file-size-max", "100mb", "A larger file is not kept"),
    key("outputs.eve-log.enabled", "yes", "JSON records, see [eve.md](eve.md). May be listed more than once"),
    key("outputs.eve-log.filetype", "regular", "`regular`, `unix_dgram` (a datagram a record) or `unix_stream`"),
    key("outputs.eve-log.filename", "eve.json", "File or socket"),
    key("outputs.eve-log.community-id", "no", "Add `community_id`"),
    key("outputs.eve-log.community-id-seed", "0", "The same on all sensors whose records are compared"),
    key("outputs.eve-log.pcap-file", "no", "Add `pcap_filename` when replaying"),
    key("outputs.eve-log.types.alert.enabled", "yes", "A rule matched"),
    key("outputs.eve-log.types.alert.payload", "no", "Add what the rule looked at, base64"),
    key("outputs.eve-log.types.alert.payload-printable", "no", "The same, readable"),
    key("outputs.eve-log.types.alert.payload-buffer-size", "4kb", "At most this much of it"),
    key("outputs.eve-log.types.alert.packet", "no", "Add the packet, base64"),
    key("outputs.eve-log.types.alert.metadata", "yes", "`yes` and `no` set the two next ones"),
    key("outputs.eve-log.types.alert.metadata.flow", "yes", "Add the connection's ends and counters"),
    key("outputs.eve-log.types.alert.metadata.rule.metadata", "yes", "Add the rule's `metadata`"),
    key("outputs.eve-log.types.alert.metadata.rule.raw", "no", "Add the rule as written"),
    key("outputs.eve-log.types.alert.metadata.rule.reference", "no", "Add the rule's references"),
    key("outputs.eve-log.types.alert.verdict", "no", "Add what became of the packet"),
    key("outputs.eve-log.types.alert.tagged-packets", "yes", "Write `packet` records for rules with `tag`"),
    key("outputs.eve-log.types.drop.enabled", "yes", "A packet was dropped"),
    key("outputs.eve-log.types.drop.alerts", "yes", "Add the rule that dropped it"),
    key(
        "outputs.eve-log.types.drop.flows",
        "start",
        "`all` also tells drops that follow from an earlier one of the same connection",
    ),
    key("outputs.eve-log.types.drop.verdict", "no", "Add how it was answered"),
    key("outputs.eve-log.types.flow.enabled", "yes", "A connection ended: the kernel's account of it"),
    key("outputs.eve-log.types.anomaly.enabled", "yes", "Oddities in traffic, and of the gate itself"),
    key("outputs.eve-log.types.stats.enabled", "yes", "Counters, every `stats.interval`"),
    key("outputs.eve-log.types.fileinfo.enabled", "yes", "Files: bodies of HTTP, attachments and others"),
    key("stats.enabled", "yes", "Whether counters are written at all"),
    key("stats.interval", "8", "Seconds; also `30s`, `5m`"),
    key("queue.numbers", "7400-7403", "NFQUEUE numbers, one thread each. `-q` sets it; `0:3` is understood too"),
    key("queue.length", "8192", "Packets that may wait in one queue"),
    key("queue.receive-buffer", "32mb", "The real depth of a queue: when it is full the kernel fails open"),
    key("queue.fail-open", "yes", "Too slow: packets pass uninspected and are counted. `no`: the kernel drops them"),
    key("queue.gso", "yes", "Take super-packets of up to 64 KiB whole, which is most of the speed"),
    key(
        "nfq.mode",
        "accept",
        "How accepted packets go on: `accept` to the next chain, `repeat` through the chains again with a mark, `route` into another queue",
    ),
    key("nfq.repeat-mark", "", "The packet mark for `repeat`; your rules must let it pass by the queue"),
    key("nfq.repeat-mask", "", "Bits of the packet mark that `repeat-mark` may change; all, if not set"),
    key("nfq.bypass-mark", "", "The packet mark that packets of cleared connections leave with"),
    key("nfq.bypass-mask", "", "Bits of the packet mark that `bypass-mark` may change; all, if not set"),
    key("nfq.route-queue", "", "The queue for `route`"),
    key("nfq.batchcount", "64", "At most so many verdicts in one message"),
    key("nfq.fail-open", "yes", "Suricata's name for `queue.fail-open`, which wins if both are set"),
    key(
        "gate.hook",
        "forward",
        "`forward` on a gateway, `host` for the machine itself (input and output), `prerouting` before routing",
    ),
    key(
        "gate.priority",
        "20",
        "Priority of our chains. 10 to 50 is behind the firewall's filter and before source NAT",
    ),
    key(
        "gate.install",
        "yes",
        "Install our nftables table at start. `no`: serve as the target of your own queue rules",
    ),
    key(
        "gate.remove-on-exit",
        "no",
        "Take the table away at a graceful stop. Without it it stays, and lets packets pass while nobody listens",
    ),
    key(
        "gate.never-block",
        "",
        "Addresses that no rule may block (`tidegate_block`), as in rules: `[10.0.0.0/8,$DNS_SERVERS]`",
    ),
    key(
        "fate.store",
        "auto",
        "Where a connection's fate is left for the kernel: `label`, `mark`, or `auto` by what is free",
    ),
    key("fate.mask", "0x07000000", "Our bits of the conntrack mark; no other bit is ever written"),
    key(
        "fate.clear.pass",
        "yes",
        "The kernel passes the rest of what a `pass` rule cleared. `no`: it comes up and passes here",
    ),
    key("fate.clear.bypass", "yes", "The same for rules with the keyword `bypass`"),
    key(
        "fate.clear.elephant",
        "0",
        "Clear a connection that has moved more bytes than this, both directions together; 0: never",
    ),
    key(
        "fate.flowtable",
        "no",
        "Put cleared connections into a flowtable, which is faster and goes round all other chains",
    ),
    key(
        "fate.flowtable-devices",
        "",
        "Its devices; all but loopback that are there at a start or a reload, if not set",
    ),
    key("fate.label", "112", "The first of our sixteen conntrack labels, a multiple of 16; no other is ever written"),
    key(
        "exception-policy",
        "auto",
        "Suricata's: what `policy.flow-memcap`, `stream.midstream-policy`, `stream.reassembly.memcap-policy` and `app-layer.error-policy` are where they are not set. `auto`: their own defaults, which drop nothing",
    ),
    key(
        "policy.invalid",
        "pass",
        "What a packet meets that conntrack calls INVALID: `pass` (rules judge what they can) or `drop`. This and the policies below also know Suricata's words: `ignore` and `pass-packet` are `pass`, `drop-packet` is `drop`; `pass-flow` (or `bypass`), `drop-flow` and `reject` are about the rest of the connection, too, where there is one",
    ),
    key("policy.untracked", "pass", "The same for a packet without a connection"),
    key("policy.decode-error", "pass", "The same for a packet that cannot be decoded"),
    key("policy.flow-memcap", "pass", "The same for a new connection that meets a full flow table"),
    key("flow.memcap-policy", "pass", "Suricata's name for `policy.flow-memcap`"),
    key("flow.count-max", "524288", "Connections known at once; beyond it `policy.flow-memcap` decides"),
    key(
        "flow.sweep-interval",
        "60",
        "Seconds between comparisons with the kernel's table, for its events may get lost",
    ),
    key(
        "stream.midstream",
        "auto",
        "Follow connections that are older than we are, from the first data that we see: `yes`, `no` (rules judge their packets one by one), or `auto`, which is `yes` behind a queue and `no` in `replay`",
    ),
    key(
        "stream.async-oneside",
        "auto",
        "Follow TCP connections of which one side alone is seen, because the other goes another way: `yes`, `no` (rules judge their packets one by one), or `auto`, which is `no` only in `replay` without `--ips`",
    ),
    key(
        "stream.midstream-policy",
        "pass",
        "A TCP connection that is older than we are, where `stream.midstream` has such not followed",
    ),
    key(
        "stream.bypass",
        "no",
        "Clear a connection when both its directions have reached `stream.reassembly.depth`: the kernel then passes the rest",
    ),
    key(
        "stream.overlap",
        "drop",
        "A segment that contradicts bytes (or a FIN) which were forwarded before it, and which the receiver has not acknowledged: `drop` or `pass`. No TCP sends such; see [decisions/0010](decisions/0010-streams-inline.md)",
    ),
    key("stream.reassembly.memcap", "256mb", "What all streams may hold together"),
    key(
        "stream.reassembly.memcap-policy",
        "pass",
        "A segment for which there is no memory, because of `memcap` or `held-max`: `pass` on uninspected, counted, or `drop`",
    ),
    key("stream.reassembly.depth", "1mb", "Streams are followed so far, per direction; 0: to their end"),
    key(
        "stream.reassembly.beyond-depth",
        "packets",
        "What rules see behind the depth: each packet's payload alone, as in Suricata, or `nothing` of it, for most of \
         `stream.bypass`'s speed on long downloads. Headers are judged either way",
    ),
    key("stream.reassembly.window", "4kb", "Older bytes that rules see in front of new ones"),
    key(
        "stream.reassembly.held-max",
        "1mb",
        "What one direction may hold: out of order, not acknowledged, and the window",
    ),
    key(
        "stream.reassembly.urgent.policy",
        "oob",
        "Urgent bytes: `oob` beside the stream, as most servers read them (rules see the packet as it is, too), `inline` in it, or `drop` the packet",
    ),
    key(
        "conntrack.sysctl",
        "set",
        "`set` turns on `nf_conntrack_acct`, `_timestamp` and `_events`, which flow records need; `keep` only says what is missing",
    ),
    key(
        "conntrack.ask",
        "yes",
        "Behind rules of others (`--no-install`): keep the table `inet tidegate_conntrack`, which no packet meets, so that the kernel tracks connections; `no` only warns where nobody asks",
    ),
    key(
        "conntrack.br-netfilter",
        "refuse",
        "Rules of the bridge family queue to us, and `br_netfilter` shows bridged packets to the IP hooks as well, with which attacks pass: `refuse` to start, or `allow` and only warn",
    ),
    key("conntrack.event-buffer", "32mb", "Receive buffer for the kernel's events"),
    key("app-layer.error-policy", "pass", "A connection whose parser has given up: it is not what it began as"),
    key(
        "app-layer.memcap",
        "1gb",
        "What the transactions of all flows may hold; beyond it flows go on without a parser",
    ),
    key("app-layer.protocols.http.enabled", "yes", "Whether HTTP is read; likewise for every other protocol"),
    key(
        "app-layer.protocols.http.libhtp.default-config.personality",
        "IDS",
        "How a URI is read: `IDS` undoes what any server would",
    ),
    key(
        "app-layer.protocols.http.libhtp.default-config.request-body-limit",
        "100kb",
        "So much of a request's body can rules look into; 0 is 64mb",
    ),
    key(
        "app-layer.protocols.http.libhtp.default-config.response-body-limit",
        "100kb",
        "So much of a response's body can rules look into; 0 is 64mb",
    ),
    key(
        "app-layer.protocols.http.libhtp.default-config.response-body-decompress-layer-limit",
        "2",
        "So many compressions on top of each other are undone",
    ),
    key(
        "app-layer.protocols.http.libhtp.default-config.double-decode-path",
        "no",
        "Decode `%25xx` in paths to the end",
    ),
    key("app-layer.protocols.http.libhtp.default-config.double-decode-query", "no", "The same for queries"),
    key(
        "app-layer.protocols.http.libhtp.default-config.uri-include-all",
        "no",
        "`http.uri` has scheme, host and port, too, where they were sent",
    ),
    key(
        "app-layer.protocols.tls.encryption-handling",
        "track-only",
        "Once a connection is encrypted: `track-only` looks no longer into its payload, `bypass` lets the rest pass uninspected, `full` goes on as before",
    ),
    key("app-layer.protocols.tls.ja3-fingerprints", "yes", "JA3 and JA3S. `auto` is `yes`"),
    key("app-layer.protocols.tls.ja4-fingerprints", "yes", "JA4, of QUIC too. `auto` is `yes`"),
    key("unix-command.enabled", "yes", "The control socket. `auto` is `yes`"),
    key("unix-command.filename", "tidegate-command.socket", "Relative names are under `/run/tidegate`"),
    key("pid-file", "", "Relative names are under `/run/tidegate`. `--pidfile` sets it"),
    key(
        "run-as.user",
        "",
        "Whom to become after the start. CAP_NET_ADMIN is kept, for the kernel asks for it at each verdict",
    ),
    key("run-as.group", "", "Without it the user's own"),
];
