//! `fast.log`: one line an alert, in Suricata's exact form.
//!
//! ```text
//! 11/20/2026-18:11:19.123456  [Drop] [**] [1:2000001:3] msg [**] [Classification: Text] [Priority: 1] {TCP} 192.0.2.1:1024 -> 198.51.100.2:80
//! ```

use std::io::Write;

use super::text::{Address, Clock, Protocol};
use crate::packet::event::AlertEvent;

/// Appends the alert's line to `out`.
pub fn write_alert(out: &mut Vec<u8>, event: &AlertEvent, clock: &mut Clock) {
    let (packet, rule) = (&event.packet, &event.rule);
    let (src_port, dst_port) = match packet.icmp {
        Some(icmp) => (u16::from(icmp.icmp_type), u16::from(icmp.icmp_code)),
        None => (packet.src_port, packet.dst_port),
    };
    // Writing into memory cannot fail.
    let _ = writeln!(
        out,
        "{}  {}[**] [{}:{}:{}] {} [**] [Classification: {}] [Priority: {}] {{{}}} {}:{src_port} -> {}:{dst_port}",
        clock.slashed(packet.timestamp),
        if event.blocked && rule.action.is_blocking() { "[Drop] " } else { "" },
        rule.gid,
        rule.sid,
        rule.rev,
        rule.msg,
        if rule.category.is_empty() { "(null)" } else { &rule.category },
        rule.priority,
        Protocol(packet.protocol),
        Address(packet.src),
        Address(packet.dst),
    );
}
