//! `stream:` how TCP streams are followed, with Suricata's names where the thing is the same.

use super::policy::{Exception, OnTrouble};
use super::report::Report;
use super::section::{Choice, Section};
use crate::packet::stream::{STREAM_MEMCAP_BYTES_DEFAULT, StreamConfig, Urgent};

/// The section `stream`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    pub config: StreamConfig,
    pub midstream: Follow,
    pub async_oneside: Follow,
    /// A connection is older than we are, and such are not followed.
    pub midstream_policy: OnTrouble,
    /// What all streams may hold together, in bytes.
    pub memcap_bytes: usize,
    /// A segment contradicts bytes that were forwarded before.
    pub overlap: OnTrouble,
    /// There is no memory to hold a segment.
    pub memcap_policy: OnTrouble,
    /// A segment points at urgent data.
    pub urgent: OnTrouble,
}

impl Default for Stream {
    fn default() -> Self {
        Stream {
            config: StreamConfig::default(),
            midstream: Follow::Auto,
            async_oneside: Follow::Auto,
            midstream_policy: OnTrouble::Pass,
            memcap_bytes: usize::try_from(STREAM_MEMCAP_BYTES_DEFAULT).unwrap_or(usize::MAX),
            overlap: OnTrouble::Drop,
            memcap_policy: OnTrouble::Pass,
            urgent: OnTrouble::Pass,
        }
    }
}

/// Whether to follow connections of which not everything is seen. Behind a queue conntrack knows them, and `auto` does; a
/// capture has no conntrack table to say what was there before it, or went another way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    Auto,
    Yes,
    No,
}

impl Choice for Follow {
    const WORDS: &'static [(&'static str, Follow)] = &[
        ("auto", Follow::Auto),
        ("yes", Follow::Yes),
        ("no", Follow::No),
        ("true", Follow::Yes),
        ("false", Follow::No),
        ("on", Follow::Yes),
        ("off", Follow::No),
    ];
}

/// `stream.reassembly.urgent.policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UrgentPolicy {
    OutOfBand,
    Inline,
    Drop,
}

impl Choice for UrgentPolicy {
    const WORDS: &'static [(&'static str, UrgentPolicy)] =
        &[("oob", UrgentPolicy::OutOfBand), ("inline", UrgentPolicy::Inline), ("drop", UrgentPolicy::Drop)];
}

/// `stream.reassembly.beyond-depth`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BeyondDepth {
    Packets,
    Nothing,
}

impl Choice for BeyondDepth {
    const WORDS: &'static [(&'static str, BeyondDepth)] =
        &[("packets", BeyondDepth::Packets), ("nothing", BeyondDepth::Nothing)];
}

impl Stream {
    pub(super) fn read(mut section: Section<'_>, exception: Exception, report: &mut Report) -> Stream {
        let mut stream = Stream::default();
        stream.memcap_policy = exception.or(stream.memcap_policy);
        stream.midstream_policy = exception.or(stream.midstream_policy);
        let config = &mut stream.config;
        section.read_choice("midstream", &mut stream.midstream, report);
        config.midstream = stream.midstream != Follow::No;
        section.read_choice("async-oneside", &mut stream.async_oneside, report);
        config.async_oneside = stream.async_oneside != Follow::No;
        section.read_choice("midstream-policy", &mut stream.midstream_policy, report);
        section.read_bool("bypass", &mut config.bypass, report);
        section.read_choice("overlap", &mut stream.overlap, report);
        let mut reassembly = section.section("reassembly", report);
        reassembly.read_size("memcap", 0..=1 << 40, &mut stream.memcap_bytes, report);
        reassembly.read_choice("memcap-policy", &mut stream.memcap_policy, report);
        let mut depth = usize::try_from(config.depth_bytes).unwrap_or(usize::MAX);
        reassembly.read_size("depth", 0..=1 << 40, &mut depth, report);
        config.depth_bytes = depth as u64;
        let mut beyond = BeyondDepth::Packets;
        reassembly.read_choice("beyond-depth", &mut beyond, report);
        config.look_beyond_depth = beyond == BeyondDepth::Packets;
        reassembly.read_size("window", 0..=1 << 20, &mut config.window_bytes, report);
        reassembly.read_size("held-max", 64 << 10..=1 << 30, &mut config.held_bytes_max, report);
        let mut urgent = reassembly.section("urgent", report);
        let mut choice = UrgentPolicy::OutOfBand;
        urgent.read_choice("policy", &mut choice, report);
        match choice {
            UrgentPolicy::OutOfBand => {}
            UrgentPolicy::Inline => config.urgent = Urgent::Inline,
            UrgentPolicy::Drop => stream.urgent = OnTrouble::Drop,
        }
        urgent.not_honoured(&["oob-limit-policy"], report);
        urgent.finish(report);
        reassembly.not_honoured(&SURICATA_REASSEMBLY, report);
        reassembly.finish(report);
        section.not_honoured(&SURICATA, report);
        section.finish(report);
        stream
    }
}

/// What conntrack does for us, and tables that we do not have.
const SURICATA: [&str; 13] = [
    "memcap",
    "memcap-policy",
    "max-sessions",
    "prealloc-sessions",
    "prealloc-session",
    "checksum-validation",
    "checksum_validation",
    "inline",
    "drop-invalid",
    "max-synack-queued",
    "max-syn-queued",
    "liberal-timestamps",
    "log-flush-events",
];

const SURICATA_REASSEMBLY: [&str; 9] = [
    "toserver-chunk-size",
    "toclient-chunk-size",
    "randomize-chunk-size",
    "randomize-chunk-range",
    "raw",
    "segment-prealloc",
    "check-overlap-different-data",
    "max-regions",
    "zero-copy-size",
];
