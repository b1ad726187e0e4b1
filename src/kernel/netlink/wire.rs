//! Messages and attributes on the wire: a cursor that reads, a builder that writes. Pure, no panics.
//!
//! Headers are host-endian (`struct nlmsghdr`, `struct nlattr`); payload integers of netfilter are big-endian unless a
//! caller says otherwise. Everything is aligned to 4 bytes (`NLMSG_ALIGN`, `NLA_ALIGN`).

/// `sizeof(struct nlmsghdr)`.
pub const HEADER_BYTES: usize = 16;
/// `sizeof(struct nfgenmsg)`.
pub const NFGEN_BYTES: usize = 4;
/// `sizeof(struct nlattr)`.
pub const ATTR_HEADER_BYTES: usize = 4;

const NLA_F_NESTED: u16 = 0x8000;
/// Strips `NLA_F_NESTED` and `NLA_F_NET_BYTEORDER`.
const NLA_TYPE_MASK: u16 = 0x3fff;

pub const NLMSG_NOOP: u16 = 1;
pub const NLMSG_ERROR: u16 = 2;
pub const NLMSG_DONE: u16 = 3;

pub const NLM_F_REQUEST: u16 = 0x1;
pub const NLM_F_MULTI: u16 = 0x2;
pub const NLM_F_ACK: u16 = 0x4;
/// In a dump's reply: the table changed meanwhile, ask again.
pub const NLM_F_DUMP_INTR: u16 = 0x10;
pub const NLM_F_DUMP: u16 = 0x300;
pub const NLM_F_CREATE: u16 = 0x400;
pub const NLM_F_EXCL: u16 = 0x200;

/// One received message: header fields and what follows the header.
#[derive(Clone, Copy, Debug)]
pub struct Message<'b> {
    pub kind: u16,
    pub flags: u16,
    pub seq: u32,
    pub port_id: u32,
    /// Everything behind `struct nlmsghdr`.
    pub body: &'b [u8],
}

impl<'b> Message<'b> {
    /// `nfgenmsg` (family, version, res_id in host order) and the attributes behind it.
    #[must_use]
    pub fn netfilter(&self) -> Option<(NfGen, Attrs<'b>)> {
        let (head, rest) = self.body.split_first_chunk::<NFGEN_BYTES>()?;
        let [family, version, high, low] = *head;
        Some((NfGen { family, version, res_id: u16::from_be_bytes([high, low]) }, Attrs::new(rest)))
    }

    /// For `NLMSG_ERROR`: 0 for an acknowledgement, else the positive errno.
    #[must_use]
    pub fn error_code(&self) -> Option<i32> {
        let (code, _) = self.body.split_first_chunk::<4>()?;
        Some(i32::from_ne_bytes(*code).saturating_neg())
    }

    /// For `NLMSG_ERROR`: the type of the message that it answers. Its sequence number is this message's own.
    #[must_use]
    pub fn error_kind(&self) -> Option<u16> {
        self.body.get(8..)?.first_chunk().map(|kind| u16::from_ne_bytes(*kind))
    }
}

/// `struct nfgenmsg`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NfGen {
    pub family: u8,
    pub version: u8,
    /// Queue number for NFQUEUE, subsystem for a batch. Host order here.
    pub res_id: u16,
}

/// Walks the messages of one datagram. Stops at the first that does not fit.
#[derive(Clone, Debug)]
pub struct Messages<'b> {
    rest: &'b [u8],
}

impl<'b> Messages<'b> {
    #[must_use]
    pub fn new(datagram: &'b [u8]) -> Messages<'b> {
        Messages { rest: datagram }
    }
}

impl<'b> Iterator for Messages<'b> {
    type Item = Message<'b>;

    fn next(&mut self) -> Option<Message<'b>> {
        let (header, _) = self.rest.split_first_chunk::<HEADER_BYTES>()?;
        let [l0, l1, l2, l3, k0, k1, f0, f1, s0, s1, s2, s3, p0, p1, p2, p3] = *header;
        let len = usize::try_from(u32::from_ne_bytes([l0, l1, l2, l3])).ok()?;
        let body = self.rest.get(HEADER_BYTES..len)?;
        // The last message of a datagram need not be padded.
        self.rest = self.rest.get(aligned(len)..).unwrap_or_default();
        Some(Message {
            kind: u16::from_ne_bytes([k0, k1]),
            flags: u16::from_ne_bytes([f0, f1]),
            seq: u32::from_ne_bytes([s0, s1, s2, s3]),
            port_id: u32::from_ne_bytes([p0, p1, p2, p3]),
            body,
        })
    }
}

/// One attribute: type without its flag bits, and its payload.
#[derive(Clone, Copy, Debug)]
pub struct Attr<'b> {
    pub kind: u16,
    pub payload: &'b [u8],
}

impl<'b> Attr<'b> {
    #[must_use]
    pub fn nested(&self) -> Attrs<'b> {
        Attrs::new(self.payload)
    }

    #[must_use]
    pub fn u8(&self) -> Option<u8> {
        self.payload.first().copied()
    }

    #[must_use]
    pub fn be16(&self) -> Option<u16> {
        self.payload.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
    }

    #[must_use]
    pub fn be32(&self) -> Option<u32> {
        self.payload.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
    }

    #[must_use]
    pub fn be64(&self) -> Option<u64> {
        self.payload.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
    }
}

/// Walks attributes. Stops at the first whose length does not fit.
#[derive(Clone, Debug)]
pub struct Attrs<'b> {
    rest: &'b [u8],
}

impl<'b> Attrs<'b> {
    #[must_use]
    pub fn new(bytes: &'b [u8]) -> Attrs<'b> {
        Attrs { rest: bytes }
    }
}

impl<'b> Iterator for Attrs<'b> {
    type Item = Attr<'b>;

    fn next(&mut self) -> Option<Attr<'b>> {
        let (header, _) = self.rest.split_first_chunk::<ATTR_HEADER_BYTES>()?;
        let [l0, l1, k0, k1] = *header;
        let len = usize::from(u16::from_ne_bytes([l0, l1]));
        let payload = self.rest.get(ATTR_HEADER_BYTES..len)?;
        self.rest = self.rest.get(aligned(len)..).unwrap_or_default();
        Some(Attr { kind: u16::from_ne_bytes([k0, k1]) & NLA_TYPE_MASK, payload })
    }
}

/// Where a message or nest began, to be closed with its length.
#[derive(Debug)]
#[must_use]
pub struct Open {
    at: usize,
}

/// Appends messages to a buffer that its owner reuses. Several messages may follow one another for one `send`.
#[derive(Debug, Default)]
pub struct Builder {
    bytes: Vec<u8>,
}

impl Builder {
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Builder {
        Builder { bytes: Vec::with_capacity(bytes) }
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Starts a netfilter message; [`Builder::end`] writes its length. `kind` is `subsystem << 8 | message`.
    pub fn begin(&mut self, kind: u16, flags: u16, seq: u32, nfgen: NfGen) -> Open {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&flags.to_ne_bytes());
        self.bytes.extend_from_slice(&seq.to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&[nfgen.family, nfgen.version]);
        self.bytes.extend_from_slice(&nfgen.res_id.to_be_bytes());
        Open { at }
    }

    pub fn end(&mut self, open: Open) {
        let len = u32::try_from(self.bytes.len().saturating_sub(open.at)).unwrap_or(0);
        if let Some(slot) = self.bytes.get_mut(open.at..).and_then(|rest| rest.first_chunk_mut::<4>()) {
            *slot = len.to_ne_bytes();
        }
        self.pad();
    }

    pub fn attr(&mut self, kind: u16, payload: &[u8]) {
        let len = u16::try_from(payload.len().saturating_add(ATTR_HEADER_BYTES)).unwrap_or(u16::MAX);
        self.bytes.extend_from_slice(&len.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(payload.get(..usize::from(len) - ATTR_HEADER_BYTES).unwrap_or_default());
        self.pad();
    }

    pub fn attr_u8(&mut self, kind: u16, value: u8) {
        self.attr(kind, &[value]);
    }

    pub fn attr_be16(&mut self, kind: u16, value: u16) {
        self.attr(kind, &value.to_be_bytes());
    }

    pub fn attr_be32(&mut self, kind: u16, value: u32) {
        self.attr(kind, &value.to_be_bytes());
    }

    pub fn attr_be64(&mut self, kind: u16, value: u64) {
        self.attr(kind, &value.to_be_bytes());
    }

    pub fn begin_nested(&mut self, kind: u16) -> Open {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&(kind | NLA_F_NESTED).to_ne_bytes());
        Open { at }
    }

    pub fn end_nested(&mut self, open: Open) {
        let len = u16::try_from(self.bytes.len().saturating_sub(open.at)).unwrap_or(0);
        if let Some(slot) = self.bytes.get_mut(open.at..).and_then(|rest| rest.first_chunk_mut::<2>()) {
            *slot = len.to_ne_bytes();
        }
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(aligned(self.bytes.len()), 0);
    }
}

/// Rounds up to 4.
fn aligned(len: usize) -> usize {
    len.saturating_add(3) & !3
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_was_built_reads_back() {
        let mut builder = Builder::default();
        let message = builder.begin(0x0301, NLM_F_REQUEST, 7, NfGen { family: 2, version: 0, res_id: 7400 });
        builder.attr_be32(8, 0x0102_0304);
        let nest = builder.begin_nested(11);
        builder.attr_u8(1, 9);
        builder.attr_be64(2, 5);
        builder.end_nested(nest);
        builder.attr(10, b"odd");
        builder.end(message);
        let second = builder.begin(NLMSG_DONE, 0, 8, NfGen { family: 0, version: 0, res_id: 0 });
        builder.end(second);

        let messages: Vec<_> = Messages::new(builder.as_bytes()).collect();
        assert_eq!(messages.len(), 2);
        assert_eq!((messages[0].kind, messages[0].seq), (0x0301, 7));
        let (nfgen, attrs) = messages[0].netfilter().unwrap();
        assert_eq!(nfgen, NfGen { family: 2, version: 0, res_id: 7400 });
        let attrs: Vec<_> = attrs.collect();
        assert_eq!(attrs[0].be32(), Some(0x0102_0304));
        let inner: Vec<_> = attrs[1].nested().collect();
        assert_eq!((attrs[1].kind, inner[0].u8(), inner[1].be64()), (11, Some(9), Some(5)));
        assert_eq!(attrs[2].payload, b"odd");
    }

    #[test]
    fn an_unpadded_last_message_is_read() {
        let mut datagram = vec![0u8; 18];
        datagram[0] = 18;
        assert_eq!(Messages::new(&datagram).map(|m| m.body.len()).collect::<Vec<_>>(), [2]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_walked_to_an_end(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            let walked: usize = Messages::new(&bytes).map(|m| m.body.len() + HEADER_BYTES).sum();
            prop_assert!(walked <= bytes.len());
            let walked: usize = Attrs::new(&bytes).map(|a| a.payload.len() + ATTR_HEADER_BYTES).sum();
            prop_assert!(walked <= bytes.len());
        }
    }
}
