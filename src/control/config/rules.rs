//! Which rules to load, and the files that explain them.

use std::path::PathBuf;

use super::report::Report;
use crate::rules::keyword::PcreLimits;

use super::section::{Choice, Section, choice, list, scalar};

/// The keys around `rule-files`. The list may be empty: no rules, nothing dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Relative entries of `rule_files` are under this.
    pub default_rule_path: PathBuf,
    /// As typed; may be globs.
    pub rule_files: Vec<String>,
    pub classification_file: Option<PathBuf>,
    pub reference_config_file: Option<PathBuf>,
    pub threshold_file: Option<PathBuf>,
    /// Which action wins when rules of several match, strongest first; each once.
    pub action_order: [ActionClass; 4],
    pub reputation_categories_file: Option<PathBuf>,
    /// Relative entries of `reputation_files` are under this.
    pub default_reputation_path: PathBuf,
    pub reputation_files: Vec<String>,
    /// The section `pcre`.
    pub pcre_limits: PcreLimits,
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            default_rule_path: PathBuf::from("/var/lib/tidegate/rules"),
            rule_files: Vec::new(),
            classification_file: None,
            reference_config_file: None,
            threshold_file: None,
            action_order: [ActionClass::Pass, ActionClass::Drop, ActionClass::Reject, ActionClass::Alert],
            reputation_categories_file: None,
            default_reputation_path: PathBuf::from("/etc/tidegate/iprep"),
            reputation_files: Vec::new(),
            pcre_limits: PcreLimits::default(),
        }
    }
}

/// What `action-order` ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionClass {
    Pass,
    Drop,
    Reject,
    Alert,
}

impl Choice for ActionClass {
    const WORDS: &'static [(&'static str, ActionClass)] = &[
        ("pass", ActionClass::Pass),
        ("drop", ActionClass::Drop),
        ("reject", ActionClass::Reject),
        ("alert", ActionClass::Alert),
    ];
}

impl Rules {
    /// These keys stand at the top of the file.
    pub(super) fn read(root: &mut Section<'_>, report: &mut Report) -> Rules {
        let mut rules = Rules::default();
        root.read("default-rule-path", "a directory", &mut rules.default_rule_path, report, path);
        for (key, into) in [
            ("classification-file", &mut rules.classification_file),
            ("reference-config-file", &mut rules.reference_config_file),
            ("threshold-file", &mut rules.threshold_file),
            ("reputation-categories-file", &mut rules.reputation_categories_file),
        ] {
            root.read(key, "a file name", into, report, |text| path(text).map(Some));
        }
        root.read("default-reputation-path", "a directory", &mut rules.default_reputation_path, report, path);
        for (key, into) in [("rule-files", &mut rules.rule_files), ("reputation-files", &mut rules.reputation_files)] {
            report.asked(key);
            if let Some(node) = root.find(key) {
                let files = list(node, key, report).iter();
                *into = files.filter_map(|file| scalar(file, key, report).map(str::to_owned)).collect();
            }
        }
        let mut pcre = root.section("pcre", report);
        pcre.read_number("match-limit", 0..=u64::from(u32::MAX), &mut rules.pcre_limits.match_limit, report);
        pcre.read_number(
            "match-limit-recursion",
            0..=u64::from(u32::MAX),
            &mut rules.pcre_limits.recursion_limit,
            report,
        );
        pcre.finish(report);
        read_action_order(root, &mut rules.action_order, report);
        rules
    }
}

fn read_action_order(root: &mut Section<'_>, order: &mut [ActionClass; 4], report: &mut Report) {
    report.asked("action-order");
    let Some(node) = root.find("action-order") else { return };
    let typed: Vec<ActionClass> = list(node, "action-order", report)
        .iter()
        .filter_map(|item| scalar(item, "action-order", report).and_then(choice))
        .collect();
    match <[ActionClass; 4]>::try_from(typed) {
        Ok(typed) if order.iter().all(|class| typed.contains(class)) => *order = typed,
        _ => report.rule(&node.place, "action-order", "must name pass, drop, reject and alert, each once"),
    }
}

fn path(text: &str) -> Option<PathBuf> {
    (!text.is_empty()).then(|| PathBuf::from(text))
}
