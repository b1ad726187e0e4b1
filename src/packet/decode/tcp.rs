//! TCP (RFC 9293).

use super::Tcp;
use super::anomaly::{Anomalies, Anomaly};

/// Length without options, in bytes.
pub const HEADER_BYTES: usize = 20;

/// Option kinds that we look at (IANA "TCP option kind numbers").
pub mod option {
    pub const END: u8 = 0;
    pub const NOP: u8 = 1;
    pub const MSS: u8 = 2;
    pub const WINDOW_SCALE: u8 = 3;
    pub const SACK_PERMITTED: u8 = 4;
    pub const SACK: u8 = 5;
    pub const TIMESTAMPS: u8 = 8;
    pub const FAST_OPEN: u8 = 34;
}

/// The header and the payload; `None` when there is no usable header.
pub(super) fn parse<'p>(bytes: &'p [u8], anomalies: &mut Anomalies) -> Option<(Tcp<'p>, &'p [u8])> {
    let Some((fixed, _)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        anomalies.add(Anomaly::TcpTooSmall);
        return None;
    };
    let header_len = usize::from(fixed[12] >> 4) * 4;
    if header_len < HEADER_BYTES {
        anomalies.add(Anomaly::TcpHeaderLength);
        return None;
    }
    let Some((header, payload)) = bytes.split_at_checked(header_len) else {
        anomalies.add(Anomaly::TcpHeaderTruncated);
        return None;
    };
    let tcp = Tcp {
        src_port: u16::from_be_bytes([fixed[0], fixed[1]]),
        dst_port: u16::from_be_bytes([fixed[2], fixed[3]]),
        seq: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
        ack: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
        flags: fixed[13],
        reserved: fixed[12] & 0x0f,
        window: u16::from_be_bytes([fixed[14], fixed[15]]),
        checksum: u16::from_be_bytes([fixed[16], fixed[17]]),
        urgent: u16::from_be_bytes([fixed[18], fixed[19]]),
        options: header.get(HEADER_BYTES..)?,
        header,
    };
    judge_options(&tcp, anomalies);
    Some((tcp, payload))
}

fn judge_options(tcp: &Tcp<'_>, anomalies: &mut Anomalies) {
    let mut seen = 0u64;
    for option in tcp.parsed_options() {
        let Ok((kind, data)) = option else {
            anomalies.add(Anomaly::TcpOptionLength);
            return;
        };
        let well_formed = match kind {
            option::MSS => data.len() == 2,
            option::WINDOW_SCALE => data.len() == 1,
            option::SACK_PERMITTED => data.is_empty(),
            option::SACK => !data.is_empty() && data.len().is_multiple_of(8),
            option::TIMESTAMPS => data.len() == 8,
            option::FAST_OPEN => data.is_empty() || (4..=16).contains(&data.len()),
            _ => continue,
        };
        if !well_formed {
            anomalies.add(Anomaly::TcpOptionLength);
        }
        if seen & (1 << kind) != 0 {
            anomalies.add(Anomaly::TcpOptionDuplicate);
        }
        seen |= 1 << kind;
    }
}

/// An option whose length runs out of the header, or is below 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutOption;

/// Options as (kind, data without kind and length); NOPs are left out. Ends at end-of-list, or after an option that is cut.
#[derive(Clone, Copy, Debug)]
pub struct Options<'p> {
    rest: &'p [u8],
}

impl<'p> Options<'p> {
    #[must_use]
    pub fn of(options: &'p [u8]) -> Options<'p> {
        Options { rest: options }
    }
}

impl<'p> Iterator for Options<'p> {
    type Item = Result<(u8, &'p [u8]), CutOption>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some((&option::NOP, rest)) = self.rest.split_first() {
            self.rest = rest;
        }
        let option = std::mem::take(&mut self.rest);
        let kind = *option.first().filter(|kind| **kind != option::END)?;
        let len = option.get(1).copied().map_or(0, usize::from);
        let Some((data, rest)) = option.split_at_checked(len).and_then(|(option, rest)| Some((option.get(2..)?, rest)))
        else {
            return Some(Err(CutOption));
        };
        self.rest = rest;
        Some(Ok((kind, data)))
    }
}
