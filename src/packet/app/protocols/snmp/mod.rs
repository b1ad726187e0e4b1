//! SNMP over UDP, on ports 161 and 162: each message is a transaction, its reader the crate `snmp-parser`.

pub mod record;
#[cfg(test)]
mod tests;

use snmp_parser::{
    NetworkAddress, ScopedPduData, SecurityParameters, SnmpGenericMessage, SnmpPdu, parse_snmp_generic_message,
};

use super::{Guess, ProtocolInfo, Transport};
use crate::packet::app::{AppRecord, ParseContext, Parser, Step, Transaction, Transactions, TxList};
use crate::rules::app::{AppProto, AppTest, Field};
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::Toward;
use record::{SnmpPduRecord, SnmpRecord, SnmpTrap};

pub static UDP: ProtocolInfo = ProtocolInfo {
    protocol: AppProto::Snmp,
    transports: &[Transport::Udp],
    recognise,
    parser: || Box::new(Snmp::default()),
};

/// Requests and traps: Suricata's `detection-ports`.
const PORTS: [u16; 2] = [161, 162];
/// Variables of one message that are told.
const VARIABLE_COUNT_MAX: usize = 64;

fn recognise(_: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Guess {
    let ours = PORTS.contains(&context.server_port) || PORTS.contains(&context.client_port);
    // A sequence that begins with the version.
    let after_length = match bytes.get(1) {
        Some(length @ 0x81..=0x84) => usize::from(length & 0x7f) + 2,
        _ => 2,
    };
    let version = bytes.get(after_length..).and_then(|rest| rest.first_chunk::<3>());
    let plausible = bytes.first() == Some(&0x30) && matches!(version, Some([2, 1, 0 | 1 | 3]));
    if ours && plausible { Guess::Yes } else { Guess::No }
}

#[derive(Debug)]
struct Message {
    record: SnmpRecord,
    pdu_type: Option<u32>,
    events: Vec<&'static str>,
    told: bool,
}

fn pdu_name(kind: u32) -> String {
    const NAMES: [&str; 9] = [
        "get_request",
        "get_next_request",
        "response",
        "set_request",
        "trap_v1",
        "get_bulk_request",
        "inform_request",
        "trap_v2",
        "report",
    ];
    let known = usize::try_from(kind).ok().and_then(|kind| NAMES.get(kind));
    known.map_or_else(|| format!("Unknown(0x{kind:x})"), |name| (*name).to_owned())
}

fn account(pdu: &SnmpPdu<'_>) -> SnmpPduRecord {
    let variables = pdu.vars_iter().take(VARIABLE_COUNT_MAX).map(|variable| variable.oid.to_string()).collect();
    let error = match pdu {
        SnmpPdu::Generic(generic) if generic.err.0 != 0 => Some(format!("{:?}", generic.err)),
        _ => None,
    };
    let trap = match pdu {
        SnmpPdu::TrapV1(trap) => Some(SnmpTrap {
            kind: format!("{:?}", trap.generic_trap),
            oid: trap.enterprise.to_string(),
            address: match trap.agent_addr {
                NetworkAddress::IPv4(address) => address,
            },
        }),
        _ => None,
    };
    SnmpPduRecord { kind: pdu_name(pdu.pdu_type().0), error, trap, variables }
}

impl Message {
    fn read(bytes: &[u8]) -> Message {
        let mut record = SnmpRecord { version: 0, community: None, usm: None, pdu: None, encrypted: false };
        let mut pdu_type = None;
        let mut events = Vec::new();
        let mut pdu = |pdu: &SnmpPdu<'_>| {
            pdu_type = Some(pdu.pdu_type().0);
            Some(account(pdu))
        };
        match parse_snmp_generic_message(bytes) {
            Ok((_, SnmpGenericMessage::V1(message) | SnmpGenericMessage::V2(message))) => {
                record.version = message.version.saturating_add(1);
                record.pdu = pdu(&message.pdu);
                record.community = Some(message.community);
            }
            Ok((_, SnmpGenericMessage::V3(message))) => {
                record.version = message.version;
                match &message.data {
                    ScopedPduData::Plaintext(scoped) => record.pdu = pdu(&scoped.data),
                    ScopedPduData::Encrypted(_) => record.encrypted = true,
                }
                match message.security_params {
                    SecurityParameters::USM(usm) => record.usm = Some(usm.msg_user_name),
                    SecurityParameters::Raw(_) => events.push("snmp.unknown_security_model"),
                }
            }
            Err(_) => events.push("snmp.malformed_data"),
        }
        Message { record, pdu_type, events, told: false }
    }
}

impl Message {
    fn heap_bytes(&self) -> usize {
        self.record.pdu.iter().flat_map(|pdu| &pdu.variables).map(String::len).sum()
    }
}

impl Transaction for Message {
    fn buffer(&self, buffer: Buffer, _toward: Toward, nth: usize) -> Option<&[u8]> {
        let text = match buffer {
            _ if nth > 0 => None,
            Buffer::SNMP_COMMUNITY => self.record.community.as_ref(),
            Buffer::SNMP_USM => self.record.usm.as_ref(),
            _ => None,
        };
        text.map(String::as_bytes)
    }

    fn accepts(&self, test: &AppTest, _toward: Toward) -> bool {
        match test {
            AppTest::Number { field: Field::SnmpVersion, test } => test.accepts(self.record.version.into()),
            AppTest::Number { field: Field::SnmpPduType, test } => {
                self.pdu_type.is_some_and(|kind| test.accepts(kind.into()))
            }
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
        // What cannot be read is an event, and nothing to tell.
        (self.record.version > 0).then(|| AppRecord::Snmp(Box::new(self.record.clone())))
    }

    fn take_record(&mut self, _ended: bool) -> Option<AppRecord> {
        if std::mem::replace(&mut self.told, true) { None } else { self.record() }
    }
}

#[derive(Debug, Default)]
struct Snmp {
    transactions: Transactions<Message>,
}

impl Parser for Snmp {
    fn parse(&mut self, toward: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Step {
        self.transactions.open(Message::read(bytes), context.limits.transaction_count_max(AppProto::Snmp)).touch(toward);
        Step::all(bytes)
    }

    fn transactions(&mut self) -> &mut dyn TxList {
        &mut self.transactions
    }

    fn heap_bytes(&self) -> usize {
        self.transactions.iter().map(|slot| size_of_val(slot) + slot.data.heap_bytes()).sum()
    }
}
