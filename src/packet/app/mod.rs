//! What a flow says above its transport: which protocol it speaks, and that protocol's transactions.
//!
//! ```text
//!  fresh bytes of one direction --> which protocol? (detect.rs) --> its Parser --> transactions
//!                                                                                     |
//!       rules look into each transaction's buffers, again whenever it has something new
//!                                                                                     |
//!                                       records for EVE, when the transaction is told or done
//! ```
//!
//! [`AppLayer`] hangs on the flow and drives this. A [`Parser`] knows one protocol: it takes bytes in order, keeps a
//! [`Transactions`] list, and answers for its [`Transaction`]s' buffers. It never sees packets and never judges.

mod counters;
pub mod expected;
pub mod file;
pub mod frame;
pub mod greeting;
mod layer;
pub mod message;
pub mod mime;
pub mod oddity;
pub mod ports;
pub mod protocols;
pub mod reader;
pub mod record;
mod share;
pub mod sides;
#[cfg(test)]
pub mod testing;
mod transactions;

use std::fmt;
use std::net::IpAddr;

use crate::packet::conntrack::Tuple;
use crate::packet::ingress::Timestamp;
use crate::rules::app::{AppProto, AppProtoSet, AppTest};
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::Toward;
use expected::Announcement;
use frame::Marks;
use protocols::http1::HttpLimits;

pub use counters::AppCounters;
pub use file::{File, FileEnd, FilePiece, FileRecord, FileState, Hashes};
pub use layer::AppLayer;
pub use layer::view::AppView;
pub use oddity::{Oddities, Oddity};
pub use ports::{PortRanges, ProtocolSetting, ProtocolSettings};
pub use record::AppRecord;
pub use share::APP_MEMCAP_BYTES_DEFAULT;
pub use transactions::{Inspection, Remembered, Slot, Told, Transactions, TxList, TxView};

/// What a parser may know besides the bytes.
#[derive(Clone, Copy, Debug)]
pub struct ParseContext<'c> {
    pub now: Timestamp,
    /// Where in their stream the bytes end; 0 for datagrams.
    pub position: u64,
    /// The address of the flow's opener.
    pub client: IpAddr,
    /// The flow's ports as its opener used them.
    pub client_port: u16,
    pub server_port: u16,
    pub limits: &'c AppLimits,
    /// Some rule asks for frames.
    pub wants_frames: bool,
    /// Some rule asks what each side speaks by itself.
    pub wants_sides: bool,
    /// Where they are marked.
    pub marks: Option<&'c Marks>,
    /// Digests that somebody wants of files.
    pub hashes: Hashes,
    /// While it is not known what the flow speaks: how the other side began.
    pub heard: &'c [u8],
}

/// Caps that hold for every parser, and what can be chosen for single ones. Each parser has caps of its own beside these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppLimits {
    /// Bytes of a body or file that rules may look into, and that are kept for it; Suricata's `request-body-limit` and
    /// `response-body-limit`.
    pub body_bytes_max: usize,
    /// Bytes that a compressed body may grow to.
    pub inflated_bytes_max: usize,
    /// Unfinished transactions of one flow; the oldest gives way.
    pub transaction_count_max: usize,
    pub http: HttpLimits,
    pub tls: TlsSettings,
    /// What is set for single protocols.
    pub protocols: ProtocolSettings,
}

/// What becomes of a connection once both sides have begun to encrypt: Suricata's `encryption-handling`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EncryptionHandling {
    /// Its payload is no longer looked into; the lengths and types of records still are.
    #[default]
    TrackOnly,
    /// The rest of it passes uninspected.
    Bypass,
    /// It is looked into as before.
    Full,
}

/// `app-layer.protocols.tls` and `quic`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    pub encryption: EncryptionHandling,
    pub ja3: bool,
    pub ja4: bool,
}

impl Default for TlsSettings {
    fn default() -> Self {
        TlsSettings { encryption: EncryptionHandling::default(), ja3: true, ja4: true }
    }
}

/// Which protocols are read, and how far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppConfig {
    pub limits: AppLimits,
    /// Digests that outputs want; rules add theirs.
    pub hashes: Hashes,
    pub enabled: AppProtoSet,
    /// What the transactions of all flows may hold together.
    pub memcap_bytes: usize,
}

impl AppConfig {
    /// What parsers may know of a connection; `orig` goes from its client to its server, `hashes` are what rules want.
    #[must_use]
    pub fn context(&self, orig: &Tuple, now: Timestamp, hashes: Hashes) -> ParseContext<'_> {
        ParseContext {
            now,
            position: 0,
            client: orig.src,
            client_port: orig.src_port,
            server_port: orig.dst_port,
            limits: &self.limits,
            wants_frames: false,
            wants_sides: false,
            marks: None,
            hashes: self.hashes.or(hashes),
            heard: &[],
        }
    }
}

impl Default for AppConfig {
    fn default() -> Self {
        AppConfig {
            limits: AppLimits::default(),
            hashes: Hashes::default(),
            enabled: protocols::parsed(),
            memcap_bytes: usize::try_from(APP_MEMCAP_BYTES_DEFAULT).unwrap_or(usize::MAX),
        }
    }
}

impl Default for AppLimits {
    fn default() -> Self {
        AppLimits {
            body_bytes_max: 100 << 10,
            inflated_bytes_max: 1 << 20,
            transaction_count_max: 256,
            http: HttpLimits::default(),
            tls: TlsSettings::default(),
            protocols: ProtocolSettings::default(),
        }
    }
}

impl AppLimits {
    /// Unfinished transactions that one flow of `protocol` may have.
    #[must_use]
    pub fn transaction_count_max(&self, protocol: AppProto) -> usize {
        self.protocols.of(protocol).transaction_count_max.unwrap_or(self.transaction_count_max)
    }
}

/// How a parser got on with the bytes that it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The first `consumed` bytes are dealt with. The others are kept and given again, with what follows, once at least
    /// `wanted` bytes in all are there (0: with the next bytes). Bytes must not be looked at again and again: a parser
    /// that waits for a record says how long it is.
    Taken { consumed: usize, wanted: usize },
    /// From byte `consumed` on, both sides speak `to`; `None`: what they speak is to be found out anew.
    Changed { consumed: usize, to: Option<AppProto> },
    /// What follows in both directions cannot be read, and need not be: encrypted after the handshake.
    Opaque,
    /// This is not the protocol, or not any more: the flow is no longer parsed.
    Failed,
}

impl Step {
    /// All of `bytes` are dealt with.
    #[must_use]
    pub fn all(bytes: &[u8]) -> Step {
        Step::Taken { consumed: bytes.len(), wanted: 0 }
    }
}

/// One protocol's way of reading a flow.
pub trait Parser: fmt::Debug + Send {
    /// Bytes of one direction, in order, each once but for those that an earlier call left. UDP: one datagram, whole.
    fn parse(&mut self, toward: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Step;

    /// `missing` bytes of this direction will never be seen; what comes next stands behind them. Bytes left over from
    /// before the gap are lost, too.
    fn gap(&mut self, _toward: Toward, _missing: u64, _context: &ParseContext<'_>) -> Step {
        Step::Failed
    }

    /// What the other side said before can be read only now that this one has answered: the bytes that
    /// [`Parser::parse`] left of it are given again. Asked after each call.
    fn wants_other_side(&mut self) -> bool {
        false
    }

    /// This direction has ended (FIN, RST, or the flow is over).
    fn close(&mut self, _toward: Toward, _context: &ParseContext<'_>) {}

    /// A recording is looked at: of what this side has said, the receiver has acknowledged what stands in front of
    /// `position`. Records tell no more than that; rules saw the bytes when they came.
    fn acknowledged(&mut self, _toward: Toward, _position: u64) {}

    /// Connections to come, since the last call.
    fn take_announced(&mut self) -> Vec<Announcement> {
        Vec::new()
    }

    fn transactions(&mut self) -> &mut dyn TxList;

    /// What the flow turned out to speak within the protocol that this parser was chosen for.
    fn refined(&self) -> Option<AppProto> {
        None
    }

    /// Both sides have said all of what they began: not a byte of another message has come. Rules about the raw stream
    /// then let go of what came before.
    fn is_between_messages(&self) -> bool {
        false
    }

    /// What follows is encrypted, although it is still read as far as that goes.
    fn is_encrypted(&self) -> bool {
        false
    }

    /// Heap that it holds, roughly, for the caps.
    fn heap_bytes(&self) -> usize;
}

/// A request with its response, a handshake, a message: what the rules of a protocol look into.
///
/// A buffer that is not there yet is `None`; one that rules should not look into before it is whole stays `None` until
/// it is. Growing buffers ([`crate::rules::keyword::buffers::BufferInfo::growing`]) are there from their first byte on.
pub trait Transaction: fmt::Debug + Send {
    /// The `nth` instance of a buffer (a name in a list of names), `None` beyond the last. `toward` is the side whose
    /// bytes are asked for; it matters for buffers that both sides have.
    fn buffer(&self, buffer: Buffer, toward: Toward, nth: usize) -> Option<&[u8]>;

    /// Whether a test that is no match in a buffer holds. `AppTest::Event` and `AppTest::Protocol` never get here.
    fn accepts(&self, _test: &AppTest, _toward: Toward) -> bool {
        false
    }

    /// Whether numbers of this side's bytes are little-endian, for rules that leave that to the protocol (`dce`).
    fn is_little_endian(&self, _toward: Toward) -> bool {
        false
    }

    /// A buffer that is not there yet, or what is missing of it, will not come any more.
    fn has_all_of(&self, _buffer: Buffer, toward: Toward) -> bool {
        self.is_done(toward)
    }

    /// Every file that it carries, with the side whose bytes it comes with.
    fn each_file(&mut self, _visit: &mut dyn FnMut(Toward, &mut File)) {}

    /// Oddities so far, by their full name: `http.gzip_decompression_failed`.
    fn events(&self) -> &[&'static str] {
        &[]
    }

    /// Nothing more will come from this side.
    fn is_done(&self, toward: Toward) -> bool;

    /// The transaction as EVE tells it, as far as it is known: what goes beside an alert.
    fn record(&self) -> Option<AppRecord>;

    /// The record of its own event, when it is time for one (asked after each packet). `ended`: the flow is over, now or
    /// never. May give several one after the other (DNS tells query and answer apart).
    fn take_record(&mut self, ended: bool) -> Option<AppRecord>;
}
