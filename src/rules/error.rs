//! What can be wrong with a rule, told so that it can be mended.
//!
//! Every mistake of every file is collected; none stops the reading of the next option or the next rule. A mistake has
//! a code that documentation and scripts can rely on, the place down to the column, and the way out where we know it.

use std::fmt;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// A range of bytes, in the text of one rule or of one file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}

impl Span {
    #[must_use]
    pub fn new(start: usize, end: usize) -> Span {
        Span { start, end: end.max(start) }
    }

    /// The text under the span, empty if it lies outside.
    #[must_use]
    pub fn of(self, text: &str) -> &str {
        text.get(self.start..self.end).unwrap_or_default()
    }

    #[must_use]
    pub fn shifted(self, by: usize) -> Span {
        Span { start: self.start.saturating_add(by), end: self.end.saturating_add(by) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The rule loads; something about it is worth knowing.
    Warning,
    /// The rule does not load.
    Error,
}

macro_rules! codes {
    ($($name:ident = $text:literal, $severity:ident, $title:literal;)*) => {
        /// The kinds of mistakes. `E0..` the text is wrong, `E1..` right but not honoured yet, `W...` only told.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code { $(#[doc = $title] $name,)* }

        impl Code {
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => $text,)* }
            }

            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Code::$name => $title,)* }
            }

            #[must_use]
            pub fn severity(self) -> Severity {
                match self { $(Code::$name => Severity::$severity,)* }
            }
        }
    };
}

codes! {
    Header = "E001", Error, "the rule header is not complete";
    Action = "E002", Error, "unknown action";
    Protocol = "E003", Error, "unknown protocol";
    Address = "E004", Error, "not an address";
    Port = "E005", Error, "not a port";
    Variable = "E006", Error, "undefined variable";
    EmptySet = "E007", Error, "the list leaves nothing to match";
    Arrow = "E008", Error, "unknown direction";
    Options = "E009", Error, "the options are not well-formed";
    Keyword = "E010", Error, "unknown keyword";
    Value = "E011", Error, "wrong value";
    ValueMissing = "E012", Error, "the keyword needs a value";
    ValueUnwanted = "E013", Error, "the keyword takes no value";
    Pattern = "E014", Error, "the pattern is not well-formed";
    NoContent = "E015", Error, "there is no content to modify";
    Conflict = "E016", Error, "these do not go together";
    TooShort = "E017", Error, "the pattern cannot fit";
    Repeated = "E018", Error, "the keyword may stand only once";
    Sid = "E019", Error, "the rule has no usable sid";
    Impossible = "E020", Error, "the rule can never match";
    ByteVariable = "E021", Error, "unknown byte variable";
    Encoding = "E022", Error, "the rule is not UTF-8 text";
    Limit = "E023", Error, "the rule is too large";
    Config = "E024", Error, "the line is not understood";
    EmptyBuffer = "E025", Error, "the buffer is selected but nothing is asked of it";
    Regex = "E026", Error, "the expression is not well-formed";
    EmptyRange = "E027", Error, "the range is empty";
    List = "E028", Error, "the list cannot be used";
    NeedsParser = "E101", Error, "the protocol parser is not there yet";
    NotHonoured = "E102", Error, "not honoured yet";
    DuplicateSid = "W001", Warning, "the sid is used twice";
    Classtype = "W002", Warning, "unknown classtype";
    FlowbitUnset = "W003", Warning, "the flowbit is never set";
    ReferenceType = "W004", Warning, "unknown reference type";
    LeftOut = "W006", Warning, "the rule is left out";
    NeverMatches = "W005", Warning, "the rule can never match";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A mistake inside one rule; its span counts from the start of the rule's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    pub code: Code,
    pub span: Span,
    /// What stands under the caret.
    pub label: String,
    pub help: Option<String>,
}

impl Mistake {
    pub fn new(code: Code, span: Span, label: impl Into<String>) -> Mistake {
        Mistake { code, span, label: label.into(), help: None }
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Mistake {
        self.help = Some(help.into());
        self
    }

    #[must_use]
    pub fn shifted(mut self, by: usize) -> Mistake {
        self.span = self.span.shifted(by);
        self
    }
}

/// A mistake at its place in a file.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    pub code: Code,
    pub file: Arc<str>,
    /// From 1. Columns count characters.
    pub line: u32,
    pub column: u32,
    pub sid: Option<u32>,
    pub label: String,
    pub help: Option<String>,
    /// The line of the file that the mistake is on, and the bytes of it that are meant.
    pub excerpt: String,
    pub span: Span,
}

impl Diagnostic {
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.code.severity()
    }

    /// Title and detail on one line, without the place.
    #[must_use]
    pub fn message(&self) -> String {
        if self.label.is_empty() {
            return self.code.title().to_owned();
        }
        format!("{}: {}", self.code.title(), self.label)
    }

    /// The mistake with its line, a caret and the way out; several lines, no newline at the end.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let level = match self.severity() {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let end = self.span.end.min(self.excerpt.len());
        let start = self.span.start.min(end);
        let line = usize::try_from(self.line).unwrap_or(usize::MAX);
        let snippet = Snippet::source(self.excerpt.as_str())
            .line_start(line)
            .path(&*self.file)
            .annotation(AnnotationKind::Primary.span(start..end).label(self.label.as_str()));
        let mut group = level.primary_title(self.code.title()).id(self.code.as_str()).element(snippet);
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        renderer.term_width(140).render(&[group])
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {} {}", self.file, self.line, self.column, self.code, self.message())?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

/// The name in `known` that a typing mistake would most likely have meant.
#[must_use]
pub fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let wanted = name.to_ascii_lowercase();
    known
        .map(|candidate| (strsim::damerau_levenshtein(&wanted, &candidate.to_ascii_lowercase()), candidate))
        .min_by_key(|(distance, candidate)| (*distance, candidate.len()))
        .filter(|(distance, candidate)| *distance <= 1.max(candidate.len().min(wanted.len()) / 3))
        .map(|(_, candidate)| candidate)
}
