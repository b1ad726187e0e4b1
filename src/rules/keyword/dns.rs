//! `dns.opcode`, `dns.rcode`, `dns.rrtype`: numbers in the header and the records of a DNS message.

use super::number::push_number;
use super::{Arg, Draft, Keyword, option};
use crate::rules::app::Field;
use crate::rules::error::Mistake;

pub(super) static KEYWORDS: &[Keyword] = &[
    option("dns.opcode", "dns", "[op]number", "The opcode of a message.", opcode).aliased(&["dns_opcode"]),
    option("dns.rcode", "dns", "[op]number or name", "The response code.", rcode),
    option(
        "dns.rrtype",
        "dns",
        "[op]number or name",
        "The type of a query (of a request) or of an answer (of a response).",
        rrtype,
    ),
];

fn opcode(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    push_number(draft, arg, Field::DnsOpcode, &[], 255)
}

fn rcode(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    push_number(draft, arg, Field::DnsRcode, RCODES, 65_535)
}

fn rrtype(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    push_number(draft, arg, Field::DnsRrtype, RRTYPES, 65_535)
}

/// Response codes by name (IANA).
const RCODES: &[(&str, u16)] = &[
    ("NOERROR", 0),
    ("FORMERR", 1),
    ("SERVFAIL", 2),
    ("NXDOMAIN", 3),
    ("NOTIMP", 4),
    ("REFUSED", 5),
    ("YXDOMAIN", 6),
    ("YXRRSET", 7),
    ("NXRRSET", 8),
    ("NOTAUTH", 9),
    ("NOTZONE", 10),
    ("BADVERS", 16),
    ("BADSIG", 16),
    ("BADKEY", 17),
    ("BADTIME", 18),
    ("BADMODE", 19),
    ("BADNAME", 20),
    ("BADALG", 21),
    ("BADTRUNC", 22),
];

/// Record types by name (IANA).
const RRTYPES: &[(&str, u16)] = &[
    ("A", 1),
    ("NS", 2),
    ("MD", 3),
    ("MF", 4),
    ("CNAME", 5),
    ("SOA", 6),
    ("MB", 7),
    ("MG", 8),
    ("MR", 9),
    ("NULL", 10),
    ("WKS", 11),
    ("PTR", 12),
    ("HINFO", 13),
    ("MINFO", 14),
    ("MX", 15),
    ("TXT", 16),
    ("RP", 17),
    ("AFSDB", 18),
    ("SIG", 24),
    ("KEY", 25),
    ("AAAA", 28),
    ("LOC", 29),
    ("SRV", 33),
    ("NAPTR", 35),
    ("CERT", 37),
    ("DNAME", 39),
    ("OPT", 41),
    ("DS", 43),
    ("SSHFP", 44),
    ("IPSECKEY", 45),
    ("RRSIG", 46),
    ("NSEC", 47),
    ("DNSKEY", 48),
    ("DHCID", 49),
    ("NSEC3", 50),
    ("NSEC3PARAM", 51),
    ("TLSA", 52),
    ("CDS", 59),
    ("CDNSKEY", 60),
    ("SVCB", 64),
    ("HTTPS", 65),
    ("SPF", 99),
    ("TKEY", 249),
    ("TSIG", 250),
    ("MAILA", 254),
    ("ANY", 255),
    ("URI", 256),
];
