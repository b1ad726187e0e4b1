//! What was typed: YAML as a tree in which every node knows its place.
//!
//! Scalars stay text: what `yes` or `32mb` means is for the key to say. YAML 1.1 and 1.2 differ only there.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use saphyr::{MarkedYaml, ScalarStyle, ScanError, YamlData, YamlLoader};
use saphyr_parser::{Marker, Parser};

/// One value of the tree.
#[derive(Clone, Debug)]
pub struct Node {
    pub place: Place,
    pub value: Value,
}

#[derive(Clone, Debug)]
pub enum Value {
    /// A key with nothing behind it.
    Null,
    Scalar(String),
    List(Vec<Node>),
    /// In the order of the file.
    Map(Vec<Entry>),
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub key: String,
    pub place: Place,
    pub value: Node,
}

/// `file:line:column`, or the option of the command line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    origin: Arc<str>,
    /// Line and column from 1.
    position: Option<(usize, usize)>,
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some((line, column)) => write!(out, "{}:{line}:{column}", self.origin),
            None => out.write_str(&self.origin),
        }
    }
}

/// Why there is no tree.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    #[error("cannot read the configuration {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{place}: not YAML: {message}")]
    Syntax { place: Place, message: String },
    #[error("{0}: more than one YAML document; a configuration is one")]
    Documents(Place),
    #[error("{0}: a key must be plain text")]
    Key(Place),
    #[error("{place}: include wants a file name or a list of them")]
    Include { place: Place },
    #[error("{place}: includes are nested deeper than {INCLUDE_DEPTH_MAX}; does a file include itself?")]
    IncludeDepth { place: Place },
}

/// An override that cannot be applied.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    #[error("--set {0}: expected key=value, such as --set stats.interval=30")]
    Form(String),
    #[error("--set {option}: {key} holds a {found}, so {component} cannot be under it")]
    Shape { option: String, key: String, component: String, found: &'static str },
    #[error("--set {option}: {key} has {length} elements, the next one would be {length}")]
    Index { option: String, key: String, length: usize },
}

impl Node {
    /// An empty file.
    pub fn empty(origin: &str) -> Node {
        Node { place: Place { origin: origin.into(), position: None }, value: Value::Null }
    }

    /// Reads a file with all that it includes.
    pub fn load(path: &Path) -> Result<Node, TreeError> {
        load(path, 0)
    }

    /// Reads text as if it were the file `name`; includes are relative to the directory of `name`.
    pub fn parse(text: &str, name: &Path) -> Result<Node, TreeError> {
        parse(text, name, 0)
    }

    /// Applies `a.b.c=value`; numbers index lists. What is missing is made.
    pub fn set(&mut self, option: &str) -> Result<(), SetError> {
        let (keys, value) = option
            .split_once('=')
            .filter(|(keys, _)| keys.split('.').all(|key| !key.is_empty()))
            .ok_or_else(|| SetError::Form(option.to_owned()))?;
        let place = Place { origin: format!("--set {option}").into(), position: None };
        let mut node = self;
        let mut walked = String::new();
        for key in keys.split('.') {
            node = child(node, key, &place, option, &walked)?;
            if !walked.is_empty() {
                walked.push('.');
            }
            walked.push_str(key);
        }
        *node = Node { place, value: Value::Scalar(value.to_owned()) };
        Ok(())
    }

    /// For messages.
    pub fn shape(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Scalar(_) => "single value",
            Value::List(_) => "list",
            Value::Map(_) => "mapping",
        }
    }
}

fn child<'n>(
    node: &'n mut Node,
    key: &str,
    place: &Place,
    option: &str,
    walked: &str,
) -> Result<&'n mut Node, SetError> {
    let index = key.parse::<usize>().ok();
    if matches!(node.value, Value::Null) {
        node.value = if index.is_some() { Value::List(Vec::new()) } else { Value::Map(Vec::new()) };
    }
    let found = node.shape();
    let shape_error = || SetError::Shape {
        option: option.to_owned(),
        key: if walked.is_empty() { "the file".to_owned() } else { walked.to_owned() },
        component: key.to_owned(),
        found,
    };
    let fresh = || Node { place: place.clone(), value: Value::Null };
    match (&mut node.value, index) {
        (Value::List(items), Some(index)) => {
            let length = items.len();
            if index == length {
                items.push(fresh());
            }
            items.get_mut(index).ok_or_else(|| SetError::Index {
                option: option.to_owned(),
                key: walked.to_owned(),
                length,
            })
        }
        (Value::Map(entries), _) => {
            let position = entries.iter().position(|entry| entry.key == key).unwrap_or(entries.len());
            if position == entries.len() {
                entries.push(Entry { key: key.to_owned(), place: place.clone(), value: fresh() });
            }
            entries.get_mut(position).map(|entry| &mut entry.value).ok_or_else(shape_error)
        }
        _ => Err(shape_error()),
    }
}

fn load(path: &Path, depth: usize) -> Result<Node, TreeError> {
    let text = fs::read_to_string(path).map_err(|source| TreeError::Read { path: path.to_owned(), source })?;
    parse(&text, path, depth)
}

fn parse(text: &str, path: &Path, depth: usize) -> Result<Node, TreeError> {
    let origin: Arc<str> = path.display().to_string().into();
    let mut documents = documents(text).map_err(|error| TreeError::Syntax {
        place: place(&origin, *error.marker()),
        message: error.info().to_owned(),
    })?;
    let Some(document) = documents.pop() else {
        return Ok(Node::empty(&origin));
    };
    if !documents.is_empty() {
        return Err(TreeError::Documents(place(&origin, document.span.start)));
    }
    let mut root = convert(document, &origin)?;
    include(&mut root, path, depth)?;
    Ok(root)
}

fn documents(text: &str) -> Result<Vec<MarkedYaml<'_>>, ScanError> {
    let mut loader = YamlLoader::default();
    loader.early_parse(false);
    Parser::new_from_str(text).load(&mut loader, true)?;
    match loader.error() {
        Some(error) => Err(error.clone()),
        None => Ok(loader.into_documents()),
    }
}

fn convert(yaml: MarkedYaml<'_>, origin: &Arc<str>) -> Result<Node, TreeError> {
    let place = place(origin, yaml.span.start);
    let value = match yaml.data {
        YamlData::Representation(text, ScalarStyle::Plain, _) if matches!(&*text, "" | "~" | "null") => Value::Null,
        YamlData::Representation(text, ..) => Value::Scalar(text.into_owned()),
        YamlData::Sequence(items) => {
            Value::List(items.into_iter().map(|item| convert(item, origin)).collect::<Result<_, _>>()?)
        }
        YamlData::Mapping(entries) => Value::Map(
            entries.into_iter().map(|(key, value)| convert_entry(key, value, origin)).collect::<Result<_, _>>()?,
        ),
        YamlData::Tagged(_, inner) => return convert(*inner, origin),
        YamlData::Value(_) | YamlData::Alias(_) | YamlData::BadValue => Value::Null,
    };
    Ok(Node { place, value })
}

fn convert_entry(key: MarkedYaml<'_>, value: MarkedYaml<'_>, origin: &Arc<str>) -> Result<Entry, TreeError> {
    let place = place(origin, key.span.start);
    match key.data {
        YamlData::Representation(text, ..) => {
            Ok(Entry { key: text.into_owned(), place, value: convert(value, origin)? })
        }
        _ => Err(TreeError::Key(place)),
    }
}

fn place(origin: &Arc<str>, marker: Marker) -> Place {
    Place { origin: Arc::clone(origin), position: Some((marker.line(), marker.col().saturating_add(1))) }
}

/// Replaces each `include` by what the files hold. What is typed later, here or there, wins.
fn include(node: &mut Node, path: &Path, depth: usize) -> Result<(), TreeError> {
    match &mut node.value {
        Value::Null | Value::Scalar(_) => Ok(()),
        Value::List(items) => items.iter_mut().try_for_each(|item| include(item, path, depth)),
        Value::Map(entries) => {
            let mut merged = Vec::new();
            for mut entry in std::mem::take(entries) {
                if entry.key == "include" {
                    for file in include_names(&entry)? {
                        if depth >= INCLUDE_DEPTH_MAX {
                            return Err(TreeError::IncludeDepth { place: entry.place });
                        }
                        let beside = path.parent().unwrap_or(Path::new("")).join(file);
                        merge_value(&mut merged, load(&beside, depth.saturating_add(1))?);
                    }
                } else {
                    include(&mut entry.value, path, depth)?;
                    merge_entry(&mut merged, entry);
                }
            }
            *entries = merged;
            Ok(())
        }
    }
}

fn include_names(entry: &Entry) -> Result<Vec<&str>, TreeError> {
    let wrong = || TreeError::Include { place: entry.value.place.clone() };
    match &entry.value.value {
        Value::Scalar(name) => Ok(vec![name]),
        Value::List(items) => items
            .iter()
            .map(|item| match &item.value {
                Value::Scalar(name) => Ok(name.as_str()),
                _ => Err(wrong()),
            })
            .collect(),
        Value::Null | Value::Map(_) => Err(wrong()),
    }
}

fn merge_value(entries: &mut Vec<Entry>, included: Node) {
    if let Value::Map(new) = included.value {
        for entry in new {
            merge_entry(entries, entry);
        }
    }
}

fn merge_entry(entries: &mut Vec<Entry>, new: Entry) {
    match entries.iter_mut().find(|entry| entry.key == new.key) {
        Some(old) => match (&mut old.value.value, new.value.value) {
            (Value::Map(inner), Value::Map(more)) => {
                for entry in more {
                    merge_entry(inner, entry);
                }
            }
            (_, value) => old.value = Node { place: new.value.place, value },
        },
        None => entries.push(new),
    }
}

const INCLUDE_DEPTH_MAX: usize = 8;
