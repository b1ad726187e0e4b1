//! `vars:` what `$HOME_NET` and its like stand for.

use super::report::Report;
use super::section::{Section, scalar};
use super::tree::{Node, Value};
use crate::rules;

/// Names and values in the file's order, without the `$`, values as typed. The rule language parses them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vars {
    pub address_groups: Vec<(String, String)>,
    pub port_groups: Vec<(String, String)>,
}

/// What Suricata's own file defines, so that rule sets load without a file.
impl Default for Vars {
    fn default() -> Self {
        let standard = rules::Vars::standard();
        Vars {
            address_groups: standard.address_groups.into_iter().collect(),
            port_groups: standard.port_groups.into_iter().collect(),
        }
    }
}

impl Vars {
    /// As the rule language takes them.
    #[must_use]
    pub fn of_rules(&self) -> rules::Vars {
        rules::Vars {
            address_groups: self.address_groups.iter().cloned().collect(),
            port_groups: self.port_groups.iter().cloned().collect(),
        }
    }

    /// A group that is typed replaces the default of that name; names that are not typed keep theirs.
    pub(super) fn read(mut section: Section<'_>, report: &mut Report) -> Vars {
        let mut vars = Vars::default();
        for (key, groups) in [("address-groups", &mut vars.address_groups), ("port-groups", &mut vars.port_groups)] {
            report.asked(&section.path_of(key));
            let inner = section.section(key, report);
            for entry in inner.entries() {
                let path = inner.path_of(&entry.key);
                if let Some(value) = group(&entry.value, &path, report) {
                    put(groups, &entry.key, value);
                }
            }
        }
        section.finish(report);
        vars
    }
}

/// As typed; a YAML list is the same as one in brackets.
fn group(node: &Node, path: &str, report: &mut Report) -> Option<String> {
    match &node.value {
        Value::List(items) => {
            let items: Option<Vec<&str>> = items.iter().map(|item| scalar(item, path, report)).collect();
            items.map(|items| format!("[{}]", items.join(",")))
        }
        _ => scalar(node, path, report).map(str::to_owned),
    }
}

fn put(groups: &mut Vec<(String, String)>, name: &str, value: String) {
    match groups.iter_mut().find(|(known, _)| known == name) {
        Some((_, old)) => *old = value,
        None => groups.push((name.to_owned(), value)),
    }
}
