//! What a certificate says, in the text forms that rules and records use.

use std::fmt::Write;
use std::net::IpAddr;

use sha1::{Digest, Sha1};
use x509_parser::certificate::X509Certificate;
use x509_parser::error::X509Error;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;

/// Alternative names that are kept of one certificate.
const NAME_COUNT_MAX: usize = 256;

/// A certificate that could be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    /// `C=US, O=Example, CN=www.example.com`
    pub subject: String,
    pub issuer: String,
    /// `0A:1B:2C`
    pub serial: String,
    /// SHA-1, `0a:1b:2c`.
    pub fingerprint: String,
    /// Seconds since 1970, UTC; before it for some odd ones.
    pub not_before: i64,
    pub not_after: i64,
    /// Subject alternative names, in order.
    pub names: Vec<String>,
}

impl Certificate {
    /// Reads DER. The error is the name of the event.
    ///
    /// # Errors
    /// What is wrong with it, as Suricata calls it.
    pub fn read(der: &[u8]) -> Result<Certificate, &'static str> {
        let (_, x509) = X509Certificate::from_der(der).map_err(|error| match error {
            error @ (x509_parser::nom::Err::Error(_) | x509_parser::nom::Err::Failure(_)) => event_of(&error.into()),
            x509_parser::nom::Err::Incomplete(_) => "tls.certificate_invalid_length",
        })?;
        Ok(Certificate {
            subject: x509.subject().to_string(),
            issuer: x509.issuer().to_string(),
            serial: separated(x509.raw_serial(), |text, byte| write!(text, "{byte:02X}")),
            fingerprint: separated(&Sha1::digest(der), |text, byte| write!(text, "{byte:02x}")),
            not_before: x509.validity().not_before.timestamp(),
            not_after: x509.validity().not_after.timestamp(),
            names: names_of(&x509),
        })
    }

    /// Heap that it holds, roughly.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let names: usize = self.names.iter().map(|name| name.len() + size_of::<String>()).sum();
        self.subject.len() + self.issuer.len() + self.serial.len() + self.fingerprint.len() + names
    }
}

fn event_of(error: &X509Error) -> &'static str {
    match error {
        X509Error::InvalidVersion => "tls.certificate_invalid_version",
        X509Error::InvalidSerial => "tls.certificate_invalid_serial",
        X509Error::InvalidAlgorithmIdentifier => "tls.certificate_invalid_algorithmidentifier",
        X509Error::InvalidX509Name => "tls.certificate_invalid_x509name",
        X509Error::InvalidDate => "tls.certificate_invalid_date",
        X509Error::InvalidExtensions | X509Error::DuplicateExtensions => "tls.certificate_invalid_extensions",
        X509Error::Der(_) => "tls.certificate_invalid_der",
        _ => "tls.invalid_certificate",
    }
}

fn names_of(x509: &X509Certificate<'_>) -> Vec<String> {
    let lists = x509.extensions().iter().filter_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectAlternativeName(list) => Some(&list.general_names),
        _ => None,
    });
    lists.flatten().filter_map(name_text).take(NAME_COUNT_MAX).collect()
}

fn name_text(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(text) | GeneralName::RFC822Name(text) | GeneralName::URI(text) => Some((*text).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
        GeneralName::DirectoryName(name) => Some(name.to_string()),
        GeneralName::RegisteredID(id) => Some(id.to_id_string()),
        _ => None,
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// Two digits a byte, `:` between.
fn separated(bytes: &[u8], digits: impl Fn(&mut String, u8) -> std::fmt::Result) -> String {
    let mut text = String::with_capacity(bytes.len() * 3);
    for byte in bytes {
        if !text.is_empty() {
            text.push(':');
        }
        // Writing to a string cannot fail.
        let _ = digits(&mut text, *byte);
    }
    text
}
