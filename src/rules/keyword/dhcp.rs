//! `dhcp.leasetime` and its kin: times that a DHCP server grants, in seconds.

use super::number::push_number;
use super::{Keyword, option};
use crate::rules::app::Field;

pub(super) static KEYWORDS: &[Keyword] = &[
    option("dhcp.leasetime", "dhcp", "[op]number", "The lease time in seconds.", |draft, arg| {
        push_number(draft, arg, Field::DhcpLeaseTime, &[], u32::MAX)
    }),
    option("dhcp.rebinding_time", "dhcp", "[op]number", "The rebinding time in seconds.", |draft, arg| {
        push_number(draft, arg, Field::DhcpRebindingTime, &[], u32::MAX)
    }),
    option("dhcp.renewal_time", "dhcp", "[op]number", "The renewal time in seconds.", |draft, arg| {
        push_number(draft, arg, Field::DhcpRenewalTime, &[], u32::MAX)
    }),
];
