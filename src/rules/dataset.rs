//! Data sets: many values that a buffer is looked up in, named by rules and shared by all of them.
//!
//! A set outlives the rule sets that name it: what rules have added stays there through a reload. Only a set that is
//! nothing but loaded from a file is read anew. Files are read and written by whoever compiles: see [`DataFiles`].

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// What one value costs besides its bytes, roughly.
const VALUE_OVERHEAD_BYTES: usize = 48;
/// A longer value is not kept.
const VALUE_BYTES_MAX: usize = 65_535;
/// Suricata's default for `datasets.defaults.memcap`.
pub const MEMCAP_BYTES_DEFAULT: usize = 100 << 20;

/// What the values of a set are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataKind {
    /// Any bytes; in files as base64.
    String,
    Md5,
    Sha256,
    Ipv4,
    /// IPv4 and IPv6.
    Ip,
}

impl DataKind {
    pub const WORDS: [(&'static str, DataKind); 6] = [
        ("string", DataKind::String),
        ("md5", DataKind::Md5),
        ("sha256", DataKind::Sha256),
        ("ipv4", DataKind::Ipv4),
        ("ip", DataKind::Ip),
        ("ipv6", DataKind::Ip),
    ];

    #[must_use]
    pub fn of(word: &str) -> Option<DataKind> {
        Self::WORDS.iter().find(|(known, _)| *known == word).map(|(_, kind)| *kind)
    }

    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(_, kind)| *kind == self).map_or("", |(word, _)| word)
    }

    /// A value as files write it.
    fn read(self, text: &str) -> Option<Box<[u8]>> {
        match self {
            DataKind::String => STANDARD.decode(text).ok().filter(|value| !value.is_empty()).map(Vec::into_boxed_slice),
            DataKind::Md5 => hex(text, 16),
            DataKind::Sha256 => hex(text, 32),
            DataKind::Ipv4 => text.parse::<Ipv4Addr>().ok().map(|address| address.octets().into()),
            DataKind::Ip => text.parse::<IpAddr>().ok().map(|address| mapped(address).octets().into()),
        }
    }

    fn write(self, value: &[u8]) -> String {
        match self {
            DataKind::String => STANDARD.encode(value),
            DataKind::Md5 | DataKind::Sha256 => value.iter().map(|byte| format!("{byte:02x}")).collect(),
            DataKind::Ipv4 | DataKind::Ip => address_of(value).map_or_else(String::new, |address| address.to_string()),
        }
    }

    /// The bytes of a buffer as a key of the set; `None` if they cannot be a value of this kind.
    fn key(self, buffer: &[u8]) -> Option<Box<[u8]>> {
        let fits = match self {
            DataKind::String => !buffer.is_empty() && buffer.len() <= VALUE_BYTES_MAX,
            DataKind::Md5 => buffer.len() == 16,
            DataKind::Sha256 => buffer.len() == 32,
            DataKind::Ipv4 => buffer.len() == 4,
            DataKind::Ip => return address_of(buffer).map(|address| mapped(address).octets().into()),
        };
        fits.then(|| buffer.into())
    }
}

fn hex(text: &str, length: usize) -> Option<Box<[u8]>> {
    let digits = text.as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    (digits.len() == length * 2).then(|| digits.chunks(2).map(byte).collect()).flatten()
}

fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

fn address_of(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(|octets| IpAddr::V4(octets.into())),
        16 => <[u8; 16]>::try_from(bytes).ok().map(|octets| IpAddr::V6(octets.into()).to_canonical()),
        _ => None,
    }
}

/// One set.
#[derive(Debug)]
pub struct DataSet {
    kind: DataKind,
    memcap_bytes: usize,
    values: RwLock<Values>,
    refused: AtomicU64,
}

#[derive(Debug, Default)]
struct Values {
    /// With the value's reputation, 0 where it has none.
    by_key: hashbrown::HashMap<Box<[u8]>, u16>,
    bytes: usize,
}

impl DataSet {
    #[must_use]
    pub fn new(kind: DataKind, memcap_bytes: usize) -> DataSet {
        DataSet { kind, memcap_bytes, values: RwLock::default(), refused: AtomicU64::new(0) }
    }

    #[must_use]
    pub fn kind(&self) -> DataKind {
        self.kind
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.read().by_key.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Values that found no room.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Reads a file: a value a line, with its reputation behind a comma. Lines that are not understood are told by
    /// their number, from 1.
    pub fn load(&self, text: &str) -> Vec<u32> {
        let mut wrong = Vec::new();
        for (line, number) in text.lines().map(str::trim).zip(1..) {
            let (value, reputation) = line.split_once(',').unwrap_or((line, "0"));
            let reputation = reputation.split(',').next().unwrap_or_default().trim().parse::<u16>().ok();
            match (self.kind.read(value.trim()), reputation) {
                (Some(value), Some(reputation)) => drop(self.put(value, reputation)),
                _ if line.is_empty() => {}
                _ => wrong.push(number),
            }
        }
        wrong
    }

    /// The values as files write them, in order.
    #[must_use]
    pub fn save(&self) -> String {
        let values = self.read();
        let mut lines: Vec<String> = values.by_key.keys().map(|value| self.kind.write(value)).collect();
        drop(values);
        lines.sort_unstable();
        lines.into_iter().flat_map(|line| [line, "\n".to_owned()]).collect()
    }

    #[must_use]
    pub fn contains(&self, buffer: &[u8]) -> bool {
        self.reputation(buffer).is_some()
    }

    /// The reputation of a value that is in the set.
    #[must_use]
    pub fn reputation(&self, buffer: &[u8]) -> Option<u16> {
        let key = self.kind.key(buffer)?;
        self.read().by_key.get(&key).copied()
    }

    /// True if the value is new, and there was room for it.
    pub fn add(&self, buffer: &[u8]) -> bool {
        self.kind.key(buffer).is_some_and(|key| self.put(key, 0))
    }

    /// True if the value was there.
    pub fn remove(&self, buffer: &[u8]) -> bool {
        let Some(key) = self.kind.key(buffer) else { return false };
        let mut values = self.values.write().unwrap_or_else(PoisonError::into_inner);
        let removed = values.by_key.remove(&key).is_some();
        if removed {
            values.bytes = values.bytes.saturating_sub(key.len() + VALUE_OVERHEAD_BYTES);
        }
        removed
    }

    fn put(&self, key: Box<[u8]>, reputation: u16) -> bool {
        let mut values = self.values.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = values.by_key.get_mut(&key) {
            *known = reputation;
            return false;
        }
        let bytes = values.bytes.saturating_add(key.len() + VALUE_OVERHEAD_BYTES);
        if bytes > self.memcap_bytes {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        values.bytes = bytes;
        values.by_key.insert(key, reputation);
        true
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Values> {
        self.values.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a set's values come from and go to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataSource {
    /// Read when rules are loaded.
    pub load: Option<String>,
    /// Written when the program stops.
    pub save: Option<String>,
}

/// What rules and the configuration say of one set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataSpec {
    pub name: String,
    /// `None`: the set must be known already.
    pub kind: Option<DataKind>,
    pub source: DataSource,
    pub memcap_bytes: Option<usize>,
    /// Named by the configuration: it may write, and is never read anew.
    pub configured: bool,
}

/// Reads the files that sets name. `beside` is the rule file that names it.
pub trait DataFiles: Send + Sync {
    /// # Errors
    /// In words, when the file cannot be read.
    fn read(&self, name: &str, beside: &str) -> Result<String, String>;

    /// # Errors
    /// In words, when rules must not write there.
    fn may_write(&self, name: &str) -> Result<(), String>;
}

#[derive(Debug)]
struct Known {
    set: Arc<DataSet>,
    source: DataSource,
    /// Nothing but loaded: read anew by the next generation.
    is_static: bool,
    generation: u64,
}

/// All sets by name, through all generations of rules.
#[derive(Clone, Default)]
pub struct DataSets {
    known: Arc<Mutex<HashMap<String, Known>>>,
    files: Option<Arc<dyn DataFiles>>,
    /// What sets get that name no `memcap`; `None`: Suricata's default.
    pub memcap_bytes: Option<usize>,
}

impl std::fmt::Debug for DataSets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataSets").field("known", &self.lock().keys()).finish_non_exhaustive()
    }
}

/// Why a rule cannot have its set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataError {
    /// The name is not known, and nothing is said of what the values are.
    Unknown,
    /// It is known to hold something else.
    OtherKind(DataKind),
    /// It is known with another file.
    OtherSource,
    /// The file, and why not.
    File(String),
    /// Lines of the file.
    Lines(Vec<u32>),
}

impl std::fmt::Display for DataError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DataError::Unknown => f.write_str("nothing is said of what it holds"),
            DataError::OtherKind(kind) => write!(f, "it is known to hold {}", kind.as_str()),
            DataError::OtherSource => f.write_str("it is known with another file"),
            DataError::File(why) => f.write_str(why),
            DataError::Lines(lines) => {
                let first = lines.first().copied().unwrap_or_default();
                write!(f, "{} lines of the file are no values, the first is line {first}", lines.len())
            }
        }
    }
}

impl DataSets {
    #[must_use]
    pub fn with_files(files: Arc<dyn DataFiles>) -> DataSets {
        DataSets { files: Some(files), ..DataSets::default() }
    }

    /// The text of a file that a rule names.
    ///
    /// # Errors
    /// In words, when the file cannot be read.
    pub fn read_file(&self, name: &str, beside: &str) -> Result<String, String> {
        let files = self.files.as_ref().ok_or_else(|| "no files are read here".to_owned())?;
        files.read(name, beside)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The set that `spec` names, made if it is new. A set that is only loaded is loaded once a generation.
    ///
    /// # Errors
    /// When it cannot be what the rule says it is.
    pub fn open(&self, spec: &DataSpec, beside: &str, generation: u64) -> Result<Arc<DataSet>, DataError> {
        let mut all = self.lock();
        if let Some(known) = all.get(&spec.name) {
            if spec.kind.is_some_and(|kind| kind != known.set.kind()) {
                return Err(DataError::OtherKind(known.set.kind()));
            }
            let silent = spec.source == DataSource::default();
            if !silent && spec.source != known.source {
                return Err(DataError::OtherSource);
            }
            if !known.is_static || known.generation == generation {
                return Ok(Arc::clone(&known.set));
            }
            if silent {
                return Err(DataError::Unknown);
            }
        }
        let kind = spec.kind.ok_or(DataError::Unknown)?;
        let memcap = spec.memcap_bytes.or(self.memcap_bytes).unwrap_or(MEMCAP_BYTES_DEFAULT);
        let set = Arc::new(DataSet::new(kind, memcap));
        if let Some(name) = spec.source.save.as_ref().filter(|_| !spec.configured) {
            self.file(|files| files.may_write(name))?;
        }
        if let Some(name) = &spec.source.load {
            let text = self.file(|files| files.read(name, beside));
            // A set that is saved begins empty: there is no file yet.
            let text = if spec.source.save.is_some() { text.unwrap_or_default() } else { text? };
            let wrong = set.load(&text);
            if !wrong.is_empty() {
                return Err(DataError::Lines(wrong));
            }
        }
        let is_static = spec.source.load.is_some() && spec.source.save.is_none() && !spec.configured;
        let known = Known { set: Arc::clone(&set), source: spec.source.clone(), is_static, generation };
        all.insert(spec.name.clone(), known);
        Ok(set)
    }

    fn file<T>(&self, ask: impl FnOnce(&dyn DataFiles) -> Result<T, String>) -> Result<T, DataError> {
        match &self.files {
            Some(files) => ask(&**files).map_err(DataError::File),
            None => Err(DataError::File("no files can be read here".to_owned())),
        }
    }

    /// What is to be written when the program stops: file names and texts.
    #[must_use]
    pub fn to_save(&self) -> Vec<(String, String)> {
        let all = self.lock();
        let saved = all.values().filter_map(|known| Some((known.source.save.clone()?, known.set.save())));
        let mut saved: Vec<(String, String)> = saved.collect();
        saved.sort_unstable();
        saved
    }
}

#[cfg(test)]
#[path = "dataset_tests.rs"]
mod tests;
