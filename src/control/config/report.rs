//! What is wrong with a configuration, all of it, and what is only worth a word.

use std::fmt;

use super::section::boolean;
use super::tree::{Node, Place, Value};

/// Everything that was noticed while reading. Errors stop the start, notices are logged.
#[derive(Debug, Default)]
pub struct Report {
    pub problems: Vec<Problem>,
    pub notices: Vec<Notice>,
    #[cfg(test)]
    pub asked: std::collections::BTreeSet<String>,
}

/// One mistake and its place.
#[derive(Debug)]
pub struct Problem {
    pub place: Place,
    pub kind: ProblemKind,
}

/// What is wrong, what would be right.
#[derive(Debug, thiserror::Error)]
pub enum ProblemKind {
    #[error("{path}: there is no such key{}", hint(nearest.as_deref()))]
    UnknownKey { path: String, nearest: Option<String> },
    #[error("{path}: expected {expected}, found a {found}")]
    Shape { path: String, expected: &'static str, found: &'static str },
    #[error("{path}: '{value}' is not possible; expected {expected}")]
    Value { path: String, value: String, expected: String },
    #[error("{path}: {wrong}")]
    Rule { path: String, wrong: String },
}

/// Something that is understood but not done.
#[derive(Debug)]
pub struct Notice {
    pub place: Place,
    pub text: String,
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map(|key| format!("; did you mean {key}?")).unwrap_or_default()
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.place, self.kind)
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.place, self.text)
    }
}

impl Report {
    pub fn problem(&mut self, place: &Place, kind: ProblemKind) {
        self.problems.push(Problem { place: place.clone(), kind });
    }

    pub fn rule(&mut self, place: &Place, path: &str, wrong: impl Into<String>) {
        self.problem(place, ProblemKind::Rule { path: path.to_owned(), wrong: wrong.into() });
    }

    pub fn wrong_shape(&mut self, node: &Node, path: &str, expected: &'static str) {
        let path = if path.is_empty() { "the file".to_owned() } else { path.to_owned() };
        self.problem(&node.place, ProblemKind::Shape { path, expected, found: node.shape() });
    }

    pub fn unknown_key(&mut self, place: &Place, path: &str, key: &str, known: &[&str]) {
        let nearest = nearest(key, known).map(str::to_owned);
        self.problem(place, ProblemKind::UnknownKey { path: path.to_owned(), nearest });
    }

    /// One word for all keys of a section that do nothing here.
    pub fn no_effect(&mut self, place: &Place, section: &str, names: &[&str]) {
        if !names.is_empty() {
            let section = if section.is_empty() { String::new() } else { format!("{section}: ") };
            self.notice(place, format!("{section}no effect in tidegate: {}", names.join(", ")));
        }
    }

    pub fn notice(&mut self, place: &Place, text: String) {
        self.notices.push(Notice { place: place.clone(), text });
    }

    #[cfg(test)]
    pub fn asked(&mut self, path: &str) {
        self.asked.insert(path.to_owned());
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "the twin under test remembers")]
    pub fn asked(&mut self, _path: &str) {}
}

/// Empty, `no`, or a mapping with `enabled: no`.
pub fn is_off(node: &Node) -> bool {
    match &node.value {
        Value::Null => true,
        Value::List(items) => items.is_empty(),
        Value::Scalar(_) | Value::Map(_) => is_switched_off(node),
    }
}

/// `no`, or a mapping with `enabled: no`.
pub fn is_switched_off(node: &Node) -> bool {
    match &node.value {
        Value::Scalar(text) => boolean(text) == Some(false),
        Value::Map(entries) => entries.iter().any(|entry| entry.key == "enabled" && is_switched_off(&entry.value)),
        Value::Null | Value::List(_) => false,
    }
}

/// The known name that most resembles what was typed, if any does.
fn nearest<'k>(typed: &str, known: &[&'k str]) -> Option<&'k str> {
    let typed = typed.replace('_', "-");
    known
        .iter()
        .map(|name| (strsim::jaro_winkler(&typed, name), *name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}
