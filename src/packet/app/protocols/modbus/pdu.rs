//! What one Modbus message asks or answers.

use super::record::{Diagnostic, Exception, ModbusMessage, Span};
use crate::packet::app::reader::Reader;
use crate::rules::industrial::{ModbusAsk, ModbusCategory, ModbusRange, ModbusTable, ModbusTest};
use crate::rules::plan::Toward;

/// Coils and registers that one request may name, by the specification.
const COIL_COUNT_MAX: u16 = 2000;
const REGISTER_COUNT_MAX: u16 = 125;
/// A response with this bit is an exception.
const EXCEPTION: u8 = 0x80;

#[derive(Debug)]
pub struct Pdu {
    pub message: ModbusMessage,
    /// What is written to several coils or registers, as sent.
    pub values: Vec<u8>,
}

/// Functions by number, with their names.
const FUNCTIONS: &[(u8, &str)] = &[
    (1, "RdCoils"),
    (2, "RdDiscreteInputs"),
    (3, "RdHoldRegs"),
    (4, "RdInputRegs"),
    (5, "WrSingleCoil"),
    (6, "WrSingleReg"),
    (7, "RdExcStatus"),
    (8, "Diagnostic"),
    (9, "Program484"),
    (10, "Poll484"),
    (11, "GetCommEventCtr"),
    (12, "GetCommEventLog"),
    (13, "ProgramController"),
    (14, "PollController"),
    (15, "WrMultCoils"),
    (16, "WrMultRegs"),
    (17, "ReportServerID"),
    (18, "Program884"),
    (19, "ResetCommLink"),
    (20, "RdFileRec"),
    (21, "WrFileRec"),
    (22, "MaskWrReg"),
    (23, "RdWrMultRegs"),
    (24, "RdFIFOQueue"),
    (43, "MEI"),
];

const EXCEPTIONS: &[(u8, &str)] = &[
    (1, "IllegalFunction"),
    (2, "IllegalDataAddr"),
    (3, "IllegalDataValue"),
    (4, "ServerDeviceFail"),
    (5, "Ack"),
    (6, "ServerDeviceBusy"),
    (7, "NegAck"),
    (8, "MemParityErr"),
    (10, "GatewayPathUnavailable"),
    (11, "GatewayTargetFailToResp"),
];

fn name(table: &[(u8, &'static str)], number: u8) -> &'static str {
    table.iter().find(|(known, _)| *known == number).map_or("Unknown", |(_, name)| name)
}

/// Which kind of functions this one is, with its name.
fn category(function: u8) -> (u8, &'static str) {
    match function {
        9 | 10 | 13 | 14 | 18 | 19 | 41 | 42 | 90 | 91 | 125..=127 => (ModbusCategory::RESERVED, "RESERVED"),
        65..=72 | 100..=110 => (ModbusCategory::USER, "USER_DEFINED"),
        1..=8 | 11 | 12 | 15..=17 | 20..=24 | 43 => (ModbusCategory::ASSIGNED, "PUBLIC_ASSIGNED"),
        1..=124 => (ModbusCategory::UNASSIGNED, "PUBLIC_UNASSIGNED"),
        _ => (0, "NONE"),
    }
}

/// The tables that a function reads and writes.
fn access(function: u8) -> (Option<ModbusTable>, Option<ModbusTable>) {
    use ModbusTable::{Coils, Discretes, Holding, Input};
    match function {
        1 => (Some(Coils), None),
        2 => (Some(Discretes), None),
        3 => (Some(Holding), None),
        4 => (Some(Input), None),
        5 | 15 => (None, Some(Coils)),
        6 | 16 | 22 => (None, Some(Holding)),
        23 => (Some(Holding), Some(Holding)),
        _ => (None, None),
    }
}

impl Pdu {
    /// The message behind the header: unit, function, data. Its oddities go to `events`.
    pub fn read(
        transaction_id: u16,
        protocol_id: u16,
        body: &[u8],
        toward: Toward,
        events: &mut Vec<&'static str>,
    ) -> Option<Pdu> {
        let mut reader = Reader::big_endian(body);
        let (unit_id, raw) = (reader.u8()?, reader.u8()?);
        let is_exception = toward == Toward::Client && raw & EXCEPTION != 0;
        let function_raw = if is_exception { raw & !EXCEPTION } else { raw };
        if function_raw == 0 || function_raw & EXCEPTION != 0 {
            events.push("modbus.invalid_function_code");
        }
        let message = ModbusMessage {
            transaction_id,
            protocol_id,
            unit_id,
            function_raw,
            function_code: name(FUNCTIONS, function_raw),
            category: category(function_raw).1,
            exception: None,
            diagnostic: None,
            read: None,
            write: None,
        };
        let mut pdu = Pdu { message, values: Vec::new() };
        let whole = match toward {
            _ if is_exception => pdu.exception(&mut reader, events),
            Toward::Server => pdu.request(&mut reader, events),
            Toward::Client => pdu.response(&mut reader, events),
        };
        if whole.is_none() {
            events.push("modbus.invalid_length");
        }
        Some(pdu)
    }

    fn exception(&mut self, reader: &mut Reader<'_>, events: &mut Vec<&'static str>) -> Option<()> {
        let raw = reader.u8()?;
        let code = name(EXCEPTIONS, raw);
        if code == "Unknown" {
            events.push("modbus.invalid_exception_code");
        }
        self.message.exception = Some(Exception { raw, code });
        Some(())
    }

    fn request(&mut self, reader: &mut Reader<'_>, events: &mut Vec<&'static str>) -> Option<()> {
        let mut invalid = false;
        match self.message.function_raw {
            function @ 1..=4 => {
                let (address, quantity) = (reader.u16()?, reader.u16()?);
                invalid = quantity == 0 || quantity > if function < 3 { COIL_COUNT_MAX } else { REGISTER_COUNT_MAX };
                self.message.read = Some(Span { address, quantity, data: None });
            }
            function @ (5 | 6) => {
                let (address, data) = (reader.u16()?, reader.u16()?);
                invalid = function == 5 && ![0, 0xff00].contains(&data);
                self.message.write = Some(Span { address, quantity: 1, data: Some(data) });
            }
            8 => self.message.diagnostic = Some(Diagnostic { raw: reader.u16()? }),
            function @ (15 | 16) => invalid = self.several(reader, function == 15)?,
            22 => {
                let address = reader.u16()?;
                reader.skip(4)?;
                self.message.write = Some(Span { address, quantity: 1, data: None });
            }
            23 => {
                let (address, quantity) = (reader.u16()?, reader.u16()?);
                invalid = quantity == 0 || quantity > REGISTER_COUNT_MAX;
                self.message.read = Some(Span { address, quantity, data: None });
                invalid |= self.several(reader, false)?;
            }
            _ => {}
        }
        if invalid {
            events.push("modbus.invalid_value");
        }
        Some(())
    }

    /// A write to several coils or registers; whether its numbers contradict one another.
    fn several(&mut self, reader: &mut Reader<'_>, coils: bool) -> Option<bool> {
        let (address, quantity, count) = (reader.u16()?, reader.u16()?, usize::from(reader.u8()?));
        self.values = reader.take(count)?.to_vec();
        self.message.write = Some(Span { address, quantity, data: None });
        let expected = if coils { usize::from(quantity).div_ceil(8) } else { usize::from(quantity) * 2 };
        Some(quantity == 0 || count != expected)
    }

    fn response(&mut self, reader: &mut Reader<'_>, _: &mut [&'static str]) -> Option<()> {
        match self.message.function_raw {
            1..=4 | 23 => {
                let count = usize::from(reader.u8()?);
                self.values = reader.take(count)?.to_vec();
            }
            5 | 6 => {
                let (address, data) = (reader.u16()?, reader.u16()?);
                self.message.write = Some(Span { address, quantity: 1, data: Some(data) });
            }
            8 => self.message.diagnostic = Some(Diagnostic { raw: reader.u16()? }),
            15 | 16 => {
                let (address, quantity) = (reader.u16()?, reader.u16()?);
                self.message.write = Some(Span { address, quantity, data: None });
            }
            _ => {}
        }
        Some(())
    }

    /// Whether this response belongs to that request.
    pub fn answers(&self, request: &Pdu) -> bool {
        let of = |pdu: &Pdu| (pdu.message.transaction_id, pdu.message.unit_id, pdu.message.function_raw);
        of(self) == of(request)
    }

    /// Whether this response says something else than what was asked for.
    pub fn contradicts(&self, request: &Pdu) -> bool {
        if self.message.exception.is_some() {
            return false;
        }
        let asked = request.message.read.as_ref().map(|span| usize::from(span.quantity));
        match (self.message.function_raw, asked) {
            (1 | 2, Some(quantity)) => self.values.len() != quantity.div_ceil(8),
            (3 | 4 | 23, Some(quantity)) => self.values.len() != quantity * 2,
            (5 | 6 | 15 | 16, _) => self.message.write != request.message.write,
            _ => false,
        }
    }

    /// Whether this request is what a rule asks for.
    pub fn satisfies(&self, test: &ModbusTest) -> bool {
        let unit = u16::from(self.message.unit_id);
        if test.unit.is_some_and(|range| !range.meets(unit, unit)) {
            return false;
        }
        match &test.ask {
            ModbusAsk::Nothing => true,
            ModbusAsk::Function { code, subfunction } => {
                let diagnostic = self.message.diagnostic.as_ref().map(|diagnostic| diagnostic.raw);
                self.message.function_raw == *code && (subfunction.is_none() || diagnostic == *subfunction)
            }
            ModbusAsk::Category(wanted) => category(self.message.function_raw).0 & wanted.0 != 0,
            ModbusAsk::Access { write, table, address, value } => {
                let (reads, writes) = access(self.message.function_raw);
                let (touched, span) = match write {
                    true => (writes, self.message.write.as_ref()),
                    false => (reads, self.message.read.as_ref()),
                };
                touched.is_some_and(|touched| table.is_none_or(|table| table == touched))
                    && address.is_none_or(|address| self.touches(span, address, *value))
            }
        }
    }

    fn touches(&self, span: Option<&Span>, address: ModbusRange, value: Option<ModbusRange>) -> bool {
        let Some(span) = span else { return false };
        let last = span.address.saturating_add(span.quantity.saturating_sub(1));
        address.meets(span.address, last)
            && value.is_none_or(|value| match address {
                ModbusRange::Exactly(at) => self.written(span, at).is_some_and(|written| value.meets(written, written)),
                _ => false,
            })
    }

    /// What is written to one coil or register.
    fn written(&self, span: &Span, at: u16) -> Option<u16> {
        let nth = usize::from(at.checked_sub(span.address)?);
        if let Some(data) = span.data {
            return (nth == 0).then_some(data);
        }
        match self.message.function_raw {
            15 => self.values.get(nth / 8).map(|byte| u16::from(byte >> (nth % 8) & 1)),
            _ => self.values.get(nth * 2..).and_then(|rest| rest.first_chunk()).map(|pair| u16::from_be_bytes(*pair)),
        }
    }
}
