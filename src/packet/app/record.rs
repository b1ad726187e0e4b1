//! What EVE tells of application protocols, as plain data: one variant a protocol, its struct in the protocol's folder.

use super::file::FileRecord;
use super::protocols::dcerpc::record::DcerpcFlowRecord;
use super::protocols::dns::record::DnsRecord;
use super::protocols::ftp::record::{FtpDataRecord, FtpRecord};
use super::protocols::http1::record::HttpRecord;
use super::protocols::krb5::record::KrbRecord;
use super::protocols::sip::record::SipRecord;
use super::protocols::smb::record::SmbRecord;
use super::protocols::smtp::record::SmtpRecord;
use super::protocols::snmp::record::SnmpRecord;
use super::protocols::ssh::record::SshRecord;
use super::protocols::tls::record::TlsRecord;
use crate::rules::plan::Toward;

/// One protocol's account of a transaction. `output::eve` gives it its form.
#[derive(Clone, Debug, PartialEq)]
pub enum AppRecord {
    Dcerpc(Box<DcerpcFlowRecord>),
    Dns(Box<DnsRecord>),
    File(Box<FileAccount>),
    Http(Box<HttpRecord>),
    Krb5(Box<KrbRecord>),
    Sip(Box<SipRecord>),
    Smb(Box<SmbRecord>),
    Snmp(Box<SnmpRecord>),
    Smtp(Box<SmtpRecord>),
    Ftp(Box<FtpRecord>),
    FtpData(Box<FtpDataRecord>),
    Ssh(Box<SshRecord>),
    Tls(Box<TlsRecord>),
}

impl AppRecord {
    /// EVE `event_type`; the object of the record has the same name.
    #[must_use]
    pub fn event_type(&self) -> &'static str {
        match self {
            AppRecord::Dcerpc(_) => "dcerpc",
            AppRecord::Dns(_) => "dns",
            AppRecord::File(_) => "fileinfo",
            AppRecord::Http(_) => "http",
            AppRecord::Krb5(_) => "krb5",
            AppRecord::Sip(_) => "sip",
            AppRecord::Smb(_) => "smb",
            AppRecord::Snmp(_) => "snmp",
            AppRecord::Smtp(_) => "smtp",
            AppRecord::Ftp(_) => "ftp",
            AppRecord::FtpData(_) => "ftp_data",
            AppRecord::Ssh(_) => "ssh",
            AppRecord::Tls(_) => "tls",
        }
    }
}

/// A file, with the transaction that carried it.
#[derive(Clone, Debug, PartialEq)]
pub struct FileAccount {
    pub file: FileRecord,
    /// The side whose bytes it came with.
    pub toward: Toward,
    pub of: Option<AppRecord>,
}

/// Every `event_type` that a record may have, in alphabetical order.
pub const EVENT_TYPES: &[&str] =
    &["dcerpc", "dns", "fileinfo", "ftp", "ftp_data", "http", "krb5", "sip", "smb", "smtp", "snmp", "ssh", "tls"];
