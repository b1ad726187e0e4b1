//! Kerberos 5 over UDP and TCP, on port 88: each message is a transaction, its reader the crate `kerberos-parser`.

pub mod record;
#[cfg(test)]
mod tests;

use der_parser::asn1_rs::FromDer;
use kerberos_parser::krb5::{ApRep, ApReq, EncryptionType, KdcRep, KdcReq, KrbError, MessageType, PrincipalName};
use kerberos_parser::krb5_parser::{parse_as_rep, parse_as_req, parse_tgs_rep, parse_tgs_req};

use super::{Guess, ProtocolInfo, Transport};
use crate::packet::app::{AppRecord, ParseContext, Parser, Step, Transaction, Transactions, TxList};
use crate::rules::app::{AppProto, AppTest, Field};
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::Toward;
use record::{KrbAccount, KrbRecord};

pub static UDP: ProtocolInfo = ProtocolInfo {
    protocol: AppProto::Krb5,
    transports: &[Transport::Udp],
    recognise: recognise_datagram,
    parser: || Box::new(Krb5::new(Transport::Udp)),
};

pub static TCP: ProtocolInfo = ProtocolInfo {
    protocol: AppProto::Krb5,
    transports: &[Transport::Tcp],
    recognise: recognise_stream,
    parser: || Box::new(Krb5::new(Transport::Tcp)),
};

/// Where Kerberos is looked for: Suricata's `detection-ports`.
const PORT: u16 = 88;
/// A message in a stream stands behind its length.
const PREFIX_BYTES: usize = 4;
/// Longer messages end the parsing: the layer keeps no more.
const MESSAGE_BYTES_MAX: usize = (64 << 10) - PREFIX_BYTES;

mod kind {
    pub const AS_REQ: u32 = 10;
    pub const AS_REP: u32 = 11;
    pub const TGS_REQ: u32 = 12;
    pub const TGS_REP: u32 = 13;
    pub const AP_REQ: u32 = 14;
    pub const AP_REP: u32 = 15;
    pub const ERROR: u32 = 30;
}

/// The message type, from the application tag of its DER.
fn kind_of(message: &[u8]) -> Option<u32> {
    let tag = *message.first()?;
    let kind = u32::from(tag & 0x1f);
    let known = matches!(kind, kind::AS_REQ..=kind::AP_REP | kind::ERROR);
    (tag & 0xe0 == 0x60 && known && matches!(message.get(1), Some(0x82 | 0x81 | 0..=0x7f))).then_some(kind)
}

fn is_our_port(context: &ParseContext<'_>) -> bool {
    context.server_port == PORT || context.client_port == PORT
}

fn recognise_datagram(_: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Guess {
    if is_our_port(context) && kind_of(bytes).is_some() { Guess::Yes } else { Guess::No }
}

fn recognise_stream(_: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Guess {
    match bytes.get(PREFIX_BYTES..) {
        _ if !is_our_port(context) => Guess::No,
        Some(message) if message.len() >= 2 => match kind_of(message) {
            Some(_) => Guess::Yes,
            None => Guess::No,
        },
        _ => Guess::More,
    }
}

/// One message, as far as rules and EVE ask.
#[derive(Debug, Default)]
struct Message {
    kind: u32,
    /// The type of the request that an error is about.
    failed: Option<u32>,
    error: Option<(u32, String)>,
    cname: Option<Vec<String>>,
    realm: Option<String>,
    sname: Option<Vec<String>>,
    encryption: Option<i32>,
    ticket_encryption: Option<i32>,
    events: Vec<&'static str>,
    told: bool,
}

fn names(principal: &PrincipalName) -> Option<Vec<String>> {
    Some(principal.name_string.clone())
}

/// Everything but AES and Camellia, as in Suricata.
fn is_weak(encryption: i32) -> bool {
    !matches!(encryption, 17..=20 | 25 | 26)
}

impl Message {
    fn read(bytes: &[u8], last_request: Option<u32>) -> Option<Message> {
        let kind = kind_of(bytes)?;
        let mut message = Message { kind, ..Message::default() };
        let read = match kind {
            kind::AS_REQ => parse_as_req(bytes).ok().map(|(_, request)| message.request(&request)),
            kind::TGS_REQ => parse_tgs_req(bytes).ok().map(|(_, request)| message.request(&request)),
            kind::AS_REP => parse_as_rep(bytes).ok().map(|(_, reply)| message.reply(&reply)),
            kind::TGS_REP => parse_tgs_rep(bytes).ok().map(|(_, reply)| message.reply(&reply)),
            kind::AP_REQ => ApReq::from_der(bytes).ok().map(|(_, request)| {
                message.realm = Some(request.ticket.realm.0.clone());
                message.sname = names(&request.ticket.sname);
                message.encryption = Some(request.authenticator.etype.0);
            }),
            kind::AP_REP => {
                ApRep::from_der(bytes).ok().map(|(_, reply)| message.encryption = Some(reply.enc_part.etype.0))
            }
            _ => KrbError::from_der(bytes).ok().map(|(_, error)| message.error(&error, last_request)),
        };
        if read.is_none() {
            message.events.push("krb5.malformed_data");
        }
        if message.is_reply() && message.encryption.is_some_and(is_weak) {
            message.events.push("krb5.weak_encryption");
        }
        Some(message)
    }

    fn request(&mut self, request: &KdcReq<'_>) {
        self.cname = request.req_body.cname.as_ref().and_then(names);
        self.realm = Some(request.req_body.realm.0.clone());
        self.sname = request.req_body.sname.as_ref().and_then(names);
    }

    fn reply(&mut self, reply: &KdcRep<'_>) {
        let EncryptionType(encryption) = reply.enc_part.etype;
        let EncryptionType(ticket_encryption) = reply.ticket.enc_part.etype;
        self.cname = names(&reply.cname);
        self.realm = Some(reply.crealm.0.clone());
        self.sname = names(&reply.ticket.sname);
        (self.encryption, self.ticket_encryption) = (Some(encryption), Some(ticket_encryption));
    }

    fn error(&mut self, error: &KrbError<'_>, last_request: Option<u32>) {
        self.failed = last_request;
        self.error = Some((u32::try_from(error.error_code.0).unwrap_or(0), format!("{:?}", error.error_code)));
        self.cname = error.cname.as_ref().and_then(names);
        self.realm = Some(error.realm.0.clone());
        self.sname = names(&error.sname);
    }

    /// Its encryption is the server's choice.
    fn is_reply(&self) -> bool {
        matches!(self.kind, kind::AS_REP | kind::TGS_REP | kind::AP_REP)
    }

    fn heap_bytes(&self) -> usize {
        let length = |names: &Option<Vec<String>>| names.iter().flatten().map(|name| name.len() + 24).sum::<usize>();
        length(&self.cname) + length(&self.sname) + self.realm.as_ref().map_or(0, String::len)
    }
}

fn nth(names: &Option<Vec<String>>, nth: usize) -> Option<&[u8]> {
    names.as_ref()?.get(nth).map(String::as_bytes)
}

impl Transaction for Message {
    fn buffer(&self, buffer: Buffer, _toward: Toward, at: usize) -> Option<&[u8]> {
        match buffer {
            Buffer::KRB5_CNAME => nth(&self.cname, at),
            Buffer::KRB5_SNAME => nth(&self.sname, at),
            _ => None,
        }
    }

    fn accepts(&self, test: &AppTest, _toward: Toward) -> bool {
        match test {
            AppTest::Number { field: Field::KrbMessageType, test } => test.accepts(self.kind.into()),
            AppTest::Number { field: Field::KrbErrorCode, test } => {
                self.error.as_ref().is_some_and(|(code, _)| test.accepts((*code).into()))
            }
            AppTest::KrbWeakEncryption => self.is_reply() && self.encryption.is_some_and(is_weak),
            AppTest::KrbTicketEncryption(wanted) => self.ticket_encryption.is_some_and(|encryption| match wanted {
                Some(listed) => listed.contains(&encryption),
                None => is_weak(encryption),
            }),
            _ => false,
        }
    }

    fn events(&self) -> &[&'static str] {
        &self.events
    }

    fn is_done(&self, _toward: Toward) -> bool {
        true
    }

    fn record(&self) -> Option<AppRecord> {
        let name = |kind: u32| format!("{:?}", MessageType(kind));
        let encryption = |number: i32| (encryption_name(number), is_weak(number));
        Some(AppRecord::Krb5(Box::new(KrbRecord {
            msg_type: name(self.kind),
            account: match &self.error {
                Some((_, error_code)) => {
                    KrbAccount::Failure { request: self.failed.map(name), error_code: error_code.clone() }
                }
                None => KrbAccount::Success,
            },
            cname: self.cname.as_ref().map(|names| names.join("/")),
            realm: self.realm.clone(),
            sname: self.sname.as_ref().map(|names| names.join("/")),
            encryption: self.encryption.map(encryption),
            ticket_encryption: self.ticket_encryption.map(encryption),
        })))
    }

    fn take_record(&mut self, _ended: bool) -> Option<AppRecord> {
        if self.kind == kind::AP_REQ || std::mem::replace(&mut self.told, true) { None } else { self.record() }
    }
}

fn encryption_name(number: i32) -> String {
    let known = crate::rules::app::KRB_ENCRYPTIONS.iter().find(|(known, _)| *known == number);
    known.map_or_else(|| number.to_string(), |(_, name)| (*name).to_owned())
}

#[derive(Debug)]
struct Krb5 {
    transport: Transport,
    transactions: Transactions<Message>,
    last_request: Option<u32>,
}

impl Krb5 {
    fn new(transport: Transport) -> Krb5 {
        Krb5 { transport, transactions: Transactions::default(), last_request: None }
    }

    fn message(&mut self, toward: Toward, bytes: &[u8], context: &ParseContext<'_>) {
        let Some(message) = Message::read(bytes, self.last_request) else { return };
        if matches!(message.kind, kind::AS_REQ | kind::TGS_REQ | kind::AP_REQ) {
            self.last_request = Some(message.kind);
        }
        self.transactions.open(message, context.limits.transaction_count_max(AppProto::Krb5)).touch(toward);
    }
}

impl Parser for Krb5 {
    fn parse(&mut self, toward: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Step {
        if self.transport == Transport::Udp {
            self.message(toward, bytes, context);
            return Step::all(bytes);
        }
        let mut consumed = 0;
        loop {
            let rest = bytes.get(consumed..).unwrap_or_default();
            if self.transactions.is_crowded(toward, context.limits.transaction_count_max(AppProto::Krb5)) {
                return Step::Taken { consumed, wanted: 0 };
            }
            let Some((prefix, body)) = rest.split_first_chunk::<PREFIX_BYTES>() else {
                return Step::Taken { consumed, wanted: PREFIX_BYTES };
            };
            let length = usize::try_from(u32::from_be_bytes(*prefix)).unwrap_or(usize::MAX);
            if length > MESSAGE_BYTES_MAX {
                return Step::Failed;
            }
            let Some(message) = body.get(..length) else {
                return Step::Taken { consumed, wanted: PREFIX_BYTES + length };
            };
            self.message(toward, message, context);
            consumed += PREFIX_BYTES + length;
        }
    }

    fn transactions(&mut self) -> &mut dyn TxList {
        &mut self.transactions
    }

    fn heap_bytes(&self) -> usize {
        self.transactions.iter().map(|slot| size_of_val(slot) + slot.data.heap_bytes()).sum()
    }
}
