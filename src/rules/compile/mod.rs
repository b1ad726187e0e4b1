//! Rule texts become plans, and plans a rule set. Nothing here stops at a mistake.

mod chains;
mod check;
mod protocol;
mod stream;

use std::collections::HashMap;
use std::sync::Arc;

use crate::rules::app::AppTest;
use crate::rules::config::{Classifications, References, Source};
use crate::rules::dataset::DataSets;
use crate::rules::error::{Code, Diagnostic, Mistake, Severity, Span, nearest};
use crate::rules::keyword::buffers::Buffer;
use crate::rules::keyword::{Arg, Around, BufferDraft, Draft, PcreLimits, table};
use crate::rules::lex::{RuleText, rule_texts};
use crate::rules::literal::Literal;
use crate::rules::meta::{RuleAction, RuleMeta};
use crate::rules::parse::{Arrow, RuleAst, parse};
use crate::rules::plan::{
    Absence, BitChange, BufferPlan, BufferTest, Effect, FlowTest, Header, HeaderProtocol, NameId, PacketTest, Rule,
    StateTest,
};
use crate::rules::reputation::Reputation;
use crate::rules::ruleset::RuleSet;
use crate::rules::thresholds::Thresholds;
use crate::rules::vars::{Sets, Vars};
use chains::chains;
use check::{check, check_direction};
use protocol::protocol;
pub(super) use protocol::{app_word, app_words};
use stream::stream_shape;

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
    /// What the rule set is called by its contents; 0 for nothing.
    pub hash: u64,
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
            hash: 0,
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
        draft.spans_sides = ast.arrow == Arrow::Transaction;
        draft.protocol_word = ast.protocol.of(text).split(':').next().unwrap_or_default();
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
        // What one side says leads to such a rule only when the other has said the rest.
        let literal = Literal::of(&buffers, on_transactions).filter(|_| !draft.spans_sides);
        let needs_payload = buffers.iter().any(|buffer| buffer.buffer == Buffer::PAYLOAD);
        let buffers = buffer_plans(buffers);
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
            stream: stream_shape(&buffers),
            buffers,
            needs_payload,
            app: draft.app.iter().map(|(test, _)| test.clone()).collect(),
            on_transactions,
            spans_sides: draft.spans_sides,
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
            both_ways: ast.arrow != Arrow::OneWay,
        })
    }

    fn meta(&self, text: &str, ast: &RuleAst, draft: &Draft<'_>, sid: u32, mistakes: &mut Vec<Mistake>) -> RuleMeta {
        let classes = &self.context.classifications;
        let class = draft.classtype.and_then(|(name, span)| {
            let found = classes.find(name);
            if found.is_none() && classes.is_complete() {
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
            block: draft.block,
            text: text.to_owned(),
        }
    }

    fn references(&self, draft: &Draft<'_>, mistakes: &mut Vec<Mistake>) -> Vec<String> {
        let known = &self.context.references;
        let resolve = |(kind, value, span): &(String, String, Span)| match known.prefix(kind) {
            Some(prefix) => format!("{prefix}{value}"),
            None => {
                if known.is_complete() {
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
            .with_reputation(self.context.reputation.clone())
            .with_hash(options.hash);
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

/// Buffers that grow come last: what stays as it is answers once and for all.
fn buffer_plans(buffers: Vec<BufferDraft>) -> Box<[BufferPlan]> {
    let tests = || buffers.iter().flat_map(|buffer| &buffer.tests).map(|(test, _)| test);
    let independent = !tests().any(BufferTest::uses_variables);
    let settled = |buffer: &BufferDraft| {
        let on_data = |(test, _): &(BufferTest, Span)| {
            matches!(test, BufferTest::DataSet { .. } | BufferTest::DataReputation { .. })
        };
        independent && buffer.absence == Absence::Fails && !buffer.tests.iter().any(on_data)
    };
    let settled: Vec<bool> = buffers.iter().map(settled).collect();
    let plans = buffers.into_iter().zip(settled).map(|(buffer, settled_by_bytes)| BufferPlan {
        buffer: buffer.buffer,
        transforms: buffer.transforms.into(),
        chains: chains(buffer.tests.into_iter().map(|(test, _)| test).collect()),
        absence: buffer.absence,
        settled_by_bytes,
        side: buffer.side,
    });
    let mut plans: Vec<BufferPlan> = plans.collect();
    if independent {
        plans.sort_by_key(|plan| plan.buffer.is_app() && plan.buffer.info().growing);
    }
    plans.into()
}

/// Whether the rule is about transactions: one of its questions can only be put to one.
fn is_on_transactions(draft: &Draft<'_>, buffers: &[BufferDraft]) -> bool {
    let asked = draft.app.iter().any(|(test, _)| !matches!(test, AppTest::Protocol { .. }));
    asked || buffers.iter().any(|buffer| buffer.buffer.is_app())
}

/// What a rule asks of each buffer, in the order of the rule, for the oracle.
#[cfg(test)]
pub(crate) fn buffer_tests(text: &str) -> Option<Vec<BufferDraft>> {
    let (mut mistakes, mut draft) = (Vec::new(), Draft::default());
    let ast = parse(text, &mut mistakes)?;
    read_options(text, &ast, &mut draft, &mut mistakes);
    Some(draft.buffers)
}
