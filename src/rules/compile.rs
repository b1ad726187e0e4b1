//! Rule texts become plans, and plans a rule set. Nothing here stops at a mistake.

use std::collections::HashMap;
use std::sync::Arc;

use super::app::{AppProto, AppProtoSet, AppTest, AppTransport};
use super::config::{Classifications, References, Source};
use super::dataset::DataSets;
use super::error::{Code, Diagnostic, Mistake, Severity, Span, nearest};
use super::keyword::buffers::Buffer;
use super::keyword::{Arg, Around, BufferDraft, Draft, Need, PcreLimits, table};
use super::lex::{RuleText, rule_texts};
use super::literal::Literal;
use super::magic;
use super::meta::{RuleAction, RuleMeta};
use super::parse::{RuleAst, parse};
use super::plan::{
    Absence, Amount, BitChange, BufferPlan, BufferTest, Chain, Effect, FastPattern, FlowTest, Header, HeaderProtocol,
    NameId, NumberTest, PacketTest, Rule, StateTest, Step, Toward,
};
use super::reputation::Reputation;
use super::ruleset::RuleSet;
use super::thresholds::Thresholds;
use super::vars::{Sets, Vars};

/// What the words of rules refer to.
#[derive(Clone, Debug, Default)]
pub struct Context {
    pub vars: Vars,
    pub classifications: Classifications,
    pub references: References,
    pub thresholds: Thresholds,
    pub datasets: DataSets,
    pub reputation: Reputation,
}

/// How to compile.
#[derive(Clone, Debug)]
pub struct Options {
    /// The number that the rule set carries; a reload counts it up.
    pub generation: u64,
    /// `action-order`: the kinds of actions, first judged first. `Reject` stands for all rejects.
    pub action_order: [RuleAction; 4],
    pub pcre_limits: PcreLimits,
    /// There is somewhere to store files; otherwise `filestore` only matches.
    pub stores_files: bool,
    /// Whether JA3 and JA4 are made: what `requires:feature` asks.
    pub fingerprints: (bool, bool),
}

impl Default for Options {
    fn default() -> Self {
        Options {
            generation: 1,
            action_order: [RuleAction::Pass, RuleAction::Drop, RuleAction::Reject, RuleAction::Alert],
            pcre_limits: PcreLimits::default(),
            stores_files: false,
            fingerprints: (true, true),
        }
    }
}

/// A rule that did not load, and its first mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    pub file: Arc<str>,
    pub line: u32,
    pub sid: Option<u32>,
    pub code: Code,
    pub message: String,
}

/// What came of the sources.
#[derive(Debug)]
pub struct Compiled {
    pub set: Arc<RuleSet>,
    /// In the order of the sources; warnings stand among the errors.
    pub diagnostics: Vec<Diagnostic>,
    /// Rules seen: loaded, rejected and replaced by another revision.
    pub rules: usize,
    pub rejected: Vec<Rejected>,
    /// Rules that gave way to another one with the same sid.
    pub replaced: usize,
    /// Rules that require what is not here.
    pub left_out: usize,
}

impl Compiled {
    #[must_use]
    pub fn loaded(&self) -> usize {
        self.set.len()
    }
}

/// A rule that will load unless another one with its sid is newer.
struct Loaded {
    rule: Rule,
    literal: Option<Literal>,
    file: usize,
    line: u32,
}

struct Compiler<'c> {
    context: &'c Context,
    pcre_limits: PcreLimits,
    stores_files: bool,
    fingerprints: (bool, bool),
    generation: u64,
    sets: Sets<'c>,
    diagnostics: Vec<Diagnostic>,
    rejected: Vec<Rejected>,
    loaded: Vec<Option<Loaded>>,
    by_sid: HashMap<(u32, u32), usize>,
    replaced: usize,
    left_out: usize,
    bits_set: HashMap<NameId, ()>,
    bits_tested: HashMap<NameId, Diagnostic>,
}

/// Compiles all rules of all sources. The set holds every rule that is right; the diagnostics tell of the others.
#[must_use]
pub fn compile(sources: &[Source], context: &Context, options: &Options) -> Compiled {
    let mut compiler = Compiler {
        context,
        pcre_limits: options.pcre_limits,
        stores_files: options.stores_files,
        fingerprints: options.fingerprints,
        generation: options.generation,
        sets: Sets::new(&context.vars),
        diagnostics: Vec::new(),
        rejected: Vec::new(),
        loaded: Vec::new(),
        by_sid: HashMap::new(),
        replaced: 0,
        left_out: 0,
        bits_set: HashMap::new(),
        bits_tested: HashMap::new(),
    };
    let mut rules = 0;
    for (file, source) in sources.iter().enumerate() {
        for text in rule_texts(&source.text) {
            rules += 1;
            compiler.rule(file, source, &text, sources);
        }
    }
    compiler.finish(rules, options)
}

impl Compiler<'_> {
    fn rule(&mut self, file: usize, source: &Source, text: &RuleText<'_>, sources: &[Source]) {
        let mut mistakes = Vec::new();
        let around = Around {
            datasets: &self.context.datasets,
            reputation: &self.context.reputation,
            generation: self.generation,
            file: &source.name,
            fingerprints: self.fingerprints,
        };
        let mut draft = Draft::new(self.pcre_limits, around);
        let made = self.read(&text.text, &mut draft, &mut mistakes);
        let sid = draft.sid;
        let unknown = |mistake: &Mistake| mistake.code.severity() == Severity::Error;
        let unmet = draft.unmet.take().or_else(|| draft.tried.take().filter(|_| mistakes.iter().any(unknown)));
        if let Some((what, span)) = unmet {
            let mistake = Mistake::new(Code::LeftOut, span, format!("it requires `{what}`"));
            self.diagnostics.push(text.locate(mistake, &source.name, &source.text, sid));
            self.left_out += 1;
            return;
        }
        // What is wrong comes before what is only not honoured yet, and that before what is only told.
        let kind = |code: Code| match (code.severity(), code) {
            (Severity::Warning, _) => 2,
            (_, Code::NeedsParser | Code::NotHonoured) => 1,
            _ => 0,
        };
        mistakes.sort_by_key(|mistake| (kind(mistake.code), mistake.span.start));
        let broken = mistakes.first().is_none_or(|first| first.code.severity() == Severity::Error);
        let located = mistakes.into_iter().map(|mistake| text.locate(mistake, &source.name, &source.text, sid));
        let located: Vec<Diagnostic> = located.collect();
        match (made, located.first()) {
            (Some((rule, literal)), first) if first.is_none() || !broken => {
                self.note_bits(&draft, text, source);
                let line = text.line();
                self.add(Loaded { rule, literal, file, line }, text, source, sources);
            }
            (_, first) => self.rejected.extend(first.map(|first| Rejected {
                file: Arc::clone(&source.name),
                line: text.line(),
                sid,
                code: first.code,
                message: first.message(),
            })),
        }
        self.diagnostics.extend(located);
    }

    fn read<'t>(
        &mut self,
        text: &'t str,
        draft: &mut Draft<'t>,
        mistakes: &mut Vec<Mistake>,
    ) -> Option<(Rule, Option<Literal>)> {
        if let Some(at) = text.find('\u{fffd}') {
            mistakes.push(
                Mistake::new(Code::Encoding, Span::new(at, at + 3), "a byte that is not UTF-8")
                    .help("write the byte in hex: `|e9|`"),
            );
        }
        let ast = parse(text, mistakes)?;
        read_options(text, &ast, draft, mistakes);
        let header = self.header(text, &ast, draft, mistakes);
        check(draft, &ast, header.as_ref(), mistakes);
        let sid = match draft.sid {
            Some(sid) => sid,
            None => {
                if !mistakes.iter().any(|mistake| mistake.code == Code::Sid) {
                    let end = text.len().saturating_sub(1);
                    mistakes.push(
                        Mistake::new(Code::Sid, Span::new(end, text.len()), "`sid` is missing")
                            .help("add `sid:1000001;` (1,000,000 to 1,999,999 are for your own rules)"),
                    );
                }
                return None;
            }
        };
        let meta = self.meta(text, &ast, draft, sid, mistakes);
        check_direction(draft, mistakes);
        let toward = draft.toward();
        let buffers = nest_base64(std::mem::take(&mut draft.buffers));
        let on_transactions = is_on_transactions(draft, &buffers);
        let literal = Literal::of(&buffers, on_transactions);
        let needs_payload = buffers.iter().any(|buffer| buffer.buffer == Buffer::PAYLOAD);
        let header = header?;
        let meta = Arc::new(meta);
        let rule = Rule {
            meta: Arc::clone(&meta),
            ip_only: is_ip_only(draft, &header, buffers.is_empty()),
            flow_start: draft.flow_start,
            header,
            flow: FlowTest { toward, ..draft.flow.unwrap_or_default() },
            packet: draft.packet.iter().map(|(test, _)| *test).collect(),
            measures: draft.measures.iter().map(|(measure, _)| *measure).collect(),
            state: draft.state.iter().map(|(test, _)| test.clone()).collect(),
            buffers: buffers
                .into_iter()
                .map(|buffer| BufferPlan {
                    buffer: buffer.buffer,
                    transforms: buffer.transforms.into(),
                    chains: chains(buffer.tests.into_iter().map(|(test, _)| test).collect()),
                    absence: buffer.absence,
                })
                .collect(),
            needs_payload,
            app: draft.app.iter().map(|(test, _)| test.clone()).collect(),
            on_transactions,
            effects: draft.effects.iter().map(|(effect, _)| effect.clone()).collect(),
            threshold: self.context.thresholds.threshold(meta.gid, sid, draft.threshold),
            rate: self.context.thresholds.rate(meta.gid, sid),
            suppressions: self.context.thresholds.suppressions(meta.gid, sid),
            noalert: draft.noalert || ast.action == RuleAction::Pass && !draft.tells_of_pass,
            bypass: draft.bypass,
            tags: draft.tags.iter().copied().collect(),
            filestore: draft.filestore.filter(|_| self.stores_files),
        };
        Some((rule, literal))
    }

    fn header(
        &mut self,
        text: &str,
        ast: &RuleAst,
        draft: &mut Draft<'_>,
        mistakes: &mut Vec<Mistake>,
    ) -> Option<Header> {
        let protocol = protocol(text, ast.protocol, draft, mistakes);
        let (protocol, app) = protocol.unzip();
        let mut told = |result: Result<_, Mistake>| result.map_err(|mistake| mistakes.push(mistake)).ok();
        let src = told(self.sets.addresses(text, ast.src));
        let dst = told(self.sets.addresses(text, ast.dst));
        let mut told = |result: Result<_, Mistake>| result.map_err(|mistake| mistakes.push(mistake)).ok();
        let src_ports = told(self.sets.ports(text, ast.src_ports));
        let dst_ports = told(self.sets.ports(text, ast.dst_ports));
        Some(Header {
            protocol: protocol?,
            app: app?,
            src: src?,
            src_ports: src_ports?,
            dst: dst?,
            dst_ports: dst_ports?,
            both_ways: ast.both_ways,
        })
    }

    fn meta(&self, text: &str, ast: &RuleAst, draft: &Draft<'_>, sid: u32, mistakes: &mut Vec<Mistake>) -> RuleMeta {
        let classes = &self.context.classifications;
        let class = draft.classtype.and_then(|(name, span)| {
            let found = classes.find(name);
            if found.is_none() && !classes.is_empty() {
                let mistake = Mistake::new(Code::Classtype, span, format!("`{name}` is not in classification.config"));
                mistakes.push(match nearest(name, classes.names()) {
                    Some(near) => mistake.help(format!("did you mean `{near}`?")),
                    None => mistake,
                });
            }
            found
        });
        RuleMeta {
            action: ast.action,
            gid: draft.gid.unwrap_or(1),
            sid,
            rev: draft.rev.unwrap_or(0),
            msg: draft.msg.clone().unwrap_or_default(),
            classtype: draft.classtype.map(|(name, _)| name.to_owned()).unwrap_or_default(),
            category: class.map(|class| class.description.clone()).unwrap_or_default(),
            priority: draft.priority.or(class.map(|class| class.priority)).unwrap_or(3),
            references: self.references(draft, mistakes),
            metadata: draft.metadata.clone(),
            target: draft.target,
            text: text.to_owned(),
        }
    }

    fn references(&self, draft: &Draft<'_>, mistakes: &mut Vec<Mistake>) -> Vec<String> {
        let known = &self.context.references;
        let resolve = |(kind, value, span): &(String, String, Span)| match known.prefix(kind) {
            Some(prefix) => format!("{prefix}{value}"),
            None => {
                if !known.is_empty() {
                    let label = format!("`{kind}` is not in reference.config");
                    mistakes.push(Mistake::new(Code::ReferenceType, *span, label));
                }
                format!("{kind},{value}")
            }
        };
        draft.references.iter().map(resolve).collect()
    }

    /// Remembers which flowbits are set somewhere, and the first place where each is asked for.
    fn note_bits(&mut self, draft: &Draft<'_>, text: &RuleText<'_>, source: &Source) {
        for (effect, _) in &draft.effects {
            if let Effect::FlowBit { name, change: BitChange::Set | BitChange::Toggle } = effect {
                self.bits_set.insert(*name, ());
            }
        }
        let asked = draft.state.iter().filter_map(|(test, _)| match test {
            StateTest::FlowBits { any_of, set: true } => Some(any_of),
            _ => None,
        });
        for name in asked.flatten() {
            if self.bits_tested.contains_key(name) {
                continue;
            }
            let found = draft.flowbit_names.iter().find(|(known, _)| NameId::of(known) == *name);
            let Some((known, span)) = found else { continue };
            let mistake = Mistake::new(Code::FlowbitUnset, *span, format!("no loaded rule sets `{known}`"))
                .help("this rule cannot match until a rule with `flowbits:set` for it is loaded");
            self.bits_tested.insert(*name, text.locate(mistake, &source.name, &source.text, draft.sid));
        }
    }

    /// Files a rule, or lets the newer of two with one sid stand.
    fn add(&mut self, loaded: Loaded, text: &RuleText<'_>, source: &Source, sources: &[Source]) {
        let meta = &loaded.rule.meta;
        let key = (meta.gid, meta.sid);
        let Some(at) = self.by_sid.get(&key).copied() else {
            self.by_sid.insert(key, self.loaded.len());
            self.loaded.push(Some(loaded));
            return;
        };
        self.replaced += 1;
        let (sid, rev) = (meta.sid, meta.rev);
        let Some(slot) = self.loaded.get_mut(at) else { return };
        let Some(before) = slot.as_ref() else { return };
        let place = sources.get(before.file).map_or("", |source| &source.name);
        let older_rev = before.rule.meta.rev;
        let label = format!("sid {sid} stands in {place}:{} too", before.line);
        let newer = rev > older_rev;
        let help = match newer {
            true => format!("rev {rev} here is higher than rev {older_rev} there: this one stands"),
            false => format!("rev {rev} here is not higher than rev {older_rev} there: the other one stands"),
        };
        let at = text.text.find("sid").unwrap_or(0);
        let mistake = Mistake::new(Code::DuplicateSid, Span::new(at, at + 3), label).help(help);
        self.diagnostics.push(text.locate(mistake, &source.name, &source.text, Some(sid)));
        if newer {
            *slot = Some(loaded);
        }
    }

    fn finish(mut self, rules: usize, options: &Options) -> Compiled {
        let unset = self.bits_tested.into_iter().filter(|(name, _)| !self.bits_set.contains_key(name));
        self.diagnostics.extend(unset.map(|(_, diagnostic)| diagnostic));
        self.diagnostics.sort_by(|a, b| {
            let place = |d: &Diagnostic| (d.line, d.column);
            a.file.cmp(&b.file).then(place(a).cmp(&place(b)))
        });
        let mut loaded: Vec<Loaded> = self.loaded.into_iter().flatten().collect();
        // Stable: what is equal here keeps the order of the files.
        loaded.sort_by_key(|loaded| order(&loaded.rule, options));
        let (rules_in_order, literals): (Vec<Rule>, Vec<Option<Literal>>) =
            loaded.into_iter().map(|loaded| (loaded.rule, loaded.literal)).unzip();
        let set = RuleSet::new(options.generation, rules_in_order, &literals)
            .with_reputation(self.context.reputation.clone());
        Compiled {
            set: Arc::new(set),
            diagnostics: self.diagnostics,
            rules,
            rejected: self.rejected,
            replaced: self.replaced,
            left_out: self.left_out,
        }
    }
}

/// What is judged first: by action, then setters of flowbits before those who ask, then by priority.
fn order(rule: &Rule, options: &Options) -> (usize, u8, u8) {
    let action = match rule.action() {
        RuleAction::RejectDst | RuleAction::RejectBoth => RuleAction::Reject,
        action => action,
    };
    let rank = options.action_order.iter().position(|kind| *kind == action).unwrap_or(usize::MAX);
    let sets = !rule.effects.is_empty();
    let asks = !rule.state.is_empty();
    let bits = match (sets, asks) {
        (true, false) => 0,
        (true, true) => 1,
        (false, true) => 2,
        (false, false) => 3,
    };
    (rank, bits, rule.meta.priority)
}

fn read_options<'t>(text: &'t str, ast: &RuleAst, draft: &mut Draft<'t>, mistakes: &mut Vec<Mistake>) {
    for option in &ast.options {
        let name = option.name.of(text);
        let Some(keyword) = table().find(name) else {
            mistakes.push(unknown_keyword(name, option.name));
            continue;
        };
        let span = option.value.unwrap_or(Span::new(option.name.end, option.name.end));
        let arg = Arg { rule: text, name: option.name, span };
        if let Err(mistake) = draft.apply(keyword, &arg) {
            mistakes.push(mistake);
        }
    }
    mistakes.append(&mut draft.warnings);
}

fn unknown_keyword(name: &str, span: Span) -> Mistake {
    let mistake = Mistake::new(Code::Keyword, span, format!("`{name}` is not known"));
    match nearest(name, table().names()) {
        Some(near) => mistake.help(format!("did you mean `{near}`?")),
        None => mistake.help("`tidegate keywords` lists all"),
    }
}

const PROTOCOLS: [(&str, HeaderProtocol); 21] = [
    ("ip", HeaderProtocol::Ip),
    ("ipv4", HeaderProtocol::Ipv4),
    ("ip4", HeaderProtocol::Ipv4),
    ("ipv6", HeaderProtocol::Ipv6),
    ("ip6", HeaderProtocol::Ipv6),
    ("tcp", HeaderProtocol::Tcp),
    ("tcp-pkt", HeaderProtocol::TcpPkt),
    ("tcp-stream", HeaderProtocol::TcpStream),
    ("udp", HeaderProtocol::Udp),
    ("icmp", HeaderProtocol::Icmp),
    ("icmpv4", HeaderProtocol::Icmpv4),
    ("icmp4", HeaderProtocol::Icmpv4),
    ("icmpv6", HeaderProtocol::Icmpv6),
    ("icmp6", HeaderProtocol::Icmpv6),
    ("sctp", HeaderProtocol::Sctp),
    ("igmp", HeaderProtocol::Igmp),
    ("arp", HeaderProtocol::Arp),
    ("ether", HeaderProtocol::Ether),
    ("pkthdr", HeaderProtocol::PktHdr),
    ("any", HeaderProtocol::Ip),
    ("ip-any", HeaderProtocol::Ip),
];

/// An application protocol's word in a rule header.
#[derive(Clone, Copy)]
struct AppWord {
    name: &'static str,
    /// What it rests on.
    under: HeaderProtocol,
    protocols: AppProtoSet,
    /// `None`: there is a parser.
    need: Option<Need>,
}

const fn word(name: &'static str, under: HeaderProtocol, protocols: &[AppProto], need: Option<Need>) -> AppWord {
    AppWord { name, under, protocols: AppProtoSet::of(protocols), need }
}

/// What an application protocol's word stands for, and what has to be there before it can be recognised.
fn app(name: &str) -> Option<AppWord> {
    if let Some(word) = OTHER_WORDS.iter().find(|word| word.name == name) {
        return Some(*word);
    }
    let protocol = AppProto::ALL.into_iter().find(|protocol| protocol.name() == name)?;
    let need = UNREAD.iter().find(|(unread, _)| *unread == protocol).map(|(_, need)| *need);
    let under = match protocol.transport() {
        AppTransport::Tcp => HeaderProtocol::Tcp,
        AppTransport::Udp => HeaderProtocol::Udp,
        AppTransport::Both => HeaderProtocol::Ip,
    };
    Some(AppWord { name: protocol.name(), under, protocols: AppProtoSet::of(&[protocol]), need })
}

pub(super) fn app_word(name: &str) -> Option<(AppProtoSet, Option<Need>)> {
    app(name).map(|word| (word.protocols, word.need))
}

pub(super) fn app_words() -> impl Iterator<Item = &'static str> {
    OTHER_WORDS.iter().map(|word| word.name).chain(AppProto::ALL.into_iter().map(AppProto::name))
}

/// Words that mean something else than the protocol of that name, which every protocol has without a line here.
const OTHER_WORDS: &[AppWord] = &[
    word("http", HeaderProtocol::Tcp, &[AppProto::Http1, AppProto::Http2, AppProto::Doh2], None),
    word("http2", HeaderProtocol::Tcp, &[AppProto::Http2, AppProto::Doh2], None),
    word("llmnr", HeaderProtocol::Ip, &[AppProto::Llmnr], None),
    word("dns", HeaderProtocol::Ip, &[AppProto::Dns, AppProto::Doh2], None),
    word("http1", HeaderProtocol::Tcp, &[AppProto::Http1], None),
    word("ssl", HeaderProtocol::Tcp, &[AppProto::Tls], None),
    word("dcerpc", HeaderProtocol::Ip, &[AppProto::Dcerpc, AppProto::Smb], None),
    word("ikev2", HeaderProtocol::Udp, &[AppProto::Ike], None),
    word("template", HeaderProtocol::Tcp, &[], Some(Need::Parser("template"))),
    word("msn", HeaderProtocol::Tcp, &[], Some(Need::Never("MSN is not parsed; use `tcp` with the port"))),
];

/// Protocols without a parser.
const UNREAD: &[(AppProto, Need)] = &[
    (AppProto::BittorrentDht, Need::Parser("BitTorrent")),
    (AppProto::Pgsql, Need::Parser("PostgreSQL")),
    (AppProto::Ldap, Need::Never("LDAP is not parsed; use `tcp` with the port")),
    (AppProto::Imap, Need::Never("IMAP is not parsed; use `tcp` with the port")),
    (AppProto::Pop3, Need::Never("POP3 is not parsed; use `tcp` with the port")),
    (AppProto::Telnet, Need::Never("Telnet is not parsed; use `tcp` with the port")),
    (AppProto::Irc, Need::Never("IRC is not parsed; use `tcp` with the port")),
    (AppProto::Websocket, Need::Never("WebSocket is not parsed; use `tcp` with the port")),
];

fn protocol(
    text: &str,
    span: Span,
    draft: &mut Draft<'_>,
    mistakes: &mut Vec<Mistake>,
) -> Option<(HeaderProtocol, AppProtoSet)> {
    let written = span.of(text).to_ascii_lowercase();
    let (word, hook) = written.split_once(':').map_or((&*written, None), |(word, hook)| (word, Some(hook)));
    if let Some((_, protocol)) = PROTOCOLS.iter().find(|(name, _)| *name == word) {
        read_hook(hook, span, draft, mistakes);
        return Some((*protocol, AppProtoSet::EMPTY));
    }
    if let Some(app) = app(word) {
        if let Some(need) = app.need {
            draft.needs.insert(0, (need, span));
        }
        if hook.is_some() {
            draft.needs.push((Need::Never("rules are not tied to the states of an application protocol"), span));
        }
        return Some((app.under, app.protocols));
    }
    let names = PROTOCOLS.iter().map(|(name, _)| *name).chain(app_words());
    let mistake = Mistake::new(Code::Protocol, span, format!("`{word}` is not known"));
    mistakes.push(match nearest(word, names) {
        Some(near) => mistake.help(format!("did you mean `{near}`?")),
        None => mistake.help("protocols are ip, ipv4, ipv6, tcp, udp, icmp, icmpv6, sctp and application protocols"),
    });
    None
}

/// Suricata 8 lets a rule say when it is judged: `tcp:flow_start`.
fn read_hook(hook: Option<&str>, span: Span, draft: &mut Draft<'_>, mistakes: &mut Vec<Mistake>) {
    match hook {
        None | Some("all") => {}
        Some("flow_start") => draft.flow_start = true,
        Some(hook) => {
            let mistake = Mistake::new(Code::Protocol, span, format!("the hook `{hook}` is not known"));
            mistakes.push(mistake.help("packets have the hooks all and flow_start"));
        }
    }
}

/// Suricata's rule: no ports, no direction, no question but about addresses and memory.
fn is_ip_only(draft: &Draft<'_>, header: &Header, no_buffers: bool) -> bool {
    no_buffers
        && header.app.is_empty()
        && draft.app.is_empty()
        && draft.flow.is_none()
        && !draft.flow_start
        && draft.packet.iter().all(|(test, _)| matches!(test, PacketTest::Reputation { .. }))
        && draft.measures.is_empty()
        && header.src_ports.is_any()
        && header.dst_ports.is_any()
        && !matches!(header.protocol, HeaderProtocol::PktHdr | HeaderProtocol::TcpPkt | HeaderProtocol::TcpStream)
}

/// What can only be judged when all options are read.
fn check(draft: &mut Draft<'_>, ast: &RuleAst, header: Option<&Header>, mistakes: &mut Vec<Mistake>) {
    draft.buffers.retain(|buffer| buffer.selected.is_some() || !buffer.tests.is_empty());
    for buffer in &draft.buffers {
        // Where something else is wrong, that may be why the buffer stays empty.
        let explained = mistakes.iter().any(|mistake| mistake.code.severity() == Severity::Error);
        let asked = !buffer.tests.is_empty() || buffer.absence == Absence::Required;
        if let (Absence::Required, Some((_, span))) = (buffer.absence, buffer.tests.first()) {
            mistakes.push(
                Mistake::new(Code::Impossible, *span, "nothing is in a buffer that is absent")
                    .help("write `absent:or_else;` if it may be there with this in it"),
            );
        }
        if let (Some(selected), false, false) = (buffer.selected, asked, explained) {
            mistakes.push(
                Mistake::new(Code::EmptyBuffer, selected, "no content follows before another buffer is selected")
                    .help("put what is to be in it behind it, or take it out: a buffer is for the contents after it"),
            );
        }
    }
    if let Some(kinds) = draft.buffers.iter().find(|buffer| buffer.buffer == Buffer::FILE_MAGIC)
        && let Err(why) = magic::prepare()
    {
        mistakes.push(Mistake::new(Code::NotHonoured, kinds.selected.unwrap_or_default(), why));
    }
    check_contents(draft, mistakes);
    check_sizes(draft, mistakes);
    check_base64(draft, mistakes);
    check_fast_patterns(draft, mistakes);
    if let Some(header) = header {
        check_protocol(draft, header, mistakes);
    }
    if ast.action == RuleAction::Pass && draft.noalert {
        mistakes.push(Mistake::new(Code::Conflict, ast.protocol, "`pass` with `noalert`: pass never alerts"));
    }
    if let Some((need, span)) = draft.needs.first() {
        let code = match need {
            Need::Parser(_) => Code::NeedsParser,
            Need::Never(_) => Code::NotHonoured,
        };
        mistakes.push(Mistake::new(code, *span, need.to_string()));
    }
}

/// Buffers that only one side fills, in a rule for the other side or beside buffers of the other side.
fn check_direction(draft: &Draft<'_>, mistakes: &mut Vec<Mistake>) {
    let side = |toward| match toward {
        Toward::Server => "to_server",
        Toward::Client => "to_client",
    };
    let mut wanted = draft.flow.and_then(|flow| flow.toward);
    for buffer in &draft.buffers {
        let info = buffer.buffer.info();
        let Some(toward) = info.toward else { continue };
        if *wanted.get_or_insert(toward) != toward {
            let span = buffer.selected.or(buffer.tests.first().map(|(_, span)| *span)).unwrap_or_default();
            let label =
                format!("`{}` is filled by {} data, and the rule asks for the other side", info.name, side(toward));
            mistakes.push(Mistake::new(Code::Impossible, span, label).help("make two rules of it, tied by a flowbit"));
        }
    }
}

fn check_contents(draft: &Draft<'_>, mistakes: &mut Vec<Mistake>) {
    for (test, span) in draft.buffers.iter().flat_map(|buffer| &buffer.tests) {
        let BufferTest::Content(content) = test else { continue };
        let length = i64::try_from(content.pattern.len()).unwrap_or(i64::MAX);
        for (word, limit) in [("depth", content.depth), ("within", content.within)] {
            if let Some(Amount::Number(limit)) = limit
                && limit < length
            {
                let label = format!("{length} bytes do not fit into `{word}:{limit}`");
                mistakes.push(
                    Mistake::new(Code::TooShort, *span, label).help(format!("make it at least `{word}:{length};`")),
                );
            }
        }
    }
    let Some(size_max) = payload_size_max(draft) else { return };
    for (test, span) in draft.buffers.iter().filter(|buffer| buffer.is_payload()).flat_map(|buffer| &buffer.tests) {
        let BufferTest::Content(content) = test else { continue };
        let offset = match content.offset {
            Some(Amount::Number(offset)) => u64::try_from(offset).unwrap_or(0),
            _ => 0,
        };
        let needed = offset.saturating_add(content.pattern.len() as u64);
        if !content.negated && needed > size_max {
            let label = format!("needs {needed} bytes, and `dsize` allows {size_max}");
            mistakes.push(Mistake::new(Code::Impossible, *span, label));
        }
    }
}

/// A content longer than `bsize` or `urilen` allows can never be found; Suricata loads such rules. Transforms change lengths, so what is
/// transformed is left alone.
fn check_sizes(draft: &Draft<'_>, mistakes: &mut Vec<Mistake>) {
    for buffer in draft.buffers.iter().filter(|buffer| buffer.transforms.is_empty()) {
        let most = buffer.tests.iter().filter_map(|(test, _)| match test {
            BufferTest::Size(NumberTest::Equal(size) | NumberTest::LessOrEqual(size)) => Some(*size),
            BufferTest::Size(NumberTest::Less(size @ 1..) | NumberTest::Between(_, size)) => Some(size - 1),
            _ => None,
        });
        let Some(most) = most.min() else { continue };
        for (test, span) in &buffer.tests {
            let BufferTest::Content(content) = test else { continue };
            let offset = match content.offset {
                Some(Amount::Number(offset)) => u64::try_from(offset).unwrap_or(0),
                _ => 0,
            };
            let needed = offset.saturating_add(content.pattern.len() as u64);
            if !content.negated && needed > most {
                let label = format!("needs {needed} bytes, and the buffer's size is at most {most}");
                mistakes.push(Mistake::new(Code::NeverMatches, *span, label));
            }
        }
    }
}

/// `base64_data` needs something to decode, and is looked at as it is.
fn check_base64(draft: &Draft<'_>, mistakes: &mut Vec<Mistake>) {
    let decodes = |(test, _): &(BufferTest, Span)| matches!(test, BufferTest::Base64(_));
    let decoded = draft.buffers.iter().any(|buffer| buffer.tests.iter().any(decodes));
    for data in draft.buffers.iter().filter(|buffer| buffer.buffer == Buffer::BASE64_DATA) {
        let span = data.selected.or(data.tests.first().map(|(_, span)| *span)).unwrap_or_default();
        if !decoded {
            mistakes.push(
                Mistake::new(Code::Conflict, span, "nothing is decoded")
                    .help("a `base64_decode` must stand before `base64_data`"),
            );
        } else if !data.transforms.is_empty() {
            mistakes.push(Mistake::new(Code::Conflict, span, "`base64_data` takes no transforms"));
        } else if let Some((_, span)) = data.tests.iter().find(|test| decodes(test)) {
            mistakes.push(Mistake::new(Code::Conflict, *span, "base64 inside of base64 is not decoded"));
        }
    }
}

/// The largest payload that `dsize` lets through.
fn payload_size_max(draft: &Draft<'_>) -> Option<u64> {
    draft.packet.iter().find_map(|(test, _)| match test {
        PacketTest::PayloadSize(NumberTest::Equal(size) | NumberTest::LessOrEqual(size)) => Some(*size),
        PacketTest::PayloadSize(NumberTest::Less(size) | NumberTest::Between(_, size)) => Some(size.saturating_sub(1)),
        _ => None,
    })
}

fn check_fast_patterns(draft: &Draft<'_>, mistakes: &mut Vec<Mistake>) {
    let mut chosen = 0;
    for (test, span) in draft.buffers.iter().flat_map(|buffer| &buffer.tests) {
        let BufferTest::Content(content) = test else { continue };
        if content.fast_pattern == FastPattern::Unsaid {
            continue;
        }
        chosen += 1;
        if chosen > 1 {
            mistakes.push(Mistake::new(Code::Conflict, *span, "a second `fast_pattern` in one rule"));
        }
        let placed = content.is_relative() || content.offset.is_some() || content.depth.is_some();
        if content.fast_pattern == FastPattern::Only && (placed || content.negated) {
            mistakes.push(
                Mistake::new(Code::Conflict, *span, "`fast_pattern:only` on a content with a place or a negation")
                    .help("write `fast_pattern;`"),
            );
        } else if content.negated && placed {
            mistakes.push(Mistake::new(Code::Conflict, *span, "`fast_pattern` on a negated content with a place"));
        }
    }
}

fn check_protocol(draft: &Draft<'_>, header: &Header, mistakes: &mut Vec<Mistake>) {
    let of = |kinds: &[HeaderProtocol]| kinds.contains(&header.protocol);
    let open = of(&[HeaderProtocol::Ip, HeaderProtocol::Ipv4, HeaderProtocol::Ipv6, HeaderProtocol::PktHdr]);
    let tcp = open || of(&[HeaderProtocol::Tcp, HeaderProtocol::TcpPkt, HeaderProtocol::TcpStream]);
    let icmp = open || of(&[HeaderProtocol::Icmp, HeaderProtocol::Icmpv4, HeaderProtocol::Icmpv6]);
    for (test, span) in &draft.packet {
        let (fits, wanted) = match test {
            PacketTest::TcpFlags(_)
            | PacketTest::TcpSeq(_)
            | PacketTest::TcpAck(_)
            | PacketTest::TcpWindow { .. }
            | PacketTest::TcpMss(_) => (tcp, "tcp"),
            PacketTest::IcmpType(_) | PacketTest::IcmpCode(_) | PacketTest::IcmpId(_) | PacketTest::IcmpSeq(_) => {
                (icmp, "icmp")
            }
            _ => (true, ""),
        };
        if !fits {
            let label = format!("the rule's protocol has no such field; it is one of {wanted}");
            mistakes.push(Mistake::new(Code::Impossible, *span, label).help(format!("make it an `{wanted}` rule")));
        }
    }
    if header.protocol == HeaderProtocol::PktHdr
        && let Some((_, span)) = draft.buffers.iter().flat_map(|buffer| &buffer.tests).next()
    {
        let mistake = Mistake::new(Code::Impossible, *span, "a `pkthdr` rule looks at headers only");
        mistakes.push(mistake.help("use `ip` to look at payloads"));
    }
}

/// What is asked of `base64_data` becomes part of each `base64_decode`, which is what fills it.
fn nest_base64(mut buffers: Vec<BufferDraft>) -> Vec<BufferDraft> {
    let Some(at) = buffers.iter().position(|draft| draft.buffer == Buffer::BASE64_DATA) else { return buffers };
    let data = chains(buffers.remove(at).tests.into_iter().map(|(test, _)| test).collect());
    for (test, _) in buffers.iter_mut().flat_map(|draft| &mut draft.tests) {
        if let BufferTest::Base64(decode) = test {
            decode.data = data.clone();
        }
    }
    buffers
}

/// Whether the rule is about transactions: one of its questions can only be put to one.
fn is_on_transactions(draft: &Draft<'_>, buffers: &[BufferDraft]) -> bool {
    let asked = draft.app.iter().any(|(test, _)| !matches!(test, AppTest::Protocol { .. }));
    asked || buffers.iter().any(|buffer| buffer.buffer.is_app())
}

/// Cuts the tests of a buffer into chains that can be judged independently, cheapest first.
fn chains(tests: Vec<BufferTest>) -> Box<[Chain]> {
    let mut chains: Vec<Vec<BufferTest>> = Vec::new();
    if tests.iter().any(BufferTest::uses_variables) {
        // Variables tie everything together: one chain, in the order of the rule.
        chains.push(tests);
    } else {
        let mut position = None;
        for test in tests {
            let at = match (position, test.is_relative()) {
                (Some(at), true) => at,
                _ => {
                    chains.push(Vec::new());
                    chains.len() - 1
                }
            };
            if test.is_relative() || test.moves() {
                position = Some(at);
            }
            if let Some(chain) = chains.get_mut(at) {
                chain.push(test);
            }
        }
    }
    let mut chains: Vec<Chain> = chains.into_iter().map(chain).collect();
    chains.sort_by_key(cost);
    chains.into()
}

fn chain(tests: Vec<BufferTest>) -> Chain {
    let anchors: Vec<bool> = (0..tests.len()).map(|at| is_anchor(&tests, at)).collect();
    Chain { steps: tests.into_iter().zip(anchors).map(|(test, anchors)| Step { test, anchors }).collect() }
}

/// Whether another place for the test at `at` could save the tests after it, up to and including the next one that
/// sets a position of its own.
///
/// A content that only has to come somewhere after (`distance` alone) is served best by the first place, and so is
/// `isdataat`; without this, chains of them would be tried in every combination of places.
fn is_anchor(tests: &[BufferTest], at: usize) -> bool {
    if !tests.get(at).is_some_and(BufferTest::moves) {
        return false;
    }
    for test in tests.iter().skip(at + 1) {
        let first_place_is_best = match test {
            BufferTest::Content(content) => !content.negated && content.within.is_none() && !content.endswith,
            BufferTest::IsDataAt(test) => !test.negated,
            _ => false,
        };
        if test.is_relative() && !first_place_is_best {
            return true;
        }
        if test.moves() {
            return false;
        }
    }
    false
}

/// What a chain costs to judge, roughly: sizes, then single bytes, then searches, the longest pattern first.
fn cost(chain: &Chain) -> (u8, usize) {
    let kind = match chain.steps.first().map(|step| &step.test) {
        Some(BufferTest::Size(_)) | None => 0,
        Some(BufferTest::IsDataAt(_)) => 1,
        Some(BufferTest::Content(content)) if content.startswith => 2,
        Some(BufferTest::ByteTest(_)) => 3,
        Some(BufferTest::Content(content)) if content.negated => 6,
        Some(BufferTest::Pcre(_) | BufferTest::Base64(_)) => 7,
        Some(BufferTest::Asn1(_)) => 8,
        // What they change stays changed, so everything else is asked before.
        Some(BufferTest::DataSet { .. } | BufferTest::DataReputation { .. }) => 9,
        Some(BufferTest::Content(_)) => 5,
        Some(_) => 4,
    };
    let longest = chain.steps.iter().map(|step| match &step.test {
        BufferTest::Content(content) => content.pattern.len(),
        _ => 0,
    });
    (kind, usize::MAX - longest.max().unwrap_or(0))
}

/// What a rule asks of each buffer, in the order of the rule, for the oracle.
#[cfg(test)]
pub(crate) fn buffer_tests(text: &str) -> Option<Vec<BufferDraft>> {
    let (mut mistakes, mut draft) = (Vec::new(), Draft::default());
    let ast = parse(text, &mut mistakes)?;
    read_options(text, &ast, &mut draft, &mut mistakes);
    Some(draft.buffers)
}
