//! What EVE tells of application protocols, as plain data: one line a kind of record in [`with_records`], its struct in
//! the protocol's folder.

use serde::Serialize;

use super::file::FileRecord;
use super::frame::FrameRecord;
use super::protocols;
use crate::rules::plan::Toward;

/// The table of records, in alphabetical order of EVE `event_type`; the object of a record has the same name. `$then` is
/// a macro that gets it: here for the type, in `output::eve` for its form, in `control::config` for the keys.
///
/// `shaped` are those to which `output::eve` gives a form of its own (`EveObject`); a `plain` one is a struct whose fields
/// are the schema.
macro_rules! with_records {
    ($then:ident) => {
        $then! {
            shaped {
                Dcerpc "dcerpc" dcerpc::DcerpcFlowRecord, "DCERPC calls over TCP and UDP";
                Dns "dns" dns::DnsRecord, "DNS queries and answers";
                Ftp "ftp" ftp::FtpRecord, "FTP commands with their replies";
                FtpData "ftp_data" ftp::FtpDataRecord, "Data connections of FTP";
                Http "http" http1::HttpRecord, "HTTP requests with their responses";
                Krb5 "krb5" krb5::KrbRecord, "Kerberos answers and errors";
                Llmnr "llmnr" dns::LlmnrRecord, "LLMNR queries and answers";
                Mdns "mdns" dns::MdnsRecord, "mDNS queries and answers";
                Quic "quic" quic::QuicRecord, "QUIC handshakes, with fingerprints";
                Sip "sip" sip::SipRecord, "SIP messages";
                Smb "smb" smb::SmbRecord, "SMB requests with their answers, files, and calls in named pipes";
                Smtp "smtp" smtp::SmtpRecord, "Mails and their envelopes";
                Snmp "snmp" snmp::SnmpRecord, "SNMP messages";
                Ssh "ssh" ssh::SshRecord, "SSH banners and algorithms";
                Tls "tls" tls::TlsRecord, "TLS handshakes, with certificates and fingerprints";
            }
            plain {
                BittorrentDht "bittorrent_dht" bittorrent::BittorrentDhtRecord, "Messages of BitTorrent's distributed hash table";
                Dhcp "dhcp" dhcp::DhcpRecord, "DHCP messages";
                Dnp3 "dnp3" dnp3::Dnp3Record, "DNP3 requests and responses";
                Ike "ike" ike::IkeRecord, "IKE messages";
                Ldap "ldap" ldap::LdapRecord, "LDAP requests with their responses";
                Modbus "modbus" modbus::ModbusRecord, "Modbus requests with their responses";
                Mqtt "mqtt" mqtt::MqttRecord, "MQTT messages with their answers";
                Nfs "nfs" nfs::NfsRecord, "NFS calls with their replies";
                Ntp "ntp" ntp::NtpRecord, "NTP messages";
                Pgsql "pgsql" pgsql::PgsqlRecord, "PostgreSQL requests with their responses";
                Pop3 "pop3" pop3::Pop3Record, "POP3 commands with their responses";
                Rdp "rdp" rdp::RdpRecord, "Beginnings of remote desktops (RDP)";
                Rfb "rfb" rfb::RfbRecord, "Handshakes of remote desktops (VNC)";
                Tftp "tftp" tftp::TftpRecord, "TFTP requests";
                Websocket "websocket" websocket::WebsocketRecord, "WebSocket frames";
            }
        }
    };
}
pub(crate) use with_records;

macro_rules! define {
    (shaped { $($name:ident $event:literal $folder:ident::$record:ident, $doc:literal;)* }
     plain { $($plain:ident $plain_event:literal $plain_folder:ident::$plain_record:ident, $plain_doc:literal;)* }) => {
        /// One protocol's account of a transaction. `output::eve` gives it its form.
        #[derive(Clone, Debug, PartialEq)]
        pub enum AppRecord {
            File(Box<FileAccount>),
            /// Never an event of its own.
            Frame(Box<FrameRecord>),
            Plain(PlainRecord),
            $($name(Box<protocols::$folder::record::$record>),)*
        }

        /// Records that are told as they are.
        #[derive(Clone, Debug, PartialEq, Serialize)]
        pub enum PlainRecord {
            $(#[serde(rename = $plain_event)] $plain(Box<protocols::$plain_folder::record::$plain_record>),)*
        }

        impl AppRecord {
            /// EVE `event_type`.
            #[must_use]
            pub fn event_type(&self) -> &'static str {
                match self {
                    AppRecord::File(_) => FILE_EVENT_TYPE,
                    AppRecord::Frame(_) => "frame",
                    AppRecord::Plain(record) => match record {
                        $(PlainRecord::$plain(_) => $plain_event,)*
                    },
                    $(AppRecord::$name(_) => $event,)*
                }
            }
        }

        $(
            impl From<protocols::$plain_folder::record::$plain_record> for AppRecord {
                fn from(record: protocols::$plain_folder::record::$plain_record) -> AppRecord {
                    AppRecord::Plain(PlainRecord::$plain(Box::new(record)))
                }
            }
        )*

        /// Every `event_type` that a record may have.
        pub const EVENT_TYPES: &[&str] = &[FILE_EVENT_TYPE, $($event,)* $($plain_event,)*];
    };
}
with_records!(define);

const FILE_EVENT_TYPE: &str = "fileinfo";

/// A file, with the transaction that carried it.
#[derive(Clone, Debug, PartialEq)]
pub struct FileAccount {
    pub file: FileRecord,
    /// The side whose bytes it came with.
    pub toward: Toward,
    pub of: Option<AppRecord>,
}
