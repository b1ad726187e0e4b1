//! From file names and globs to a compiled rule set: the part of loading rules that touches the disk.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use thiserror::Error;

use super::config;
use crate::rules::config::{Classifications, References};
use crate::rules::dataset::DataSets;
use crate::rules::{self, Compiled, Context, Diagnostic, Source, Vars};

/// Beside the rules, or where a packaged Suricata keeps them: read when the configuration names none.
const CLASSIFICATION_NAME: &str = "classification.config";
const REFERENCE_NAME: &str = "reference.config";

/// What to read.
#[derive(Clone, Debug, Default)]
pub struct RuleFiles {
    /// Files or globs. One that matches nothing is an error: a typo must not turn the gate into a wire.
    pub patterns: Vec<PathBuf>,
    pub classification: Option<PathBuf>,
    pub reference: Option<PathBuf>,
    /// Suppressions and thresholds by sid; none unless named.
    pub threshold: Option<PathBuf>,
    pub reputation_categories: Option<PathBuf>,
    pub reputation: Vec<PathBuf>,
}

impl RuleFiles {
    #[must_use]
    pub fn of_config(rules: &config::Rules) -> RuleFiles {
        RuleFiles {
            patterns: rules.rule_files.iter().map(|file| rules.default_rule_path.join(file)).collect(),
            classification: rules.classification_file.clone(),
            reference: rules.reference_config_file.clone(),
            threshold: rules.threshold_file.clone(),
            reputation_categories: rules.reputation_categories_file.clone(),
            reputation: rules.reputation_files.iter().map(|file| rules.default_reputation_path.join(file)).collect(),
        }
    }
}

/// Why no rule set came of it. Mistakes *inside* rules are no error here: they are in [`Compiled`].
#[derive(Debug, Error)]
pub enum RuleFilesError {
    #[error("no rule file matches `{0}`: give an existing file, or a glob that matches one")]
    NoMatch(String),
    #[error("`{pattern}` is no valid glob")]
    Glob { pattern: String, source: glob::PatternError },
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
}

/// A compiled set, what was wrong with the files around the rules, and how long reading and compiling took.
#[derive(Debug)]
pub struct Loaded {
    pub compiled: Compiled,
    pub config_diagnostics: Vec<Diagnostic>,
    pub took: Duration,
}

/// Everything that a rule set is made of, read and not yet compiled.
pub struct ReadRules {
    sources: Vec<Source>,
    context: Context,
    config_diagnostics: Vec<Diagnostic>,
    started: Instant,
    /// Of all that was read, and of the variables: two sets with the same one judge alike.
    pub hash: u64,
}

/// Reads every file.
///
/// # Errors
/// When a named file cannot be read or a pattern matches none.
pub fn read_all(files: &RuleFiles, vars: &Vars, datasets: &DataSets) -> Result<ReadRules, RuleFilesError> {
    let started = Instant::now();
    let mut hash = Fingerprint::new(vars);
    let mut read = |path: &Path| read(path).inspect(|source| hash.put(source.text.as_bytes()));
    let paths = expand(&files.patterns)?;
    let sources = paths.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
    let mut context = Context { vars: vars.clone(), datasets: datasets.clone(), ..Context::default() };
    let mut config_diagnostics = Vec::new();
    match beside(files.classification.as_deref(), &paths, CLASSIFICATION_NAME) {
        Some(path) => context.classifications.read(&read(&path)?, &mut config_diagnostics),
        None => context.classifications = Classifications::shipped(),
    }
    match beside(files.reference.as_deref(), &paths, REFERENCE_NAME) {
        Some(path) => context.references.read(&read(&path)?, &mut config_diagnostics),
        None => context.references = References::shipped(),
    }
    if let Some(path) = &files.threshold {
        context.thresholds.read(&read(path)?, vars, &mut config_diagnostics);
    }
    if let Some(path) = &files.reputation_categories {
        context.reputation.read_categories(&read(path)?, &mut config_diagnostics);
    }
    for path in &files.reputation {
        context.reputation.read_scores(&read(path)?, &mut config_diagnostics);
    }
    Ok(ReadRules { sources, context, config_diagnostics, started, hash: hash.finish() })
}

impl ReadRules {
    /// Compiles what was read. `options.hash` is left as it is.
    #[must_use]
    pub fn compile(self, options: &rules::Options) -> Loaded {
        let compiled = rules::compile(&self.sources, &self.context, options);
        Loaded { compiled, config_diagnostics: self.config_diagnostics, took: self.started.elapsed() }
    }
}

/// Reads every file and compiles what is in them.
///
/// # Errors
/// As [`read_all`].
pub fn load(
    files: &RuleFiles,
    vars: &Vars,
    datasets: &DataSets,
    options: &rules::Options,
) -> Result<Loaded, RuleFilesError> {
    Ok(read_all(files, vars, datasets)?.compile(options))
}

/// The file that the configuration names, else the one of that name beside the first rule file. Else the shipped list holds.
fn beside(named: Option<&Path>, rules: &[PathBuf], name: &str) -> Option<PathBuf> {
    if let Some(path) = named {
        return Some(path.to_owned());
    }
    let beside = rules.first().and_then(|first| first.parent()).map(|dir| dir.join(name));
    beside.filter(|path| path.is_file())
}

/// The first 64 bits of a SHA-256.
struct Fingerprint(Sha256);

impl Fingerprint {
    fn new(vars: &Vars) -> Fingerprint {
        let mut fingerprint = Fingerprint(Sha256::new());
        fingerprint.put(format!("{vars:?}").as_bytes());
        fingerprint
    }

    fn put(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }

    fn finish(self) -> u64 {
        let digest = self.0.finalize();
        digest.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }
}

fn expand(patterns: &[PathBuf]) -> Result<Vec<PathBuf>, RuleFilesError> {
    let mut files = Vec::new();
    for pattern in patterns {
        // A file whose name holds glob characters is still that file.
        if pattern.is_file() {
            files.push(pattern.clone());
            continue;
        }
        let text = pattern.display().to_string();
        let matched = glob::glob(&text).map_err(|source| RuleFilesError::Glob { pattern: text.clone(), source })?;
        let before = files.len();
        files.extend(matched.flatten().filter(|path| path.is_file()));
        if files.len() == before {
            return Err(RuleFilesError::NoMatch(text));
        }
    }
    Ok(files)
}

fn read(path: &Path) -> Result<Source, RuleFilesError> {
    let bytes = std::fs::read(path).map_err(|source| RuleFilesError::Read { path: path.to_owned(), source })?;
    Ok(Source::from_bytes(path.display().to_string(), bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: &str = "alert ip any any -> any any (msg:\"any\"; classtype:ours; sid:1;)\n";

    #[test]
    fn globs_expand_and_config_files_beside_the_rules_are_found() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.rules"), RULE).unwrap();
        std::fs::write(dir.path().join(CLASSIFICATION_NAME), "config classification: ours,Of our own,2\n").unwrap();
        let files = RuleFiles { patterns: vec![dir.path().join("*.rules")], ..RuleFiles::default() };
        let loaded = load(&files, &Vars::standard(), &DataSets::default(), &rules::Options::default()).unwrap();
        assert_eq!(loaded.compiled.loaded(), 1);
        let meta = &loaded.compiled.set.rules()[0].meta;
        assert_eq!((meta.category.as_str(), meta.priority), ("Of our own", 2));
    }

    #[test]
    fn a_pattern_that_matches_nothing_is_an_error() {
        let files = RuleFiles { patterns: vec![PathBuf::from("/nonexistent/*.rules")], ..RuleFiles::default() };
        let error = load(&files, &Vars::standard(), &DataSets::default(), &rules::Options::default()).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/*.rules"), "{error}");
    }
}
