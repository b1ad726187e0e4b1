//! NFQUEUE's numbers (`linux/netfilter/nfnetlink_queue.h`) and its configuration message. Pure.

use crate::kernel::netlink::wire::{Builder, NLM_F_ACK, NLM_F_REQUEST, NfGen};

use super::config::{Flags, QueueConfig};

const SUBSYSTEM: u16 = 3;
pub const PACKET: u16 = SUBSYSTEM << 8;
pub const VERDICT: u16 = SUBSYSTEM << 8 | 1;
pub const CONFIG: u16 = SUBSYSTEM << 8 | 2;
pub const VERDICT_BATCH: u16 = SUBSYSTEM << 8 | 3;

/// `enum nfqnl_attr_type`: attributes of packets and verdicts.
pub mod nfqa {
    pub const PACKET_HDR: u16 = 1;
    pub const VERDICT_HDR: u16 = 2;
    pub const MARK: u16 = 3;
    pub const TIMESTAMP: u16 = 4;
    pub const IFINDEX_INDEV: u16 = 5;
    pub const IFINDEX_OUTDEV: u16 = 6;
    pub const IFINDEX_PHYSINDEV: u16 = 7;
    pub const IFINDEX_PHYSOUTDEV: u16 = 8;
    pub const HWADDR: u16 = 9;
    pub const PAYLOAD: u16 = 10;
    pub const CT: u16 = 11;
    pub const CT_INFO: u16 = 12;
    pub const CAP_LEN: u16 = 13;
    pub const SKB_INFO: u16 = 14;
    pub const VLAN: u16 = 19;
    pub const L2HDR: u16 = 20;
    pub const PRIORITY: u16 = 21;

    pub const VLAN_PROTO: u16 = 1;
    pub const VLAN_TCI: u16 = 2;
}

/// Bits of `NFQA_SKB_INFO`.
pub mod skb_info {
    pub const CSUM_NOT_READY: u32 = 1;
    pub const GSO: u32 = 2;
    pub const CSUM_NOT_VERIFIED: u32 = 4;
}

const CFG_CMD: u16 = 1;
const CFG_PARAMS: u16 = 2;
const CFG_QUEUE_MAXLEN: u16 = 3;
const CFG_MASK: u16 = 4;
const CFG_FLAGS: u16 = 5;
const COMMAND_BIND: u8 = 1;
const COMMAND_UNBIND: u8 = 2;
/// `NFQNL_COPY_PACKET`.
pub const COPY_PACKET: u8 = 2;
/// `NFQNL_MAX_COPY_RANGE`: an attribute's length is 16 bits, its header included.
pub const COPY_RANGE_MAX: u32 = 0xffff - 4;

/// BIND, PARAMS, MAXLEN, FLAGS and MASK in one message, which the kernel applies in this order. Between a bare BIND and
/// PARAMS the copy mode is COPY_NONE, and every packet of the rule is dropped without a trace.
pub fn put_bind(builder: &mut Builder, config: &QueueConfig, flags: Flags) {
    let message = builder.begin(CONFIG, NLM_F_REQUEST | NLM_F_ACK, 0, nfgen(config.number));
    builder.attr(CFG_CMD, &[COMMAND_BIND, 0, 0, 0]);
    let [r0, r1, r2, r3] = config.copy_range().to_be_bytes();
    builder.attr(CFG_PARAMS, &[r0, r1, r2, r3, COPY_PACKET]);
    builder.attr_be32(CFG_QUEUE_MAXLEN, config.length_packets);
    builder.attr_be32(CFG_FLAGS, flags.bits());
    builder.attr_be32(CFG_MASK, Flags::ALL.bits());
    builder.end(message);
}

/// Gives the queue up. The kernel drops what still waits in it.
pub fn put_unbind(builder: &mut Builder, number: u16) {
    let message = builder.begin(CONFIG, NLM_F_REQUEST, 0, nfgen(number));
    builder.attr(CFG_CMD, &[COMMAND_UNBIND, 0, 0, 0]);
    builder.end(message);
}

pub fn nfgen(number: u16) -> NfGen {
    NfGen { family: 0, version: 0, res_id: number }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binding_is_one_message_of_these_bytes() {
        let config = QueueConfig { length_packets: 0x1000, ..QueueConfig::new(7400) };
        let mut builder = Builder::default();
        put_bind(&mut builder, &config, Flags { fail_open: true, conntrack: false, gso: true });
        #[rustfmt::skip]
        let expected: &[&[u8]] = &[
            &64u32.to_ne_bytes(), &0x0302u16.to_ne_bytes(), &5u16.to_ne_bytes(), &[0; 8], // nlmsghdr: REQUEST|ACK
            &[0, 0, 0x1c, 0xe8], // nfgenmsg: queue 7400
            &8u16.to_ne_bytes(), &1u16.to_ne_bytes(), &[1, 0, 0, 0], // CMD: BIND
            &9u16.to_ne_bytes(), &2u16.to_ne_bytes(), &[0, 0, 0xff, 0xfb, 2, 0, 0, 0], // PARAMS: 65531, COPY_PACKET
            &8u16.to_ne_bytes(), &3u16.to_ne_bytes(), &[0, 0, 0x10, 0], // QUEUE_MAXLEN
            &8u16.to_ne_bytes(), &5u16.to_ne_bytes(), &[0, 0, 0, 5], // FLAGS: FAIL_OPEN|GSO
            &8u16.to_ne_bytes(), &4u16.to_ne_bytes(), &[0, 0, 0, 7], // MASK
        ];
        assert_eq!(builder.as_bytes(), expected.concat());
    }
}
