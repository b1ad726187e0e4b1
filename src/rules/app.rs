//! The application protocols of the rule language, and what rules may ask of a transaction besides its buffers.

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::industrial::{CipTest, ModbusTest};
pub use super::ldap::{LDAP_OPERATIONS, LDAP_RESULTS, LdapResponses, LdapTest, WhichOf};
use super::plan::{NumberTest, Toward};

/// The table of protocols: each with the word that EVE `app_proto` has for it, as Suricata writes it, which is also its
/// word in rule headers.
macro_rules! protocols {
    ($($protocol:ident => $name:literal over $transport:ident,)*) => {
        /// A protocol that a flow can turn out to speak.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum AppProto {
            $($protocol,)*
        }

        impl AppProto {
            pub const ALL: [AppProto; [$($name,)*].len()] = [$(AppProto::$protocol,)*];

            /// EVE `app_proto`, as Suricata writes it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(AppProto::$protocol => $name,)*
                }
            }

            /// What it rests on.
            #[must_use]
            pub fn transport(self) -> AppTransport {
                match self {
                    $(AppProto::$protocol => AppTransport::$transport,)*
                }
            }
        }
    };
}

protocols! {
    Http1 => "http" over Tcp,
    Http2 => "http2" over Tcp,
    Doh2 => "doh2" over Tcp,
    Dns => "dns" over Both,
    Llmnr => "llmnr" over Both,
    Tls => "tls" over Tcp,
    Quic => "quic" over Udp,
    Ssh => "ssh" over Tcp,
    Smtp => "smtp" over Tcp,
    Ftp => "ftp" over Tcp,
    FtpData => "ftp-data" over Tcp,
    Tftp => "tftp" over Udp,
    Smb => "smb" over Tcp,
    Nfs => "nfs" over Both,
    Dcerpc => "dcerpc" over Both,
    Krb5 => "krb5" over Both,
    Sip => "sip" over Both,
    Rdp => "rdp" over Tcp,
    Rfb => "rfb" over Tcp,
    Snmp => "snmp" over Udp,
    Mqtt => "mqtt" over Tcp,
    Ike => "ike" over Udp,
    Dhcp => "dhcp" over Udp,
    Ntp => "ntp" over Udp,
    Modbus => "modbus" over Tcp,
    Dnp3 => "dnp3" over Tcp,
    Enip => "enip" over Both,
    BittorrentDht => "bittorrent-dht" over Udp,
    Pgsql => "pgsql" over Tcp,
    Imap => "imap" over Tcp,
    Ldap => "ldap" over Both,
    Pop3 => "pop3" over Tcp,
    Telnet => "telnet" over Tcp,
    Irc => "irc" over Tcp,
    Websocket => "websocket" over Tcp,
    Mdns => "mdns" over Udp,
}

/// What a protocol rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppTransport {
    Tcp,
    Udp,
    Both,
}

/// A set of protocols: what one word of a rule header may mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct AppProtoSet(u64);

impl AppProtoSet {
    pub const EMPTY: AppProtoSet = AppProtoSet(0);

    #[must_use]
    pub const fn of(protocols: &[AppProto]) -> AppProtoSet {
        let mut bits = 0;
        let mut rest = protocols;
        while let [first, tail @ ..] = rest {
            bits |= 1 << *first as u8;
            rest = tail;
        }
        AppProtoSet(bits)
    }

    #[must_use]
    pub fn contains(self, protocol: AppProto) -> bool {
        self.0 & (1 << protocol as u8) != 0
    }

    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    #[must_use]
    pub fn and(self, other: AppProtoSet) -> AppProtoSet {
        AppProtoSet(self.0 & other.0)
    }

    #[must_use]
    pub fn or(self, other: AppProtoSet) -> AppProtoSet {
        AppProtoSet(self.0 | other.0)
    }

    pub fn iter(self) -> impl Iterator<Item = AppProto> {
        AppProto::ALL.into_iter().filter(move |protocol| self.contains(*protocol))
    }
}

/// A field of a transaction that is a number, for keywords such as `dns.opcode`. A field may have several values (each
/// record of an answer has a type); a test holds if one of them satisfies it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    DnsOpcode,
    DnsRcode,
    DnsRrtype,
    SmbVersion,
    KrbMessageType,
    KrbErrorCode,
    SnmpVersion,
    SnmpPduType,
    FtpDynamicPort,
    Http2Priority,
    Http2Window,
    Http2SizeUpdate,
    /// Seconds, as the next two.
    DhcpLeaseTime,
    DhcpRebindingTime,
    DhcpRenewalTime,
    NtpVersion,
    NtpMode,
    NtpStratum,
    IkeExchangeType,
    /// Bytes, as the next.
    IkeNonceLength,
    IkeKeyExchangeLength,
    EnipCommand,
    Dnp3Function,
    NfsVersion,
    NfsProcedure,
    RfbSecurityType,
    RfbSecurityResult,
    MqttType,
    MqttQos,
    MqttReasonCode,
    MqttSessionPresent,
    MqttProtocolVersion,
    /// Seconds since 1970, UTC.
    TlsNotBefore,
    TlsNotAfter,
    TlsChainLength,
    WebsocketOpcode,
    WebsocketFlags,
    WebsocketMask,
    LdapRequestOperation,
    LdapResponseCount,
}

/// A question about a transaction that is no match in a buffer.
#[derive(Clone, Debug, PartialEq)]
pub enum AppTest {
    Number {
        field: Field,
        test: NumberTest,
    },
    /// `app-layer-event`: the full name, such as `http.gzip_decompression_failed`.
    Event(&'static str),
    /// `ftpbounce`: a data connection is to go to somebody else.
    FtpBounce,
    /// `ftpdata_command`: `RETR` or `STOR`.
    FtpData {
        command: &'static str,
    },
    FtpMode {
        passive: bool,
    },
    FtpReplied {
        received: bool,
    },
    DceInterface(DceInterface),
    /// `ike.chosen_sa_attribute`
    IkeChosen {
        name: &'static str,
        value: u32,
    },
    Modbus(ModbusTest),
    /// `cip_service`
    Cip(CipTest),
    /// `dnp3_ind`: one of these bits, IIN1 above IIN2.
    Dnp3Indications(u16),
    /// `dnp3_obj`
    Dnp3Object {
        group: u8,
        variation: u8,
    },
    /// `mqtt.flags` and `mqtt.connect.flags`: a message has all of `set` and none of `clear`.
    MqttFlags {
        of_connect: bool,
        set: u8,
        clear: u8,
    },
    /// `krb5.weak_encryption`
    KrbWeakEncryption,
    /// `krb5.ticket_encryption`: one of these; `None`: any weak one.
    KrbTicketEncryption(Option<Vec<i32>>),
    /// `dcerpc.opnum`: one of these.
    DceOpnum(Vec<RangeInclusive<u16>>),
    /// All that the rule asks of one file.
    File(Vec<FileTest>),
    /// `app-layer-protocol`: answered from the flow. `None` stands for `failed`.
    Protocol {
        protocol: Option<AppProtoSet>,
        negated: bool,
        of: ProtocolOf,
        /// `prefilter`: only with the packet that told which protocol it is.
        when_found: bool,
    },
    Tls(TlsTest),
    Http2(Http2Test),
    /// `websocket.flags`: a frame has all of `set` and none of `clear`.
    WebsocketFlags {
        set: u8,
        clear: u8,
    },
    Ldap(LdapTest),
}

/// Which of the protocols that a flow has spoken `app-layer-protocol` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProtocolOf {
    /// What it speaks now.
    #[default]
    Final,
    /// What it spoke before it changed.
    Original,
    Either,
    /// What this side was recognised as by itself.
    Side(Toward),
}

/// A question about the frames of a stream of HTTP/2 that is no number.
#[derive(Clone, Debug, PartialEq)]
pub enum Http2Test {
    /// `http2.frametype`
    FrameType(u8),
    /// `http2.errorcode`: some frame has this code, or another one if `negated`.
    ErrorCode { code: u32, negated: bool },
    /// `http2.settings`: this setting, with such a value.
    Setting { number: u16, test: Option<NumberTest> },
}

/// Kinds of frames of HTTP/2, as rules name them.
pub const HTTP2_FRAMES: &[&str] = &[
    "DATA",
    "HEADERS",
    "PRIORITY",
    "RSTSTREAM",
    "SETTINGS",
    "PUSHPROMISE",
    "PING",
    "GOAWAY",
    "WINDOWUPDATE",
    "CONTINUATION",
];

/// Error codes of HTTP/2 by number, as rules name them; EVE leaves out the underscores.
pub const HTTP2_ERRORS: &[&str] = &[
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
];

/// Settings of HTTP/2 by number, from 1 on, as rules name them; EVE leaves out the underscores.
pub const HTTP2_SETTINGS: &[&str] = &[
    "SETTINGS_HEADER_TABLE_SIZE",
    "SETTINGS_ENABLE_PUSH",
    "SETTINGS_MAX_CONCURRENT_STREAMS",
    "SETTINGS_INITIAL_WINDOW_SIZE",
    "SETTINGS_MAX_FRAME_SIZE",
    "SETTINGS_MAX_HEADER_LIST_SIZE",
];

impl AppTest {
    /// The digests of files that it needs.
    #[must_use]
    pub fn hashes(&self) -> Hashes {
        let AppTest::File(tests) = self else { return Hashes::default() };
        tests.iter().fold(Hashes::default(), |all, test| match test {
            FileTest::Listed { digests, .. } => match digests.sum_bytes() {
                16 => Hashes { md5: true, ..all },
                20 => Hashes { sha1: true, ..all },
                _ => Hashes { sha256: true, ..all },
            },
            FileTest::Size(_) | FileTest::From(_) => all,
        })
    }
}

/// Opcodes of WebSocket's frames, as rules and EVE name them.
pub const WEBSOCKET_OPCODES: &[(&str, u16)] =
    &[("continuation", 0), ("text", 1), ("binary", 2), ("connection_close", 8), ("ping", 9), ("pong", 10)];

/// Bits of MQTT messages as the wire has them: of the first byte, and of CONNECT's flags.
#[derive(Clone, Copy, Debug)]
pub struct MqttFlag;

impl MqttFlag {
    pub const RETAIN: u8 = 0x01;
    pub const DUP: u8 = 0x08;
    pub const CLEAN_SESSION: u8 = 0x02;
    pub const WILL: u8 = 0x04;
    pub const WILL_RETAIN: u8 = 0x20;
    pub const PASSWORD: u8 = 0x40;
    pub const USERNAME: u8 = 0x80;
}

/// Messages of a TLS handshake, for `ssl_state`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TlsMessage(u8);

impl TlsMessage {
    pub const CLIENT_HELLO: TlsMessage = TlsMessage(1);
    pub const SERVER_HELLO: TlsMessage = TlsMessage(2);
    pub const CLIENT_KEY_EXCHANGE: TlsMessage = TlsMessage(4);
    pub const SERVER_KEY_EXCHANGE: TlsMessage = TlsMessage(8);

    #[must_use]
    pub fn or(self, other: TlsMessage) -> TlsMessage {
        TlsMessage(self.0 | other.0)
    }

    #[must_use]
    pub fn has(self, other: TlsMessage) -> bool {
        self.0 & other.0 == other.0
    }

    #[must_use]
    pub fn overlaps(self, other: TlsMessage) -> bool {
        self.0 & other.0 != 0
    }
}

/// A question about a TLS handshake that is no number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsTest {
    /// `tls.version`. Unless `exact`, the drafts of TLS 1.3 count as TLS 1.3.
    Version { version: u16, exact: bool },
    /// `ssl_version`.
    Versions { any: Box<[u16]>, negated: bool },
    /// `ssl_state`: what this packet has said.
    Said { any: TlsMessage, negated: bool },
    /// `tls_cert_expired`
    Expired,
    /// `tls_cert_valid`
    Valid,
}

/// Encryption types of Kerberos, by number, as EVE and rules name them.
pub const KRB_ENCRYPTIONS: &[(i32, &str)] = &[
    (1, "des-cbc-crc"),
    (2, "des-cbc-md4"),
    (3, "des-cbc-md5"),
    (5, "des3-cbc-md5"),
    (7, "des3-cbc-sha1"),
    (9, "dsaWithSHA1-CmsOID"),
    (10, "md5WithRSAEncryption-CmsOID"),
    (11, "sha1WithRSAEncryption-CmsOID"),
    (12, "rc2CBC-EnvOID"),
    (13, "rsaEncryption-EnvOID"),
    (14, "rsaES-OAEP-ENV-OID"),
    (15, "des-ede3-cbc-Env-OID"),
    (16, "des3-cbc-sha1-kd"),
    (17, "aes128-cts-hmac-sha1-96"),
    (18, "aes256-cts-hmac-sha1-96"),
    (19, "aes128-cts-hmac-sha256-128"),
    (20, "aes256-cts-hmac-sha384-192"),
    (23, "rc4-hmac"),
    (24, "rc4-hmac-exp"),
    (25, "camellia128-cts-cmac"),
    (26, "camellia256-cts-cmac"),
    (65, "subkey-keymaterial"),
    (-128, "rc4-md4"),
    (-133, "rc4-hmac-old"),
    (-135, "rc4-hmac-old-exp"),
];

/// `dcerpc.iface`: the interface that a call is made on.
#[derive(Clone, Debug, PartialEq)]
pub struct DceInterface {
    /// In the order in which it is written.
    pub uuid: [u8; 16],
    pub version: Option<NumberTest>,
    /// It may have been bound in any fragment, not in the first alone.
    pub any_frag: bool,
}

/// A question about one file.
#[derive(Clone, Debug, PartialEq)]
pub enum FileTest {
    /// It comes with what goes this way, in a rule about both sides.
    From(Toward),
    /// `filesize`, bytes.
    Size(NumberTest),
    /// `filemd5`, `filesha1`, `filesha256`: which of them, the length of the digests tells.
    Listed { digests: Arc<DigestSet>, negated: bool },
}

/// Which digests are made of files: costs time for each byte, so only what somebody wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hashes {
    pub md5: bool,
    pub sha1: bool,
    pub sha256: bool,
}

impl Hashes {
    #[must_use]
    pub fn or(self, other: Hashes) -> Hashes {
        Hashes { md5: self.md5 || other.md5, sha1: self.sha1 || other.sha1, sha256: self.sha256 || other.sha256 }
    }

    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Hashes::default()
    }
}

/// Digests of one kind, as bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct DigestSet {
    sum_bytes: usize,
    sums: HashSet<Box<[u8]>>,
}

impl DigestSet {
    /// Those of `sums` that have `sum_bytes` bytes.
    pub fn new(sum_bytes: usize, sums: impl IntoIterator<Item = Vec<u8>>) -> DigestSet {
        let fitting = sums.into_iter().filter(|sum| sum.len() == sum_bytes);
        DigestSet { sum_bytes, sums: fitting.map(Vec::into_boxed_slice).collect() }
    }

    /// 16 for MD5, 20 for SHA-1, 32 for SHA-256.
    #[must_use]
    pub fn sum_bytes(&self) -> usize {
        self.sum_bytes
    }

    #[must_use]
    pub fn contains(&self, sum: &[u8]) -> bool {
        self.sums.contains(sum)
    }
}
