//! Replay: captures through the data plane, with an acted kernel around it.
//!
//! ```text
//!  capture file > link header > fragments joined > conntrack > sink (the data plane) > conntrack learns the answer
//! ```
//!
//! Each packet reaches the sink as NFQUEUE would hand it over: reassembled, from the network header on, with its
//! conntrack entry as it stands after the packet. The answer goes back, so that a dropped first packet leaves no entry.

pub mod capture;

pub mod defrag;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use self::capture::{Capture, CaptureError, CapturedFrame};
use self::defrag::{Defragmented, Defragmenter};
use crate::packet::decode::anomaly::{Anomalies, Anomaly};
use crate::packet::decode::checksum::{self, Checksum};
use crate::packet::decode::link::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, Frame};
use crate::packet::decode::{Decoded, Headers, decode};
use crate::packet::ingress::{ChecksumStatus, Hook, Ingress, Timestamp};
use crate::packet::tracking::SimulatedConntrack;
use crate::packet::verdict::Action;

pub use crate::packet::tracking::{DestroyedEntry, EntryEnd};

/// What the data plane is to replay.
pub trait ReplaySink {
    /// One packet. The answer decides whether a new connection gets its entry.
    fn packet(&mut self, packet: &Ingress<'_>, now: Timestamp) -> Action;

    /// An entry left the table, as a DESTROY event would tell.
    fn destroyed(&mut self, destroyed: &DestroyedEntry);

    /// A packet that the data plane does not get, and that is odd or one part of another: `noted` says how.
    fn looked_at(&mut self, _packet: &Ingress<'_>, _now: Timestamp) {}

    /// A frame that no packet was made of: the kernel would not have queued it either.
    fn unseen(&mut self, _why: Unseen, _now: Timestamp, _pcap_cnt: u64) {}
}

/// Why a frame did not become a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unseen {
    /// A link type that we cannot read.
    LinkType(u32),
    /// A link header that is cut or holds nothing that we follow.
    Link(Anomalies),
    /// ARP and the like.
    NotIp { ethertype: u16 },
    /// Shorter than its IP header says: the kernel discards such a packet, or else the capture has left some of it out,
    /// and nothing can be said of a packet from a part of it.
    Truncated,
    /// A fragment that waits for the rest of its datagram.
    Fragment,
    /// A fragment that was dropped.
    FragmentDropped(Option<Anomaly>),
}

/// How to replay.
#[derive(Clone, Copy, Debug)]
pub struct ReplayOptions {
    pub checksums: VerifyChecksums,
    /// Dropped or not, a packet went on when it was recorded: conntrack keeps what it has seen of it.
    pub recorded: bool,
    /// `nf_conntrack_tcp_loose`: pick up TCP connections in their middle.
    pub tcp_loose: bool,
    pub hook: Hook,
}

/// `-k`: packets with a bad checksum are INVALID, as for a kernel with `nf_conntrack_checksum=1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerifyChecksums {
    All,
    /// Other protocols' checksums are not looked at.
    Tcp,
    None,
}

impl VerifyChecksums {
    fn accepts(self, headers: &Headers<'_>) -> bool {
        let verified = match self {
            VerifyChecksums::All => true,
            VerifyChecksums::Tcp => headers.tcp().is_some(),
            VerifyChecksums::None => false,
        };
        !verified || is_intact(headers)
    }
}

impl Default for ReplayOptions {
    fn default() -> Self {
        ReplayOptions { checksums: VerifyChecksums::All, recorded: false, tcp_loose: true, hook: Hook::Forward }
    }
}

/// What a replay has done.
#[derive(Debug, Default)]
pub struct ReplaySummary {
    pub files: u64,
    /// Frames in the captures.
    pub frames: u64,
    /// Packets that the sink got; fewer than frames where there were fragments or other protocols.
    pub packets: u64,
    /// Bytes of all frames as captured.
    pub bytes: u64,
    pub first: Option<Timestamp>,
    pub last: Option<Timestamp>,
    /// Captures that could not be read to their end; what came before was replayed.
    pub problems: Vec<CaptureError>,
}

/// Why nothing was replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error("cannot read {path}: give a capture file, or a directory of them")]
    Source {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error(transparent)]
    Capture(#[from] CaptureError),
}

/// Replays a capture file, or all files of a directory in the order of their names.
///
/// Files of a directory are one traffic: connections go on from one to the next, and frames are counted through.
///
/// # Errors
/// When `source` cannot be read, or is a single file that is no capture. Later trouble is in the summary.
pub fn feed(source: &Path, options: ReplayOptions, sink: &mut dyn ReplaySink) -> Result<ReplaySummary, ReplayError> {
    let mut feeder = Feeder::new(options);
    if fs::metadata(source).map_err(|cause| ReplayError::Source { path: source.to_owned(), cause })?.is_dir() {
        for path in sorted_files(source).map_err(|cause| ReplayError::Source { path: source.to_owned(), cause })? {
            match Capture::open(&path) {
                Ok(capture) => feeder.capture(capture, sink),
                Err(problem) => feeder.summary.problems.push(problem),
            }
        }
    } else {
        feeder.capture(Capture::open(source)?, sink);
    }
    Ok(feeder.finish(sink))
}

fn sorted_files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Frames in, packets with their conntrack entries out. For sources other than files; [`feed`] is built of it.
#[derive(Debug)]
pub struct Feeder {
    options: ReplayOptions,
    conntrack: SimulatedConntrack,
    defragmenter: Defragmenter,
    summary: ReplaySummary,
}

impl Feeder {
    #[must_use]
    pub fn new(options: ReplayOptions) -> Feeder {
        Feeder {
            options,
            conntrack: SimulatedConntrack::new(options.tcp_loose, crate::packet::tracking::ENTRY_COUNT_MAX),
            defragmenter: Defragmenter::new(),
            summary: ReplaySummary::default(),
        }
    }

    /// Feeds all of one capture. What stops it early goes to the summary.
    pub fn capture(&mut self, mut capture: Capture, sink: &mut dyn ReplaySink) {
        self.summary.files += 1;
        loop {
            match capture.next_frame() {
                Ok(Some(frame)) => self.frame(&frame, sink),
                Ok(None) => return,
                Err(problem) => {
                    self.summary.problems.push(problem);
                    return;
                }
            }
        }
    }

    /// Feeds one frame.
    pub fn frame(&mut self, captured: &CapturedFrame<'_>, sink: &mut dyn ReplaySink) {
        let now = captured.timestamp;
        self.summary.frames += 1;
        self.summary.bytes = self.summary.bytes.saturating_add(captured.bytes.len() as u64);
        self.summary.first = Some(self.summary.first.map_or(now, |first| first.min(now)));
        self.summary.last = Some(self.summary.last.map_or(now, |last| last.max(now)));
        self.conntrack.advance(now);
        self.tell_destroyed(sink);
        if let Err(why) = self.packet_of(captured, sink) {
            sink.unseen(why, now, self.summary.frames);
        }
        self.tell_destroyed(sink);
    }

    /// The end of the traffic: the entries that are left are told, and what was done is handed back.
    pub fn finish(mut self, sink: &mut dyn ReplaySink) -> ReplaySummary {
        self.conntrack.end();
        self.tell_destroyed(sink);
        self.summary
    }

    fn packet_of(&mut self, captured: &CapturedFrame<'_>, sink: &mut dyn ReplaySink) -> Result<(), Unseen> {
        let link = captured.link.ok_or(Unseen::LinkType(captured.link_number))?;
        let mut anomalies = Anomalies::NONE;
        let Some(frame) = link.strip(captured.bytes, &mut anomalies) else {
            self.look_at(Ingress { noted: anomalies, ..Ingress::bare(captured.bytes, 0) }, captured.timestamp, sink);
            return Err(Unseen::Link(anomalies));
        };
        if !matches!(frame.ethertype, ETHERTYPE_IPV4 | ETHERTYPE_IPV6) {
            let bare = Ingress::bare(frame.network, frame.ethertype);
            let packet = Ingress { vlan: frame.vlan, source_mac: frame.source_mac, ethernet: frame.ethernet, ..bare };
            self.look_at(packet, captured.timestamp, sink);
            return Err(Unseen::NotIp { ethertype: frame.ethertype });
        }
        let decoded = decode(frame.network, frame.ethertype);
        if decoded.anomalies.has(Anomaly::Ipv4Truncated) || decoded.anomalies.has(Anomaly::Ipv6Truncated) {
            let part = Ingress { noted: anomalies, ..Ingress::bare(frame.network, frame.ethertype) };
            self.look_at(part, captured.timestamp, sink);
            return Err(Unseen::Truncated);
        }
        let fragment = decoded.headers.filter(|headers| headers.ip.is_fragment());
        let Some(fragment) = fragment else {
            self.queue(&frame, &decoded, anomalies, captured.timestamp, sink);
            return Ok(());
        };
        let part = Ingress { noted: anomalies, ..Ingress::bare(frame.network, frame.ethertype) };
        match self.defragmenter.take(frame.network, &fragment.ip, captured.timestamp) {
            Defragmented::Whole(packet) => {
                let frame = Frame { network: &packet, ..frame };
                self.queue(&frame, &decode(&packet, frame.ethertype), anomalies, captured.timestamp, sink);
                Ok(())
            }
            Defragmented::Kept => {
                self.look_at(part, captured.timestamp, sink);
                Err(Unseen::Fragment)
            }
            Defragmented::Dropped(why) => {
                why.into_iter().for_each(|why| anomalies.add(why));
                self.look_at(Ingress { noted: anomalies, ..part }, captured.timestamp, sink);
                Err(Unseen::FragmentDropped(why))
            }
        }
    }

    fn look_at(&self, packet: Ingress<'_>, now: Timestamp, sink: &mut dyn ReplaySink) {
        sink.looked_at(&Ingress { hook: self.options.hook, pcap_cnt: self.summary.frames, ..packet }, now);
    }

    /// Tracks one whole packet and hands it to the sink.
    fn queue(
        &mut self,
        frame: &Frame<'_>,
        decoded: &Decoded<'_>,
        noted: Anomalies,
        now: Timestamp,
        sink: &mut dyn ReplaySink,
    ) {
        let tracked = decoded.headers.filter(|headers| self.options.checksums.accepts(headers));
        match &tracked {
            Some(headers) => self.conntrack.track(headers),
            None => self.conntrack.settle(false),
        }
        // An entry that this packet has replaced goes before the packet that replaces it.
        self.tell_destroyed(sink);
        let packet = Ingress {
            hook: self.options.hook,
            vlan: frame.vlan,
            source_mac: frame.source_mac,
            ethernet: frame.ethernet,
            checksum: match self.options.checksums {
                VerifyChecksums::None => ChecksumStatus::Verified,
                VerifyChecksums::All | VerifyChecksums::Tcp => ChecksumStatus::NotVerified,
            },
            conntrack: self.conntrack.current(),
            noted,
            pcap_cnt: self.summary.frames,
            ..Ingress::bare(frame.network, frame.ethertype)
        };
        self.summary.packets += 1;
        let action = sink.packet(&packet, now);
        self.conntrack.settle(self.options.recorded || matches!(action, Action::Accept));
    }

    fn tell_destroyed(&mut self, sink: &mut dyn ReplaySink) {
        for destroyed in self.conntrack.take_destroyed() {
            sink.destroyed(&destroyed);
        }
    }
}

fn is_intact(headers: &Headers<'_>) -> bool {
    checksum::network(&headers.ip) != Checksum::Bad && checksum::transport(headers) != Checksum::Bad
}

#[cfg(test)]
mod tests;
