//! `classification.config` and `reference.config`: what classtypes and reference types stand for.

use std::collections::HashMap;
use std::sync::Arc;

use super::error::{Code, Diagnostic, Mistake, Span};
use super::lex::rule_texts;

/// A text to read, under the name that messages give it.
#[derive(Clone, Debug)]
pub struct Source {
    pub name: Arc<str>,
    pub text: String,
}

impl Source {
    pub fn new(name: impl Into<Arc<str>>, text: impl Into<String>) -> Source {
        Source { name: name.into(), text: text.into() }
    }

    /// Bytes that are not UTF-8 become U+FFFD, and a rule that holds one is refused: it would match something else.
    pub fn from_bytes(name: impl Into<Arc<str>>, bytes: Vec<u8>) -> Source {
        let text =
            String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        Source { name: name.into(), text }
    }
}

/// What a classtype means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classification {
    pub description: String,
    /// 1 is worst.
    pub priority: u8,
}

/// Classtypes by lower-case name.
#[derive(Clone, Debug, Default)]
pub struct Classifications {
    by_name: HashMap<String, Classification>,
    /// The list is the user's: what is not in it is a mistake.
    is_complete: bool,
}

/// The lists that we ship.
const SHIPPED_CLASSIFICATIONS: &str = include_str!("../../rules/classification.config");
const SHIPPED_REFERENCES: &str = include_str!("../../rules/reference.config");

impl Classifications {
    /// Reads `config classification: name,description,priority` lines; the first of a name stands.
    pub fn read(&mut self, source: &Source, diagnostics: &mut Vec<Diagnostic>) {
        self.is_complete = true;
        for line in rule_texts(&source.text) {
            match classification(&line.text) {
                Some((name, meaning)) => {
                    self.by_name.entry(name).or_insert(meaning);
                }
                None => diagnostics.push(line.locate(
                    not_understood(&line.text, "config classification: name,description,priority"),
                    &source.name,
                    &source.text,
                    None,
                )),
            }
        }
    }

    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Classification> {
        self.by_name.get(&name.to_ascii_lowercase())
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// What we ship: for rules that come without a list of their own.
    #[must_use]
    pub fn shipped() -> Classifications {
        let mut shipped = Classifications::default();
        shipped.read(&Source::new("classification.config", SHIPPED_CLASSIFICATIONS), &mut Vec::new());
        Classifications { is_complete: false, ..shipped }
    }

    /// What the list does not have is a mistake.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }
}

fn classification(line: &str) -> Option<(String, Classification)> {
    let rest = line.trim().strip_prefix("config")?.trim_start().strip_prefix("classification")?;
    let rest = rest.trim_start().strip_prefix(':')?;
    let (name, rest) = rest.split_once(',')?;
    let (description, priority) = rest.rsplit_once(',')?;
    let priority = priority.trim().parse().ok().filter(|priority| *priority > 0)?;
    let name = name.trim().to_ascii_lowercase();
    (!name.is_empty()).then(|| (name, Classification { description: description.trim().to_owned(), priority }))
}

/// Prefixes of reference types, by lower-case type.
#[derive(Clone, Debug, Default)]
pub struct References {
    by_kind: HashMap<String, String>,
    /// The list is the user's: what is not in it is a mistake.
    is_complete: bool,
}

impl References {
    /// Reads `config reference: type prefix` lines; the first of a type stands.
    pub fn read(&mut self, source: &Source, diagnostics: &mut Vec<Diagnostic>) {
        self.is_complete = true;
        for line in rule_texts(&source.text) {
            match reference(&line.text) {
                Some((kind, prefix)) => {
                    self.by_kind.entry(kind).or_insert(prefix);
                }
                None => diagnostics.push(line.locate(
                    not_understood(&line.text, "config reference: type prefix"),
                    &source.name,
                    &source.text,
                    None,
                )),
            }
        }
    }

    #[must_use]
    pub fn prefix(&self, kind: &str) -> Option<&str> {
        self.by_kind.get(&kind.to_ascii_lowercase()).map(String::as_str)
    }

    /// What we ship: for rules that come without a list of their own.
    #[must_use]
    pub fn shipped() -> References {
        let mut shipped = References::default();
        shipped.read(&Source::new("reference.config", SHIPPED_REFERENCES), &mut Vec::new());
        References { is_complete: false, ..shipped }
    }

    /// What the list does not have is a mistake.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }
}

fn reference(line: &str) -> Option<(String, String)> {
    let rest = line.trim().strip_prefix("config")?.trim_start().strip_prefix("reference")?;
    let rest = rest.trim_start().strip_prefix(':')?.trim();
    let (kind, prefix) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    (!kind.is_empty()).then(|| (kind.to_ascii_lowercase(), prefix.trim().to_owned()))
}

fn not_understood(line: &str, form: &str) -> Mistake {
    Mistake::new(Code::Config, Span::new(0, line.len()), "").help(format!("the form is `{form}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_files_are_read_and_wrong_lines_told() {
        let mut wrong = Vec::new();
        let mut classes = Classifications::default();
        let text = "config classification: Web-App,A, B and C, 1\nconfig clasification: x,y,2\n\
                    config classification: web-app,other,3\n";
        classes.read(&Source::new("c", text), &mut wrong);
        let class = classes.find("web-app").unwrap();
        assert_eq!((class.description.as_str(), class.priority), ("A, B and C", 1));
        let mut references = References::default();
        references.read(&Source::new("r", "config reference: CVE \t http://x/\nnothing"), &mut wrong);
        assert_eq!(references.prefix("cve"), Some("http://x/"));
        let places: Vec<(&str, u32)> = wrong.iter().map(|d| (&*d.file, d.line)).collect();
        assert_eq!(places, [("c", 2), ("r", 2)]);
    }
}
