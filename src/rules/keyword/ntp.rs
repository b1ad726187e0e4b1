//! `ntp.version`, `ntp.mode`, `ntp.stratum`: the head of an NTP message.

use super::number::push_number;
use super::{Keyword, option};
use crate::rules::app::Field;

const MODES: &[(&str, u16)] = &[
    ("symmetric_active", 1),
    ("symmetric_passive", 2),
    ("client", 3),
    ("server", 4),
    ("broadcast", 5),
    ("control", 6),
    ("private", 7),
];

pub(super) static KEYWORDS: &[Keyword] = &[
    option("ntp.version", "ntp", "[op]number", "The version.", |draft, arg| {
        push_number(draft, arg, Field::NtpVersion, &[], 7)
    }),
    option("ntp.mode", "ntp", "[op]number or name", "Who speaks: client, server, ...", |draft, arg| {
        push_number(draft, arg, Field::NtpMode, MODES, 7)
    }),
    option("ntp.stratum", "ntp", "[op]number", "How far the clock is from its source.", |draft, arg| {
        push_number(draft, arg, Field::NtpStratum, &[], 255)
    }),
];
