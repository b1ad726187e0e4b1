//! nf_tables over netlink: requests that read, and batches that all happen or not at all
//! (`net/netfilter/nfnetlink.c:nfnetlink_rcv_batch`).
//!
//! A batch that fails never acknowledges its end, so nobody waits for that: each message asks for its own answer, and a
//! failure that concerns the batch as a whole is answered with the sequence number of its BEGIN.
#![allow(unsafe_code)] // NlMsg::write of the nftnl crate

use super::error::NftError;
use crate::kernel::netlink::socket::Socket;
use crate::kernel::netlink::wire::{
    Attrs, Builder, HEADER_BYTES, Message, Messages, NFGEN_BYTES, NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR,
    NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NfGen,
};
use nftnl::{MsgType, NlMsg};
use std::io;
use std::ops::Range;
use std::time::Duration;

const NFNL_SUBSYS_NFTABLES: u16 = 10;
const NFNL_MSG_BATCH_BEGIN: u16 = 16;
const NFNL_MSG_BATCH_END: u16 = 17;
const NFNL_BATCH_GENID: u16 = 1;
const NFT_MSG_GETGEN: u16 = 16;
const NFTA_GEN_ID: u16 = 1;
const NFTA_RULE_EXPRESSIONS: u16 = 4;
const NFTA_EXPR_NAME: u16 = 1;
const NLMSGERR_ATTR_OFFS: u16 = 2;
/// `struct nlmsgerr` as `NETLINK_CAP_ACK` leaves it: the error and the header that it is about.
const CAPPED_ERROR_BYTES: usize = 4 + HEADER_BYTES;
pub const NFPROTO_INET: u8 = 1;
pub const NFPROTO_BRIDGE: u8 = 7;

const ANSWER_SECONDS_MAX: u64 = 10;
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;
const SEND_BUFFER_BYTES: usize = 4 << 20;
/// A dump's datagrams are at most 32 KiB (`NLMSG_GOODSIZE` limits of `netlink_dump`).
const DATAGRAM_BYTES_MAX: usize = 64 << 10;
const DUMP_ATTEMPTS_MAX: u32 = 20;

/// `nlmsg_type` of an nf_tables message.
#[must_use]
pub fn message_kind(message: u16) -> u16 {
    NFNL_SUBSYS_NFTABLES << 8 | message
}

/// A netlink socket for one operation.
pub struct Control {
    socket: Socket,
    seq: u32,
    buffer: Vec<u8>,
}

/// One message of an answer.
pub struct Reply {
    pub family: u8,
    body: Vec<u8>,
}

impl Reply {
    #[must_use]
    pub fn attributes(&self) -> Attrs<'_> {
        Attrs::new(&self.body)
    }
}

impl Control {
    pub fn open() -> Result<Control, NftError> {
        let io = |doing| move |source| NftError::Io { doing, source };
        let socket = Socket::open().map_err(io("open a socket"))?;
        socket.set_ext_ack().map_err(io("ask for extended errors"))?;
        socket.set_cap_ack().map_err(io("ask for short errors"))?;
        socket.set_receive_timeout(Duration::from_secs(ANSWER_SECONDS_MAX)).map_err(io("set a timeout"))?;
        // Where these are refused so is everything else, and that has a better message.
        let _ = socket.force_receive_buffer(RECEIVE_BUFFER_BYTES);
        let _ = socket.force_send_buffer(SEND_BUFFER_BYTES);
        Ok(Control { socket, seq: 0, buffer: vec![0; DATAGRAM_BYTES_MAX] })
    }

    /// The ruleset's generation: it changes with every commit, whoever makes it.
    pub fn generation(&mut self) -> Result<u32, NftError> {
        let replies = self.query("read the generation", NFT_MSG_GETGEN, 0, false, |_| {})?;
        let id = replies.iter().flat_map(Reply::attributes).find(|attr| attr.kind == NFTA_GEN_ID);
        Ok(id.and_then(|attr| attr.be32()).unwrap_or(0))
    }

    /// One object, or with `dump` all. An object that is not there is an empty answer.
    pub fn query(
        &mut self,
        doing: &'static str,
        message: u16,
        family: u8,
        dump: bool,
        attributes: impl Fn(&mut Builder),
    ) -> Result<Vec<Reply>, NftError> {
        for _ in 0..DUMP_ATTEMPTS_MAX {
            if let Some(replies) = self.query_once(doing, message, family, dump, &attributes)? {
                return Ok(replies);
            }
        }
        Err(NftError::Contended { attempts: DUMP_ATTEMPTS_MAX })
    }

    /// `None` when the ruleset changed during the dump.
    fn query_once(
        &mut self,
        doing: &'static str,
        message: u16,
        family: u8,
        dump: bool,
        attributes: impl Fn(&mut Builder),
    ) -> Result<Option<Vec<Reply>>, NftError> {
        self.seq += 1;
        let seq = self.seq;
        let mut request = Builder::default();
        let flags = NLM_F_REQUEST | if dump { NLM_F_DUMP } else { NLM_F_ACK };
        let open = request.begin(message_kind(message), flags, seq, NfGen { family, version: 0, res_id: 0 });
        attributes(&mut request);
        request.end(open);
        self.socket.send(request.as_bytes()).map_err(|source| NftError::Io { doing, source })?;
        let mut replies = Vec::new();
        let mut whole = true;
        loop {
            let mut done = None;
            self.receive(doing, |answer| {
                if answer.seq != seq || done.is_some() {
                    return;
                }
                whole &= answer.flags & NLM_F_DUMP_INTR == 0;
                match answer.kind {
                    NLMSG_ERROR | NLMSG_DONE => done = Some(answer.error_code().unwrap_or(0)),
                    _ => {
                        if let Some((nfgen, _)) = answer.netfilter() {
                            let body = answer.body.get(NFGEN_BYTES..).unwrap_or_default().to_vec();
                            replies.push(Reply { family: nfgen.family, body });
                        }
                    }
                }
            })?;
            match done {
                None => {}
                Some(0) => return Ok(whole.then_some(replies)),
                Some(libc::ENOENT) => return Ok(Some(Vec::new())),
                Some(libc::EPERM) => return Err(NftError::NotPermitted),
                Some(libc::EINTR) => return Ok(None),
                Some(errno) => return Err(NftError::Io { doing, source: io::Error::from_raw_os_error(errno) }),
            }
        }
    }

    /// Sends a batch and reads all its answers. With `generation`, the kernel refuses the batch if the ruleset is no
    /// longer that one ([`Outcome::Stale`]).
    pub fn commit(&mut self, transaction: &Transaction, generation: Option<u32>) -> Result<Outcome, NftError> {
        let doing = "send a transaction";
        let begin_seq = self.seq + 1;
        let bytes = transaction.encode(begin_seq, generation);
        let last_seq = begin_seq + u32::try_from(transaction.steps.len()).unwrap_or(u32::MAX);
        self.seq = last_seq + 1;
        self.socket.send(&bytes).map_err(|source| match source.raw_os_error() {
            Some(libc::EPERM) => NftError::NotPermitted,
            _ => NftError::Io { doing, source },
        })?;
        let mut refusals = Vec::new();
        let mut whole = None;
        let mut answered = 0;
        while answered < transaction.steps.len() && whole.is_none() {
            self.receive(doing, |answer| {
                if answer.kind != NLMSG_ERROR {
                    return;
                }
                let errno = answer.error_code().unwrap_or(0);
                if answer.seq == begin_seq {
                    whole = whole.or((errno != 0).then_some(errno));
                } else if answer.seq > begin_seq && answer.seq <= last_seq {
                    answered += 1;
                    let index = (answer.seq - begin_seq - 1) as usize;
                    if errno != 0 {
                        refusals.push(transaction.refusal(index, errno, error_offset(&answer)));
                    }
                }
            })?;
        }
        match whole {
            Some(libc::EPERM) => Err(NftError::NotPermitted),
            Some(libc::ERESTART) => Ok(Outcome::Stale),
            Some(errno) => Err(NftError::Io { doing, source: io::Error::from_raw_os_error(errno) }),
            None if refusals.is_empty() => Ok(Outcome::Done),
            None => Ok(Outcome::Refused(refusals)),
        }
    }

    /// For messages of other netfilter subsystems: sends one and gives the errno of its acknowledgement, 0 for none.
    pub fn ask(&mut self, doing: &'static str, build: impl Fn(&mut Builder, u32)) -> Result<i32, NftError> {
        self.seq += 1;
        let seq = self.seq;
        let mut request = Builder::default();
        build(&mut request, seq);
        self.socket.send(request.as_bytes()).map_err(|source| NftError::Io { doing, source })?;
        loop {
            let mut errno = None;
            self.receive(doing, |answer| {
                if answer.seq == seq && answer.kind == NLMSG_ERROR {
                    errno = answer.error_code();
                }
            })?;
            if let Some(errno) = errno {
                return Ok(errno);
            }
        }
    }

    fn receive(&mut self, doing: &'static str, mut take: impl FnMut(Message<'_>)) -> Result<(), NftError> {
        let got = self.socket.receive(&mut self.buffer).map_err(|source| NftError::Io { doing, source })?;
        let len = got.ok_or(NftError::NoAnswer { doing, seconds: ANSWER_SECONDS_MAX })?;
        let datagram = self.buffer.get(..len).unwrap_or(&self.buffer);
        Messages::new(datagram).for_each(&mut take);
        Ok(())
    }
}

/// The offending attribute's offset in the request, where the kernel names one.
fn error_offset(answer: &Message<'_>) -> Option<usize> {
    let attributes = Attrs::new(answer.body.get(CAPPED_ERROR_BYTES..)?);
    let offset = attributes.into_iter().find(|attr| attr.kind == NLMSGERR_ATTR_OFFS)?;
    offset.payload.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes) as usize)
}

/// What became of a batch that the kernel did read.
#[derive(Debug)]
pub enum Outcome {
    Done,
    /// The ruleset changed since the generation was read. Nothing happened.
    Stale,
    /// Nothing happened; every message that was refused.
    Refused(Vec<Refusal>),
}

/// One refused message.
#[derive(Debug)]
pub struct Refusal {
    /// Place in the transaction, in the order of adding.
    pub index: usize,
    pub step: String,
    pub expression: Option<String>,
    pub errno: i32,
}

impl From<Refusal> for NftError {
    fn from(refusal: Refusal) -> NftError {
        NftError::Refused {
            step: refusal.step,
            expression: refusal.expression,
            source: io::Error::from_raw_os_error(refusal.errno),
        }
    }
}

/// Messages that are to happen together, about tables of one family.
pub struct Transaction {
    family: u8,
    steps: Vec<Step>,
    set_ids: u32,
}

impl Default for Transaction {
    fn default() -> Transaction {
        Transaction::of_family(NFPROTO_INET)
    }
}

struct Step {
    what: String,
    /// One whole message; its sequence number is written when it is sent.
    bytes: Vec<u8>,
}

impl Transaction {
    /// `NFPROTO_*`.
    #[must_use]
    pub fn of_family(family: u8) -> Transaction {
        Transaction { family, steps: Vec::new(), set_ids: 0 }
    }

    /// Messages so far: the index of the next.
    #[must_use]
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Adds a message that is built here. `message` is `NFT_MSG_*`; the attributes are written by `build`.
    pub fn add(&mut self, what: &str, message: u16, flags: u16, build: impl FnOnce(&mut Builder)) {
        let mut builder = Builder::default();
        let nfgen = NfGen { family: self.family, version: 0, res_id: 0 };
        let open = builder.begin(message_kind(message), NLM_F_REQUEST | NLM_F_ACK | flags, 0, nfgen);
        build(&mut builder);
        builder.end(open);
        self.steps.push(Step { what: what.to_owned(), bytes: builder.as_bytes().to_vec() });
    }

    /// Adds a message that the nftnl crate builds.
    pub fn add_object(&mut self, what: &str, object: &impl NlMsg, action: MsgType) {
        // Words, for libnftnl writes a header through a pointer to it.
        let mut words = vec![0u64; (nftnl::nft_nlmsg_maxsize() as usize).div_ceil(8)];
        // SAFETY: the buffer has the size that the trait asks for, and is aligned for `struct nlmsghdr`.
        unsafe { object.write(words.as_mut_ptr().cast(), 0, action) };
        let len = message_len(words.first().copied().unwrap_or(0));
        let mut bytes: Vec<u8> = words.iter().take(len.div_ceil(8)).flat_map(|word| word.to_ne_bytes()).collect();
        bytes.truncate(len);
        self.steps.push(Step { what: what.to_owned(), bytes });
    }

    /// An id for an anonymous set. The named ones have 1 and 2.
    pub fn next_set_id(&mut self) -> u32 {
        self.set_ids += 1;
        self.set_ids + 2
    }

    /// BEGIN, all messages with their sequence numbers, END.
    fn encode(&self, begin_seq: u32, generation: Option<u32>) -> Vec<u8> {
        let mut batch = Builder::default();
        let nfgen = NfGen { family: 0, version: 0, res_id: NFNL_SUBSYS_NFTABLES };
        let begin = batch.begin(NFNL_MSG_BATCH_BEGIN, NLM_F_REQUEST, begin_seq, nfgen);
        if let Some(generation) = generation {
            batch.attr_be32(NFNL_BATCH_GENID, generation);
        }
        batch.end(begin);
        let mut bytes = batch.as_bytes().to_vec();
        let mut seq = begin_seq;
        for step in &self.steps {
            seq += 1;
            let at = bytes.len();
            bytes.extend_from_slice(&step.bytes);
            if let Some(slot) = bytes.get_mut(at + 8..).and_then(|rest| rest.first_chunk_mut::<4>()) {
                *slot = seq.to_ne_bytes();
            }
        }
        batch.clear();
        let end = batch.begin(NFNL_MSG_BATCH_END, NLM_F_REQUEST, seq + 1, nfgen);
        batch.end(end);
        bytes.extend_from_slice(batch.as_bytes());
        bytes
    }

    fn refusal(&self, index: usize, errno: i32, offset: Option<usize>) -> Refusal {
        let step = self.steps.get(index);
        Refusal {
            index,
            step: step.map(|step| step.what.clone()).unwrap_or_default(),
            expression: step.zip(offset).and_then(|(step, offset)| expression_at(&step.bytes, offset)),
            errno,
        }
    }
}

/// `nlmsg_len` from the first word of a message, padded as it stands in a batch.
fn message_len(word: u64) -> usize {
    let [l0, l1, l2, l3, ..] = word.to_ne_bytes();
    (u32::from_ne_bytes([l0, l1, l2, l3]) as usize).next_multiple_of(4)
}

/// The name of the expression within which `offset` of a NEWRULE message lies.
fn expression_at(message: &[u8], offset: usize) -> Option<String> {
    let start = message.as_ptr() as usize;
    let holds = |payload: &[u8]| span(start, payload).contains(&offset);
    let attributes = Attrs::new(message.get(HEADER_BYTES + NFGEN_BYTES..)?);
    let expressions = attributes.into_iter().find(|attr| attr.kind == NFTA_RULE_EXPRESSIONS)?;
    let element = expressions.nested().find(|element| holds(element.payload))?;
    let name = element.nested().find(|attr| attr.kind == NFTA_EXPR_NAME)?;
    let name = name.payload.split(|byte| *byte == 0).next()?;
    Some(String::from_utf8_lossy(name).into_owned())
}

/// Where an attribute's payload lies in its message, with the attribute's own header.
fn span(start: usize, payload: &[u8]) -> Range<usize> {
    let at = (payload.as_ptr() as usize).saturating_sub(start);
    at.saturating_sub(4)..at.saturating_add(payload.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_names_its_expression() {
        let mut transaction = Transaction::default();
        transaction.add("a rule", 6, 0, |message| {
            message.attr(1, b"table\0");
            let list = message.begin_nested(NFTA_RULE_EXPRESSIONS);
            for name in [b"meta\0".as_slice(), b"queue\0"] {
                let element = message.begin_nested(1);
                message.attr(NFTA_EXPR_NAME, name);
                message.end_nested(element);
            }
            message.end_nested(list);
        });
        let bytes = &transaction.steps[0].bytes;
        let first = HEADER_BYTES + NFGEN_BYTES + 12 + 4;
        for (offset, name) in
            [(first, Some("meta")), (first + 4, Some("meta")), (first + 16, Some("queue")), (20, None)]
        {
            assert_eq!(expression_at(bytes, offset).as_deref(), name, "{offset}");
        }
    }

    #[test]
    fn a_batch_numbers_its_messages_and_names_the_generation() {
        let mut transaction = Transaction::default();
        transaction.add("first", 0, 0, |message| message.attr(1, b"x\0"));
        transaction.add("second", 2, 0, |message| message.attr(1, b"x\0"));
        let bytes = transaction.encode(7, Some(0x0102_0304));
        let messages: Vec<_> = Messages::new(&bytes).map(|message| (message.kind, message.seq)).collect();
        assert_eq!(messages, [(16, 7), (0xa00, 8), (0xa02, 9), (17, 10)]);
        let begin = Messages::new(&bytes).next().unwrap();
        let (nfgen, mut attributes) = begin.netfilter().unwrap();
        assert_eq!(nfgen.res_id, NFNL_SUBSYS_NFTABLES);
        assert_eq!(attributes.next().unwrap().be32(), Some(0x0102_0304));
    }
}
