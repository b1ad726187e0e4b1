//! From tree to types: sections ask for their keys, and everything wrong is noted with its place.

use std::ops::RangeInclusive;

use super::report::{ProblemKind, Report, is_off};
use super::tree::{Entry, Node, Value};

/// A value that is one of a few words.
pub trait Choice: Copy + 'static {
    const WORDS: &'static [(&'static str, Self)];
}

/// One mapping of the file. Ask for every key that exists, then [`Section::finish`].
pub struct Section<'t> {
    /// The key path, list indices left out: `outputs.eve-log`.
    path: String,
    entries: &'t [Entry],
    known: Vec<&'static str>,
}

impl<'t> Section<'t> {
    /// The mapping `node`; nothing, or something that is no mapping, is an empty one.
    pub fn new(path: &str, node: Option<&'t Node>, report: &mut Report) -> Section<'t> {
        let entries = match node.map(|node| (node, &node.value)) {
            Some((_, Value::Map(entries))) => entries.as_slice(),
            None | Some((_, Value::Null)) => &[],
            Some((node, _)) => {
                report.wrong_shape(node, path, "a mapping");
                &[]
            }
        };
        Section { path: path.to_owned(), entries, known: Vec::new() }
    }

    /// The section under `key`.
    pub fn section(&mut self, key: &'static str, report: &mut Report) -> Section<'t> {
        let path = self.path_of(key);
        Section::new(&path, self.find(key), report)
    }

    /// The value of `key`; `None` where it is absent or has nothing behind it.
    pub fn find(&mut self, key: &'static str) -> Option<&'t Node> {
        self.known.push(key);
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        (!matches!(entry.value.value, Value::Null)).then_some(&entry.value)
    }

    /// All entries, for mappings whose keys are the user's.
    pub fn entries(&self) -> &'t [Entry] {
        self.entries
    }

    pub fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The text of a single value.
    pub fn text(&mut self, key: &'static str, report: &mut Report) -> Option<(&'t Node, &'t str)> {
        let path = self.path_of(key);
        report.asked(&path);
        let node = self.find(key)?;
        scalar(node, &path, report).map(|text| (node, text))
    }

    /// `into` stays as it is where `key` is absent or wrong; likewise below.
    pub fn read_bool(&mut self, key: &'static str, into: &mut bool, report: &mut Report) {
        self.read(key, "yes or no", into, report, boolean);
    }

    pub fn read_choice<T: Choice>(&mut self, key: &'static str, into: &mut T, report: &mut Report) {
        let words: Vec<&str> = T::WORDS.iter().map(|(word, _)| *word).collect();
        self.read(key, &one_of(&words), into, report, choice::<T>);
    }

    /// A whole number, decimal or `0x` hexadecimal.
    pub fn read_number<T: TryFrom<u64>>(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u64>,
        into: &mut T,
        report: &mut Report,
    ) {
        let expected = format!("a number from {} to {}", range.start(), range.end());
        self.read(key, &expected, into, report, |text| {
            number(text).filter(|value| range.contains(value)).and_then(|value| T::try_from(value).ok())
        });
    }

    /// A 32-bit mark or mask.
    pub fn read_mark(&mut self, key: &'static str, into: &mut Option<u32>, report: &mut Report) {
        self.read(key, "a number of 32 bits, such as 0x07000000", into, report, |text| {
            number(text).and_then(|value| u32::try_from(value).ok()).map(Some)
        });
    }

    /// A size in bytes: `32mb`, `4 GiB`, `65536`.
    pub fn read_size(
        &mut self,
        key: &'static str,
        range: RangeInclusive<usize>,
        into: &mut usize,
        report: &mut Report,
    ) {
        let expected =
            format!("a size from {} to {}, such as 32mb or 4 GiB", size_text(*range.start()), size_text(*range.end()));
        self.read(key, &expected, into, report, |text| size(text).filter(|bytes| range.contains(bytes)));
    }

    /// Seconds: `8`, `8s`, `5m`, `1h`.
    pub fn read_seconds(&mut self, key: &'static str, range: RangeInclusive<u64>, into: &mut u64, report: &mut Report) {
        let expected = format!("a time from {} to {} seconds, such as 8, 30s or 5m", range.start(), range.end());
        self.read(key, &expected, into, report, |text| seconds(text).filter(|value| range.contains(value)));
    }

    /// Any value that `parse` takes.
    pub fn read<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        into: &mut T,
        report: &mut Report,
        parse: impl Fn(&str) -> Option<T>,
    ) {
        let path = self.path_of(key);
        if let Some((node, text)) = self.text(key, report) {
            match parse(text) {
                Some(value) => *into = value,
                None => report.problem(
                    &node.place,
                    ProblemKind::Value { path, value: text.to_owned(), expected: expected.to_owned() },
                ),
            }
        }
    }

    /// Suricata has these here and we do nothing with them: that is worth a word, not an error. Those that are empty
    /// or turned off are not: there we agree.
    pub fn not_honoured(&mut self, keys: &'static [&'static str], report: &mut Report) {
        let ignored: Vec<&Entry> =
            self.entries.iter().filter(|entry| keys.contains(&entry.key.as_str()) && !is_off(&entry.value)).collect();
        if let Some(first) = ignored.first() {
            let names: Vec<&str> = ignored.iter().map(|entry| entry.key.as_str()).collect();
            report.no_effect(&first.place, &self.path, &names);
        }
        self.known.extend(keys);
    }

    /// A key of Suricata's of which we do the one thing.
    pub fn expect_default(&mut self, key: &'static str, default: &str, report: &mut Report) {
        if let Some(Value::Scalar(text)) = self.find(key).map(|node| &node.value)
            && boolean(text) != boolean(default)
            && let Some(node) = self.find(key)
        {
            report.notice(&node.place, format!("{}: {text} has no effect in tidegate", self.path_of(key)));
        }
    }

    /// Keys that nobody asked for are mistakes.
    pub fn finish(self, report: &mut Report) {
        for entry in self.entries.iter().filter(|entry| !self.known.contains(&entry.key.as_str())) {
            report.unknown_key(&entry.place, &self.path_of(&entry.key), &entry.key, &self.known);
        }
    }
}

/// The text of `node`, or a problem.
pub fn scalar<'t>(node: &'t Node, path: &str, report: &mut Report) -> Option<&'t str> {
    match &node.value {
        Value::Scalar(text) => Some(text),
        _ => {
            report.wrong_shape(node, path, "a single value");
            None
        }
    }
}

/// The elements of a list; a single value is a list of one.
pub fn list<'t>(node: &'t Node, path: &str, report: &mut Report) -> &'t [Node] {
    match &node.value {
        Value::List(items) => items,
        Value::Scalar(_) => std::slice::from_ref(node),
        Value::Null => &[],
        Value::Map(_) => {
            report.wrong_shape(node, path, "a list");
            &[]
        }
    }
}

fn one_of(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// The words of YAML 1.1, and `1` and `0` as Suricata takes them.
pub fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "true" | "on" | "1" => Some(true),
        "no" | "false" | "off" | "0" => Some(false),
        _ => None,
    }
}

pub fn choice<T: Choice>(text: &str) -> Option<T> {
    T::WORDS.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)).map(|(_, value)| *value)
}

pub fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

fn size(text: &str) -> Option<usize> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(end)?;
    let factor: usize = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        _ => return None,
    };
    digits.parse::<usize>().ok()?.checked_mul(factor)
}

/// The shortest way to say it.
pub fn size_text(bytes: usize) -> String {
    [(30, "gb"), (20, "mb"), (10, "kb")]
        .into_iter()
        .find(|&(shift, _)| bytes >> shift << shift == bytes && bytes >> shift > 0)
        .map_or_else(|| bytes.to_string(), |(shift, unit)| format!("{}{unit}", bytes >> shift))
}

fn seconds(text: &str) -> Option<u64> {
    let text = text.trim();
    let (digits, factor) = match text.as_bytes().last()? {
        b's' => (text.strip_suffix('s')?, 1),
        b'm' => (text.strip_suffix('m')?, 60),
        b'h' => (text.strip_suffix('h')?, 3600),
        _ => (text, 1),
    };
    digits.trim().parse::<u64>().ok()?.checked_mul(factor)
}
