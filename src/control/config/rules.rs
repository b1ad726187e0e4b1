//! Which rules to load, and the files that explain them.

use std::path::PathBuf;

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
