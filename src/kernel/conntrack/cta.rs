//! The numbers of ctnetlink (`linux/netfilter/nfnetlink_conntrack.h`), which libc lacks.

/// `NFNL_SUBSYS_CTNETLINK`.
pub const SUBSYSTEM: u16 = 1;

/// `IPCTNL_MSG_CT_*`, already shifted into `nlmsg_type`.
pub const MSG_NEW: u16 = SUBSYSTEM << 8;
pub const MSG_GET: u16 = SUBSYSTEM << 8 | 1;
pub const MSG_DELETE: u16 = SUBSYSTEM << 8 | 2;

/// `NFNL_SUBSYS_CTNETLINK_EXP` and `IPCTNL_MSG_EXP_GET`.
pub const MSG_EXPECT_GET: u16 = 2 << 8 | 1;

/// `enum ctattr_expect`.
pub const EXPECT_MASTER: u16 = 1;
pub const EXPECT_TUPLE: u16 = 2;
pub const EXPECT_TIMEOUT: u16 = 4;
pub const EXPECT_HELP_NAME: u16 = 6;
pub const EXPECT_ZONE: u16 = 7;

/// `NFNLGRP_CONNTRACK_*`.
pub const GROUP_NEW: u32 = 1;
pub const GROUP_UPDATE: u32 = 2;
pub const GROUP_DESTROY: u32 = 3;

/// `enum ctattr_type`.
pub const TUPLE_ORIG: u16 = 1;
pub const TUPLE_REPLY: u16 = 2;
pub const STATUS: u16 = 3;
pub const PROTOINFO: u16 = 4;
pub const HELP: u16 = 5;
pub const TIMEOUT: u16 = 7;
pub const MARK: u16 = 8;
pub const COUNTERS_ORIG: u16 = 9;
pub const COUNTERS_REPLY: u16 = 10;
pub const ID: u16 = 12;
pub const TUPLE_MASTER: u16 = 14;
pub const ZONE: u16 = 18;
pub const TIMESTAMP: u16 = 20;
pub const MARK_MASK: u16 = 21;
pub const LABELS: u16 = 22;
pub const LABELS_MASK: u16 = 23;

/// `enum ctattr_tuple`.
pub const TUPLE_IP: u16 = 1;
pub const TUPLE_PROTO: u16 = 2;
pub const TUPLE_ZONE: u16 = 3;

/// `enum ctattr_ip`.
pub const IP_V4_SRC: u16 = 1;
pub const IP_V4_DST: u16 = 2;
pub const IP_V6_SRC: u16 = 3;
pub const IP_V6_DST: u16 = 4;

/// `enum ctattr_l4proto`.
pub const PROTO_NUM: u16 = 1;
pub const PROTO_SRC_PORT: u16 = 2;
pub const PROTO_DST_PORT: u16 = 3;
pub const PROTO_ICMP_ID: u16 = 4;
pub const PROTO_ICMP_TYPE: u16 = 5;
pub const PROTO_ICMP_CODE: u16 = 6;
pub const PROTO_ICMPV6_ID: u16 = 7;
pub const PROTO_ICMPV6_TYPE: u16 = 8;
pub const PROTO_ICMPV6_CODE: u16 = 9;

/// `enum ctattr_protoinfo` and `enum ctattr_protoinfo_tcp`.
pub const PROTOINFO_TCP: u16 = 1;
pub const TCP_STATE: u16 = 1;
pub const TCP_WSCALE_ORIG: u16 = 2;
pub const TCP_WSCALE_REPLY: u16 = 3;
pub const TCP_FLAGS_ORIG: u16 = 4;
pub const TCP_FLAGS_REPLY: u16 = 5;

/// `enum ctattr_counters`, `enum ctattr_tstamp`, `enum ctattr_help`.
pub const COUNTERS_PACKETS: u16 = 1;
pub const COUNTERS_BYTES: u16 = 2;
pub const TIMESTAMP_START: u16 = 1;
pub const TIMESTAMP_STOP: u16 = 2;
pub const HELP_NAME: u16 = 1;
