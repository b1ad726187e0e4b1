//! Rules from disk to the packet path: read, compile beside the workers, publish. On any error the old set stays.

use std::sync::Arc;
use std::time::Duration;

use super::config::{ActionClass, Config};
use super::data_files::DiskFiles;
use super::rule_files::{self, Loaded, ReadRules, RuleFiles, RuleFilesError};
use super::stats::InForce;
use crate::output::eve::stats::EngineStats;
use crate::rules::dataset::{DataSets, DataSpec};
use crate::rules::keyword::PcreLimits;
use crate::rules::meta::RuleAction;
use crate::rules::ruleset::RuleSet;
use crate::rules::{self, Vars};

/// Compiles the configured rules, a generation at a time.
#[derive(Clone, Debug)]
pub struct Reloader {
    files: RuleFiles,
    vars: Vars,
    action_order: [RuleAction; 4],
    stores_files: bool,
    fingerprints: (bool, bool),
    pcre_limits: PcreLimits,
    datasets: DataSets,
    configured_sets: Vec<DataSpec>,
    data_files: DiskFiles,
    generation: u64,
    /// By its contents: the set of this generation.
    hash: u64,
    has_compiled: bool,
}

/// A rule set and what became of the rules that were to be in it.
pub struct Fresh {
    pub set: Arc<RuleSet>,
    pub engine: EngineStats,
    pub took: Duration,
    pub generation: u64,
    /// The set by its contents.
    pub hash: u64,
}

impl Fresh {
    /// What statistics name.
    #[must_use]
    pub fn in_force(&self) -> InForce {
        InForce { engine: self.engine.clone(), generation: self.generation, hash: self.hash }
    }

    /// One line for the log.
    #[must_use]
    pub fn summary(&self) -> String {
        format!(
            "{} rules loaded, {} rejected, in {} ms (generation {}, rule set {:016x})",
            self.engine.rules_loaded,
            self.engine.rules_failed,
            self.took.as_millis(),
            self.generation,
            self.hash
        )
    }
}

impl Reloader {
    #[must_use]
    pub fn new(files: RuleFiles, config: &Config) -> Reloader {
        let data_files = DiskFiles::new(&config.datasets);
        let mut datasets = DataSets::with_files(Arc::new(data_files.clone()));
        datasets.memcap_bytes = Some(config.datasets.memcap_bytes);
        Reloader {
            files,
            vars: config.vars.of_rules(),
            action_order: config.rules.action_order.map(action_of),
            stores_files: config.outputs.file_store.is_some(),
            fingerprints: (config.app.limits.tls.ja3, config.app.limits.tls.ja4),
            pcre_limits: config.rules.pcre_limits,
            datasets,
            configured_sets: config.datasets.sets.clone(),
            data_files,
            generation: 0,
            hash: 0,
            has_compiled: false,
        }
    }

    /// Goes on from what a former run left in force. If the rules are still those, the first set has that generation, and
    /// what it cleared stays cleared.
    #[must_use]
    pub fn after(self, former: Option<(u64, u64)>) -> Reloader {
        let (generation, hash) = former.unwrap_or_default();
        Reloader { generation, hash, ..self }
    }

    /// The next generation. Mistakes in single rules are told and the rest loads, as Suricata's users expect.
    ///
    /// # Errors
    /// When a file cannot be read: then there is no new set.
    pub fn compile(&mut self) -> Result<Fresh, RuleFilesError> {
        let former = (self.generation, self.hash);
        let is_first = !std::mem::replace(&mut self.has_compiled, true);
        let read = self.read()?;
        if !is_first || former.1 != read.hash || former.0 == 0 {
            self.generation = self.generation.saturating_add(1);
        }
        self.hash = read.hash;
        let Loaded { compiled, config_diagnostics, took } = read.compile(&self.options());
        for diagnostic in config_diagnostics.iter().chain(&compiled.diagnostics) {
            tracing::warn!("{diagnostic}");
        }
        let engine = EngineStats {
            id: 0,
            rules_loaded: compiled.loaded() as u64,
            rules_failed: compiled.rejected.len() as u64,
            rules_skipped: (compiled.replaced + compiled.left_out) as u64,
        };
        Ok(Fresh { set: compiled.set, engine, took, generation: self.generation, hash: self.hash })
    }

    /// Writes the data sets that are to be saved: at the end, for rules go on adding to them until then.
    pub fn save_datasets(&self) {
        for (path, error) in self.data_files.save(&self.datasets) {
            tracing::error!("cannot save the data set {}: {error}", path.display());
        }
    }

    /// Reads and compiles, and tells nobody.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn load(&self) -> Result<Loaded, RuleFilesError> {
        Ok(self.read()?.compile(&self.options()))
    }

    fn read(&self) -> Result<ReadRules, RuleFilesError> {
        let next = self.generation.saturating_add(1);
        for spec in &self.configured_sets {
            if let Err(error) = self.datasets.open(spec, "", next) {
                tracing::warn!("datasets.{}: {error}", spec.name);
            }
        }
        rule_files::read_all(&self.files, &self.vars, &self.datasets)
    }

    fn options(&self) -> rules::Options {
        rules::Options {
            generation: self.generation,
            hash: self.hash,
            action_order: self.action_order,
            pcre_limits: self.pcre_limits,
            stores_files: self.stores_files,
            fingerprints: self.fingerprints,
        }
    }
}

fn action_of(class: ActionClass) -> RuleAction {
    match class {
        ActionClass::Pass => RuleAction::Pass,
        ActionClass::Drop => RuleAction::Drop,
        ActionClass::Reject => RuleAction::Reject,
        ActionClass::Alert => RuleAction::Alert,
    }
}
