//! The object `dns`: version 2 of Suricata's records, and beside alerts the fields of version 3, too.

use std::borrow::Cow;

use serde::Serialize;

use super::app::EveObject;
use serde::ser::{SerializeMap, Serializer};

use crate::output::text::{Address, Bytes};
use crate::packet::app::protocols::dns::message::{Data, Header, Message, Query, Record, Soa, rrtype};
use crate::packet::app::protocols::dns::record::{DnsRecord, Form, LlmnrRecord, MdnsRecord};

#[derive(Serialize)]
pub struct DnsObject {
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u8>,
    r#type: &'static str,
    id: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    tx_id: Option<u64>,
    #[serde(flatten)]
    flags: Option<Flags>,
    #[serde(skip_serializing_if = "is_false")]
    z: bool,
    opcode: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    rcode: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rrname: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rrtype: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    queries: Vec<QueryObject>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    answers: Vec<RecordObject>,
    #[serde(skip_serializing_if = "Grouped::is_empty")]
    grouped: Grouped,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    authorities: Vec<RecordObject>,
    /// Beside alerts, version 2.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    query: Vec<DnsObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<Box<DnsObject>>,
}

#[derive(Serialize)]
struct Flags {
    flags: String,
    #[serde(skip_serializing_if = "is_false")]
    qr: bool,
    #[serde(skip_serializing_if = "is_false")]
    aa: bool,
    #[serde(skip_serializing_if = "is_false")]
    tc: bool,
    #[serde(skip_serializing_if = "is_false")]
    rd: bool,
    #[serde(skip_serializing_if = "is_false")]
    ra: bool,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

type Text = Bytes;

#[derive(Serialize)]
struct QueryObject {
    rrname: Text,
    rrtype: Cow<'static, str>,
}

#[derive(Serialize)]
struct RecordObject {
    rrname: Text,
    rrtype: Cow<'static, str>,
    ttl: u32,
    #[serde(flatten)]
    data: Option<DataObject>,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "lowercase")]
enum DataObject {
    Rdata(Text),
    Soa(SoaObject),
    Srv(SrvObject),
    Sshfp(SshfpObject),
}

#[derive(Clone, Serialize)]
struct SoaObject {
    mname: Text,
    rname: Text,
    serial: u32,
    refresh: u32,
    retry: u32,
    expire: u32,
    minimum: u32,
}

#[derive(Clone, Serialize)]
struct SrvObject {
    priority: u16,
    weight: u16,
    port: u16,
    name: Text,
}

#[derive(Clone, Serialize)]
struct SshfpObject {
    fingerprint: String,
    algo: u8,
    r#type: u8,
}

/// The answers' data by type, in the order of the answers.
#[derive(Default)]
struct Grouped(Vec<(Cow<'static, str>, Vec<DataObject>)>);

impl EveObject for LlmnrRecord {
    type Object = DnsObject;

    fn object(record: &LlmnrRecord) -> DnsObject {
        DnsRecord::object(&record.0)
    }
}

impl EveObject for MdnsRecord {
    type Object = DnsObject;

    fn object(record: &MdnsRecord) -> DnsObject {
        DnsRecord::object(&record.0)
    }
}

impl EveObject for DnsRecord {
    type Object = DnsObject;

    fn object(record: &DnsRecord) -> DnsObject {
        let message = &*record.message;
        match record.form {
            Form::Query(at) => query(record, message.queries.get(at)),
            Form::Answer => answer(message),
            Form::AlertedQuery => DnsObject {
                version: Some(3),
                r#type: "request",
                tx_id: Some(record.tx_id),
                queries: message.queries.iter().map(QueryObject::of).collect(),
                query: message.queries.iter().map(|asked| query(record, Some(asked))).collect(),
                ..bare("request", &message.header)
            },
            Form::AlertedAnswer => DnsObject {
                version: Some(3),
                r#type: "response",
                tx_id: Some(record.tx_id),
                queries: message.queries.iter().map(QueryObject::of).collect(),
                answer: Some(Box::new(answer(message))),
                ..answer(message)
            },
        }
    }
}

fn bare(r#type: &'static str, header: &Header) -> DnsObject {
    DnsObject {
        version: None,
        r#type,
        id: header.id,
        tx_id: None,
        flags: None,
        z: header.has_z(),
        opcode: header.opcode(),
        rcode: None,
        rrname: None,
        rrtype: None,
        queries: Vec::new(),
        answers: Vec::new(),
        grouped: Grouped::default(),
        authorities: Vec::new(),
        query: Vec::new(),
        answer: None,
    }
}

fn query(record: &DnsRecord, query: Option<&Query>) -> DnsObject {
    DnsObject {
        tx_id: Some(record.tx_id),
        rrname: query.map(|query| Bytes::of(&query.name)),
        rrtype: query.map(|query| rrtype_name(query.rrtype)),
        ..bare("query", &record.message.header)
    }
}

fn answer(message: &Message) -> DnsObject {
    let Header { flags, .. } = message.header;
    let first = message.queries.first();
    DnsObject {
        version: Some(2),
        flags: Some(Flags {
            flags: format!("{flags:x}"),
            qr: flags & 0x8000 != 0,
            aa: flags & 0x0400 != 0,
            tc: flags & 0x0200 != 0,
            rd: flags & 0x0100 != 0,
            ra: flags & 0x0080 != 0,
        }),
        rcode: Some(rcode_name(message.header.rcode())),
        rrname: first.map(|query| Bytes::of(&query.name)),
        rrtype: first.map(|query| rrtype_name(query.rrtype)),
        answers: message.answers.iter().flat_map(RecordObject::all_of).collect(),
        grouped: Grouped::of(&message.answers),
        authorities: message.authorities.iter().flat_map(RecordObject::all_of).collect(),
        ..bare("answer", &message.header)
    }
}

impl QueryObject {
    fn of(query: &Query) -> QueryObject {
        QueryObject { rrname: Bytes::of(&query.name), rrtype: rrtype_name(query.rrtype) }
    }
}

impl RecordObject {
    /// One, or for a TXT record one for each text.
    fn all_of(record: &Record) -> Vec<RecordObject> {
        let one = |data| RecordObject {
            rrname: Bytes::of(&record.name),
            rrtype: rrtype_name(record.rrtype),
            ttl: record.ttl,
            data,
        };
        let data = data_of(&record.data);
        if data.is_empty() { vec![one(None)] } else { data.into_iter().map(|data| one(Some(data))).collect() }
    }
}

fn data_of(data: &Data) -> Vec<DataObject> {
    let one = match data {
        Data::Address(bytes) => DataObject::Rdata(address(bytes)),
        Data::Name(bytes) | Data::Null(bytes) => DataObject::Rdata(Bytes::of(bytes)),
        Data::Texts(texts) => return texts.iter().map(|text| DataObject::Rdata(Bytes::of(text))).collect(),
        Data::Soa(soa) => DataObject::Soa(SoaObject::of(soa)),
        Data::Srv { priority, weight, port, target } => {
            DataObject::Srv(SrvObject { priority: *priority, weight: *weight, port: *port, name: Bytes::of(target) })
        }
        Data::Sshfp { algorithm, kind, fingerprint } => DataObject::Sshfp(SshfpObject {
            fingerprint: fingerprint.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":"),
            algo: *algorithm,
            r#type: *kind,
        }),
        Data::Other => return Vec::new(),
    };
    vec![one]
}

impl SoaObject {
    fn of(soa: &Soa) -> SoaObject {
        SoaObject {
            mname: Bytes::of(&soa.mname),
            rname: Bytes::of(&soa.rname),
            serial: soa.serial,
            refresh: soa.refresh,
            retry: soa.retry,
            expire: soa.expire,
            minimum: soa.minimum,
        }
    }
}

/// Empty for what is no address.
fn address(bytes: &[u8]) -> Text {
    let address = match (<[u8; 4]>::try_from(bytes), <[u8; 16]>::try_from(bytes)) {
        (Ok(four), _) => Address(four.into()).to_string(),
        (_, Ok(sixteen)) => Address(sixteen.into()).to_string(),
        _ => String::new(),
    };
    Bytes(address)
}

impl Grouped {
    fn of(answers: &[Record]) -> Grouped {
        let mut groups: Vec<(Cow<'static, str>, Vec<DataObject>)> = Vec::new();
        for record in answers {
            let data = data_of(&record.data);
            if data.is_empty() {
                continue;
            }
            let name = rrtype_name(record.rrtype);
            match groups.iter_mut().find(|(known, _)| *known == name) {
                Some((_, group)) => group.extend(data),
                None => groups.push((name, data)),
            }
        }
        Grouped(groups)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Grouped {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, group) in &self.0 {
            map.serialize_entry(name, &group.iter().map(Bare).collect::<Vec<_>>())?;
        }
        map.end()
    }
}

/// Data without the name of its kind, as it stands in `grouped`.
struct Bare<'d>(&'d DataObject);

impl Serialize for Bare<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            DataObject::Rdata(text) => text.serialize(serializer),
            DataObject::Soa(soa) => soa.serialize(serializer),
            DataObject::Srv(srv) => srv.serialize(serializer),
            DataObject::Sshfp(sshfp) => sshfp.serialize(serializer),
        }
    }
}

fn rcode_name(code: u8) -> Cow<'static, str> {
    match RCODE_NAMES.get(usize::from(code)) {
        Some(name) => Cow::Borrowed(name),
        None => Cow::Owned(code.to_string()),
    }
}

fn rrtype_name(number: u16) -> Cow<'static, str> {
    match RRTYPE_NAMES.iter().find(|(known, _)| *known == number) {
        Some((_, name)) => Cow::Borrowed(name),
        None => Cow::Owned(number.to_string()),
    }
}

const RCODE_NAMES: &[&str] = &[
    "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH",
    "NOTZONE",
];

/// The types that Suricata 7 writes by name, in its spelling.
const RRTYPE_NAMES: &[(u16, &str)] = &[
    (rrtype::A, "A"),
    (rrtype::NS, "NS"),
    (rrtype::AAAA, "AAAA"),
    (rrtype::CNAME, "CNAME"),
    (rrtype::TXT, "TXT"),
    (rrtype::MX, "MX"),
    (rrtype::SOA, "SOA"),
    (rrtype::PTR, "PTR"),
    (24, "SIG"),
    (25, "KEY"),
    (11, "WKS"),
    (249, "TKEY"),
    (250, "TSIG"),
    (255, "ANY"),
    (46, "RRSIG"),
    (47, "NSEC"),
    (48, "DNSKEY"),
    (13, "HINFO"),
    (14, "MINFO"),
    (17, "RP"),
    (18, "AFSDB"),
    (19, "X25"),
    (20, "ISDN"),
    (21, "RT"),
    (22, "NSAP"),
    (23, "NSAPPTR"),
    (26, "PX"),
    (27, "GPOS"),
    (29, "LOC"),
    (rrtype::SRV, "SRV"),
    (34, "ATMA"),
    (35, "NAPTR"),
    (36, "KX"),
    (37, "CERT"),
    (38, "A6"),
    (39, "DNAME"),
    (rrtype::OPT, "OPT"),
    (42, "APL"),
    (43, "DS"),
    (rrtype::SSHFP, "SSHFP"),
    (45, "IPSECKEY"),
    (49, "DHCID"),
    (50, "NSEC3"),
    (51, "NSEC3PARAM"),
    (52, "TLSA"),
    (55, "HIP"),
    (59, "CDS"),
    (60, "CDNSKEY"),
    (65, "HTTPS"),
    (99, "SPF"),
    (254, "MAILA"),
    (256, "URI"),
    (7, "MB"),
    (8, "MG"),
    (9, "MR"),
    (rrtype::NULL, "NULL"),
    (30, "NXT"),
    (3, "MD"),
    (4, "MF"),
];
