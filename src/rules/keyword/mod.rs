//! Every keyword, declared once: name, arguments, what it does to the rule, and whether the engine honours it.
//!
//! The parser, `tidegate keywords`, `docs/keywords.md` and the suggestions for unknown words all read [`table`]. A
//! keyword that is known but not honoured is still read, so that its own mistakes are found; the rule is then refused
//! with the reason. It is never half-honoured.

pub mod buffers;

mod number;
mod shape;

use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

use super::app::AppTest;
use super::block::BlockOrder;
use super::dataset::DataSets;
use super::error::{Code, Mistake, Span};
use super::meta::AlertTarget;
use super::plan::{
    Absence, Amount, BufferTest, Content, Effect, FileStoring, FlowMeasure, FlowTest, PacketTest, StateTest, Tag,
    Threshold, Toward, Transform,
};
use super::reputation::Reputation;
use buffers::{Buffer, BufferInfo};
pub use pcre::PcreLimits;

macro_rules! families {
    ($($family:ident)*) => {
        $(mod $family;)*

        /// Each family's keywords.
        static FAMILIES: &[&[Keyword]] = &[$($family::KEYWORDS,)*];
    };
}

families! {
    app_layer
    bytes
    content
    dcerpc
    dhcp
    dnp3
    dns
    encoded
    event
    events
    file
    flow
    ftp
    header
    http2
    ike
    industrial
    krb5
    ldap
    lists
    meta
    mqtt
    nfs
    ntp
    pcre
    refused
    rfb
    smb
    snmp
    state
    threshold
    tls
    transform
    websocket
}

/// What has to be built before a keyword or protocol can be honoured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Need {
    /// The parser of this protocol.
    Parser(&'static str),
    /// Will not come: the reason stands in the text.
    Never(&'static str),
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Need::Parser(name) => write!(f, "the {name} parser is not there yet"),
            Need::Never(reason) => f.write_str(reason),
        }
    }
}

/// Whether a keyword takes a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    None,
    Required,
    Optional,
}

/// What a keyword does.
#[derive(Clone, Copy)]
pub enum Meaning {
    /// Reads its value into the draft of the rule.
    Option(Read),
    /// Contents that follow are matched in this buffer.
    Sticky(Buffer),
    /// The content before is matched in this buffer.
    Modifier(Buffer),
    /// Known by name only.
    Nothing,
}

/// One keyword of the language.
#[derive(Clone, Copy)]
pub struct Keyword {
    pub name: &'static str,
    pub aliases: &'static [&'static str],
    pub family: &'static str,
    /// The syntax of the value, empty if there is none.
    pub arguments: &'static str,
    pub doc: &'static str,
    pub value: Value,
    pub meaning: Meaning,
    /// `None`: honoured.
    pub need: Option<Need>,
}

impl Keyword {
    /// The buffer that it selects, if it does.
    #[must_use]
    pub fn buffer(&self) -> Option<&'static BufferInfo> {
        match self.meaning {
            Meaning::Sticky(buffer) | Meaning::Modifier(buffer) => Some(buffer.info()),
            _ => None,
        }
    }

    /// `honoured`, or why it is refused.
    #[must_use]
    pub fn state(&self) -> String {
        match self.need {
            None => "honoured".to_owned(),
            Some(need) => format!("refused: {need}"),
        }
    }
}

/// Reads the value of an option into the draft of its rule.
pub type Read = for<'t> fn(&mut Draft<'t>, &Arg<'t>) -> Result<(), Mistake>;

/// A keyword with a value, or, with empty `arguments`, without.
const fn option(
    name: &'static str,
    family: &'static str,
    arguments: &'static str,
    doc: &'static str,
    read: Read,
) -> Keyword {
    let value = if arguments.is_empty() { Value::None } else { Value::Required };
    Keyword { name, aliases: &[], family, arguments, doc, value, meaning: Meaning::Option(read), need: None }
}

impl Keyword {
    const fn aliased(mut self, aliases: &'static [&'static str]) -> Keyword {
        self.aliases = aliases;
        self
    }

    const fn value_optional(mut self) -> Keyword {
        self.value = Value::Optional;
        self
    }
}

/// All keywords by name; each alias leads to its keyword.
#[derive(Default)]
pub struct Table {
    by_name: HashMap<&'static str, usize>,
    keywords: Vec<Keyword>,
}

impl Table {
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Keyword> {
        self.by_name.get(name).and_then(|at| self.keywords.get(*at))
    }

    /// In alphabetical order, aliases folded.
    pub fn iter(&self) -> impl Iterator<Item = &Keyword> {
        self.keywords.iter()
    }

    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.by_name.keys().copied()
    }
}

/// The keywords of the language.
#[must_use]
pub fn table() -> &'static Table {
    static TABLE: LazyLock<Table> = LazyLock::new(build_table);
    &TABLE
}

fn build_table() -> Table {
    let mut keywords: Vec<Keyword> = FAMILIES.iter().copied().flatten().copied().collect();
    for (buffer, info) in Buffer::all() {
        keywords.push(buffer_keyword(info.name, info.aliases, Meaning::Sticky(buffer), info));
        keywords.extend(info.modifier.map(|name| buffer_keyword(name, &[], Meaning::Modifier(buffer), info)));
    }
    keywords.sort_by_key(|keyword| keyword.name);
    let mut by_name = HashMap::new();
    for (at, keyword) in keywords.iter().enumerate() {
        by_name.extend(keyword.aliases.iter().chain([&keyword.name]).map(|name| (*name, at)));
    }
    Table { by_name, keywords }
}

fn buffer_keyword(
    name: &'static str,
    aliases: &'static [&'static str],
    meaning: Meaning,
    info: &BufferInfo,
) -> Keyword {
    let family = if matches!(meaning, Meaning::Sticky(_)) { "buffer" } else { "buffer (modifier)" };
    Keyword { name, aliases, family, arguments: "", doc: info.doc, value: Value::None, meaning, need: info.need }
}

/// The value of one option as it stands in the rule.
#[derive(Clone, Copy, Debug)]
pub struct Arg<'t> {
    /// The text of the whole rule.
    pub rule: &'t str,
    pub name: Span,
    /// Trimmed; empty at the end of the name if the option has no value.
    pub span: Span,
}

impl<'t> Arg<'t> {
    #[must_use]
    pub fn text(&self) -> &'t str {
        self.span.of(self.rule)
    }

    /// The whole option, for mistakes that are not about one word of it.
    #[must_use]
    pub fn option(&self) -> Span {
        Span::new(self.name.start, self.span.end.max(self.name.end))
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.span.start >= self.span.end
    }

    fn wrong(&self, label: impl Into<String>) -> Mistake {
        let span = if self.is_empty() { self.name } else { self.span };
        Mistake::new(Code::Value, span, label)
    }

    /// The inside of the quotes; without quotes the text itself.
    fn unquoted(&self) -> Span {
        let text = self.text();
        if text.len() >= 2 && text.starts_with('"') && text.ends_with('"') {
            return Span::new(self.span.start + 1, self.span.end - 1);
        }
        self.span
    }

    /// The inside of the quotes that this value must have.
    fn quoted(&self) -> Result<Span, Mistake> {
        let inner = self.unquoted();
        if inner == self.span {
            let help = if self.text().starts_with('"') {
                "close the quotes; a `;` inside of quotes must be written `\\;`"
            } else {
                "put the value in double quotes"
            };
            return Err(self.wrong("the quotes are missing").help(help));
        }
        Ok(inner)
    }

    /// Comma-separated parts, trimmed.
    fn parts(&self) -> Vec<Span> {
        super::lex::split(self.rule, self.span, b',')
    }

    fn at(&self, span: Span) -> &'t str {
        span.of(self.rule)
    }
}

/// What the words of a rule may refer to besides the rule itself.
#[derive(Clone, Copy, Debug)]
pub struct Around<'t> {
    pub datasets: &'t DataSets,
    pub reputation: &'t Reputation,
    /// The generation that is compiled.
    pub generation: u64,
    /// The rule's file.
    pub file: &'t str,
    /// Whether JA3 and JA4 are made, for `requires:feature`.
    pub fingerprints: (bool, bool),
}

/// What the options of one rule have said so far.
#[derive(Debug, Default)]
pub struct Draft<'t> {
    pub msg: Option<String>,
    pub sid: Option<u32>,
    pub rev: Option<u32>,
    pub gid: Option<u32>,
    pub classtype: Option<(&'t str, Span)>,
    pub priority: Option<u8>,
    /// Type and value.
    pub references: Vec<(String, String, Span)>,
    pub metadata: Vec<(String, Vec<String>)>,
    pub target: Option<AlertTarget>,
    pub block: Option<BlockOrder>,
    pub noalert: bool,
    /// `alert`: a `pass` rule tells of its matches.
    pub tells_of_pass: bool,
    /// The header names the hook `flow_start`.
    pub flow_start: bool,
    /// The word of its header before any hook, for names that are short for a protocol's.
    pub protocol_word: &'t str,
    /// Its arrow is `=>`.
    pub spans_sides: bool,
    pub bypass: bool,
    pub tags: Vec<Tag>,
    pub filestore: Option<FileStoring>,
    pub flow: Option<FlowTest>,
    /// Each with where it stands.
    pub packet: Vec<(PacketTest, Span)>,
    pub measures: Vec<(FlowMeasure, Span)>,
    pub state: Vec<(StateTest, Span)>,
    pub effects: Vec<(Effect, Span)>,
    pub threshold: Option<Threshold>,
    pub app: Vec<(AppTest, Span)>,
    pub buffers: Vec<BufferDraft>,
    /// Names of byte variables, by their number.
    pub variables: Vec<String>,
    pub pcre_limits: PcreLimits,
    pub around: Option<Around<'t>>,
    /// Why the rule must be refused although it is well-formed.
    pub needs: Vec<(Need, Span)>,
    /// What the rule requires and is not here: it is left out.
    pub unmet: Option<(String, Span)>,
    /// A newer version that the rule requires: it is left out if it asks for something that is not known here.
    pub tried: Option<(String, Span)>,
    /// What is worth telling of a rule that loads.
    pub warnings: Vec<Mistake>,
    /// Flowbits with the place of their name.
    pub flowbit_names: Vec<(String, Span)>,
    current: Option<usize>,
    last_content: Option<(usize, usize)>,
    /// The buffer of the last test.
    last_asked: Option<usize>,
}

/// The tests of one buffer in the order of the rule.
#[derive(Debug)]
pub struct BufferDraft {
    pub buffer: Buffer,
    /// Where a sticky buffer was selected.
    pub selected: Option<Span>,
    pub transforms: Vec<Transform>,
    pub tests: Vec<(BufferTest, Span)>,
    pub absence: Absence,
    /// The side whose bytes are meant, in a rule about both.
    pub side: Option<Toward>,
}

impl BufferDraft {
    fn new(buffer: Buffer, selected: Option<Span>) -> BufferDraft {
        let (transforms, tests) = (Vec::new(), Vec::new());
        BufferDraft { buffer, selected, transforms, tests, absence: Absence::default(), side: None }
    }

    /// The payload as it is, which the prefilter looks at.
    #[must_use]
    pub fn is_payload(&self) -> bool {
        self.buffer == Buffer::PAYLOAD && self.transforms.is_empty()
    }
}

impl<'t> Draft<'t> {
    #[must_use]
    pub fn new(pcre_limits: PcreLimits, around: Around<'t>) -> Draft<'t> {
        Draft { pcre_limits, around: Some(around), ..Draft::default() }
    }

    /// The side whose packets the rule is about: as `flow` says, or as its buffers imply.
    #[must_use]
    pub fn toward(&self) -> Option<Toward> {
        if self.spans_sides {
            return None;
        }
        let said = self.flow.and_then(|flow| flow.toward);
        said.or_else(|| self.buffers.iter().find_map(|buffer| buffer.buffer.info().toward))
    }

    /// Applies one option.
    pub fn apply(&mut self, keyword: &Keyword, arg: &Arg<'t>) -> Result<(), Mistake> {
        if let (Meaning::Sticky(buffer), true, Some(side)) = (keyword.meaning, self.spans_sides, side_named(arg.text()))
        {
            self.buffers.push(BufferDraft { side: Some(side), ..BufferDraft::new(buffer, Some(arg.name)) });
            self.current = Some(self.buffers.len() - 1);
            return Ok(());
        }
        match (keyword.value, arg.is_empty()) {
            (Value::Required, true) => {
                return Err(Mistake::new(Code::ValueMissing, arg.name, format!("`{}` needs a value", keyword.name))
                    .help(format!("the form is `{}:{};`", keyword.name, keyword.arguments)));
            }
            (Value::None, false) => {
                return Err(Mistake::new(Code::ValueUnwanted, arg.span, format!("`{}` takes no value", keyword.name))
                    .help(format!("write `{};`", keyword.name)));
            }
            _ => {}
        }
        if let Some(need) = keyword.need {
            self.needs.push((need, arg.option()));
        }
        match keyword.meaning {
            Meaning::Option(read) => read(self, arg),
            Meaning::Sticky(buffer) => {
                let before = self.current.and_then(|at| self.buffers.get(at));
                let idle = |draft: &BufferDraft| draft.selected.is_some() && draft.tests.is_empty();
                if before.is_some_and(|draft| draft.buffer == buffer && idle(draft)) {
                    let name = arg.at(arg.name);
                    let label = format!("`{name}` is selected already, and nothing was asked of it since");
                    return Err(Mistake::new(Code::EmptyBuffer, arg.name, label)
                        .help(format!("take one `{name};` out: a sticky buffer stands once, before its contents")));
                }
                if before.is_some() && buffer.is_asked_anew() {
                    self.buffers.push(BufferDraft::new(buffer, Some(arg.name)));
                    self.current = Some(self.buffers.len() - 1);
                } else {
                    self.select(buffer, arg.name);
                }
                Ok(())
            }
            Meaning::Modifier(buffer) => self.move_content(buffer, arg),
            Meaning::Nothing => shape::check(keyword.arguments, arg),
        }
    }

    /// Adds a test to the buffer that is selected now.
    fn push(&mut self, test: BufferTest, span: Span) {
        // Numbers and sizes behind a match are looked for in the buffer of that match.
        let follows = test.is_relative() && !matches!(test, BufferTest::Content(_) | BufferTest::Pcre(_));
        let at = match self.current.or(self.last_asked.filter(|_| follows)) {
            Some(at) => at,
            None => {
                let at = self.select(Buffer::PAYLOAD, Span::default());
                self.current = None;
                at
            }
        };
        let Some(buffer) = self.buffers.get_mut(at) else { return };
        buffer.tests.push((test, span));
        self.last_asked = Some(at);
        if matches!(buffer.tests.last(), Some((BufferTest::Content(_), _))) {
            self.last_content = Some((at, buffer.tests.len() - 1));
        }
    }

    /// Whether some buffer must hold a content.
    fn has_content(&self) -> bool {
        let mut tests = self.buffers.iter().flat_map(|buffer| &buffer.tests);
        tests.any(|(test, _)| matches!(test, BufferTest::Content(content) if !content.negated))
    }

    /// Adds a test to `buffer` and leaves the selection as it is.
    fn push_into(&mut self, buffer: Buffer, test: BufferTest, arg: &Arg<'_>) {
        self.needs.extend(buffer.info().need.map(|need| (need, arg.option())));
        let before = self.current;
        self.select(buffer, Span::default());
        self.push(test, arg.option());
        self.current = before;
    }

    fn select(&mut self, buffer: Buffer, span: Span) -> usize {
        let selected = (span != Span::default()).then_some(span);
        let plain = |draft: &BufferDraft| draft.buffer == buffer && draft.transforms.is_empty() && draft.side.is_none();
        let at = self.buffers.iter().position(plain).unwrap_or_else(|| {
            self.buffers.push(BufferDraft::new(buffer, selected));
            self.buffers.len() - 1
        });
        self.current = Some(at);
        at
    }

    /// Adds a transform to the buffer that was just selected.
    fn transform(&mut self, transform: Transform, arg: &Arg<'_>) -> Result<(), Mistake> {
        let Some(current) = self.current.and_then(|at| self.buffers.get_mut(at)) else {
            return Err(Mistake::new(Code::Conflict, arg.option(), "no buffer is selected").help(
                "a transform stands between a sticky buffer and its contents: `http.uri; url_decode; content:...`",
            ));
        };
        if current.tests.is_empty() {
            current.transforms.push(transform);
            return Ok(());
        }
        if !current.transforms.is_empty() {
            return Err(Mistake::new(Code::Conflict, arg.option(), "contents stand before this transform")
                .help("select the buffer again for contents in another form of it"));
        }
        // The buffer was selected again, now to be transformed.
        let again = BufferDraft { transforms: vec![transform], ..BufferDraft::new(current.buffer, Some(arg.name)) };
        self.buffers.push(again);
        self.current = Some(self.buffers.len() - 1);
        Ok(())
    }

    /// `http_uri` and its like: the last content belongs to `buffer`.
    fn move_content(&mut self, buffer: Buffer, arg: &Arg<'_>) -> Result<(), Mistake> {
        let (from, test_at) = self.last_content.ok_or_else(|| no_content(arg))?;
        let taken = match self.buffers.get_mut(from) {
            Some(draft) if test_at < draft.tests.len() => draft.tests.remove(test_at),
            _ => return Err(no_content(arg)),
        };
        let sticky = self.current;
        let to = self.select(buffer, Span::default());
        self.push(taken.0, taken.1);
        self.last_content = self.buffers.get(to).map(|draft| (to, draft.tests.len().saturating_sub(1)));
        self.current = sticky;
        Ok(())
    }

    /// The content that a modifier is about.
    fn content(&mut self, arg: &Arg<'_>) -> Result<&mut Content, Mistake> {
        let (buffer, test) = self.last_content.ok_or_else(|| no_content(arg))?;
        match self.buffers.get_mut(buffer).and_then(|draft| draft.tests.get_mut(test)) {
            Some((BufferTest::Content(content), _)) => Ok(content),
            _ => Err(no_content(arg)),
        }
    }

    /// A number within `low..=high`, or the name of a byte variable.
    fn amount(&self, arg: &Arg<'_>, span: Span, low: i64, high: i64) -> Result<Amount, Mistake> {
        let text = arg.at(span);
        if text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') {
            return self.variable(text, span).map(Amount::Variable);
        }
        number::integer(text, span, low, high).map(Amount::Number)
    }

    fn variable(&self, name: &str, span: Span) -> Result<u8, Mistake> {
        let found = self.variables.iter().position(|known| known == name);
        found.and_then(|at| u8::try_from(at).ok()).ok_or_else(|| {
            Mistake::new(Code::ByteVariable, span, format!("no byte variable is called `{name}`"))
                .help("a byte_extract or byte_math that sets it must stand before this option")
        })
    }

    /// The number of the variable `name`, made if it is new.
    fn define(&mut self, name: &str, span: Span) -> Result<u8, Mistake> {
        if let Some(at) = self.variables.iter().position(|known| known == name) {
            return Ok(u8::try_from(at).unwrap_or(u8::MAX));
        }
        let at = self.variables.len();
        if at >= super::plan::VARIABLE_COUNT_MAX {
            let most = super::plan::VARIABLE_COUNT_MAX;
            return Err(Mistake::new(Code::Limit, span, format!("a rule may have {most} byte variables")));
        }
        self.variables.push(name.to_owned());
        Ok(u8::try_from(at).unwrap_or(u8::MAX))
    }
}

/// The side that a rule about both sides names.
fn side_named(text: &str) -> Option<Toward> {
    match text {
        "to_server" => Some(Toward::Server),
        "to_client" => Some(Toward::Client),
        _ => None,
    }
}

fn no_content(arg: &Arg<'_>) -> Mistake {
    let name = arg.at(arg.name);
    Mistake::new(Code::NoContent, arg.name, format!("`{name}` changes the content before it, and there is none"))
        .help(format!("write `content:\"...\"; {name}...`"))
}

/// Puts `value` where nothing may stand yet.
fn once<T>(slot: &mut Option<T>, value: T, arg: &Arg<'_>) -> Result<(), Mistake> {
    if slot.is_some() {
        let name = arg.at(arg.name);
        return Err(Mistake::new(Code::Repeated, arg.option(), format!("`{name}` stands here a second time")));
    }
    *slot = Some(value);
    Ok(())
}
