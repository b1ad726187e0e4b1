//! A call: a request with its response, or a bind with its answer. It is a transaction of DCERPC flows, and part of one
//! on SMB flows, where named pipes carry it.

use std::sync::Arc;

use super::interfaces::Interfaces;
use super::pdu::{self, Header, kind};
use super::record::{DcerpcHalf, DcerpcRecord, InterfaceRecord};
use crate::packet::app::ParseContext;
use crate::rules::app::AppTest;
use crate::rules::plan::Toward;

/// One side of a call.
#[derive(Clone, Debug, Default)]
pub struct Half {
    /// The packet type, once one was seen.
    pub kind: Option<u8>,
    pub done: bool,
    pub fragments: u32,
    /// Arguments, joined; at most as many as rules may look into.
    pub stub: Vec<u8>,
    /// Bytes of arguments in all.
    pub stub_bytes: u64,
    pub little: bool,
}

impl Half {
    fn begin(&mut self, kind: u8, little: bool) {
        self.kind = Some(kind);
        self.little = little;
    }

    pub fn append(&mut self, stub: &[u8], context: &ParseContext<'_>) {
        self.fragments = self.fragments.saturating_add(1);
        self.stub_bytes = self.stub_bytes.saturating_add(u64::try_from(stub.len()).unwrap_or(u64::MAX));
        let room = context.limits.body_bytes_max.saturating_sub(self.stub.len());
        self.stub.extend_from_slice(stub.get(..room).unwrap_or(stub));
    }
}

#[derive(Clone, Debug, Default)]
pub struct Call {
    pub call_id: u32,
    /// SMB's named pipes carry it.
    pub in_pipe: bool,
    pub opnum: u16,
    pub context_id: u16,
    pub request: Half,
    pub response: Half,
    /// As they were when the call was made.
    pub interfaces: Arc<Interfaces>,
}

impl Call {
    #[must_use]
    pub fn new(call_id: u32) -> Call {
        Call { call_id, ..Call::default() }
    }

    /// Whether a fragment with this header goes on with, or answers, this call.
    #[must_use]
    pub fn concerns(&self, header: &Header) -> bool {
        if self.call_id != header.call_id {
            return false;
        }
        match header.kind {
            kind::REQUEST => self.request.kind == Some(kind::REQUEST) && !self.request.done && !header.is_first(),
            kind::RESPONSE | kind::FAULT => self.request.kind == Some(kind::REQUEST) && !self.response.done,
            kind::BIND_ACK | kind::BIND_NAK => self.request.kind == Some(kind::BIND) && !self.response.done,
            kind::ALTER_CONTEXT_RESPONSE => {
                self.request.kind == Some(kind::ALTER_CONTEXT) && self.response.kind.is_none()
            }
            _ => false,
        }
    }

    /// Takes one fragment; `fragment` is whole, header included. False if it cannot be read.
    pub fn take(
        &mut self,
        header: &Header,
        fragment: &[u8],
        interfaces: &mut Arc<Interfaces>,
        context: &ParseContext<'_>,
    ) -> bool {
        let body = fragment.get(pdu::HEADER_BYTES..).unwrap_or_default();
        let half = if pdu::answers(header.kind) { &mut self.response } else { &mut self.request };
        half.begin(header.kind, header.little);
        half.done = header.is_last();
        match header.kind {
            kind::REQUEST => {
                let Some(request) = pdu::request(header, body) else { return false };
                (self.opnum, self.context_id) = (request.opnum, request.context_id);
                half.append(request.stub, context);
            }
            kind::RESPONSE => {
                let Some(stub) = pdu::response(body, self.in_pipe) else { return false };
                half.append(stub, context);
            }
            kind::BIND | kind::ALTER_CONTEXT => {
                half.done = true;
                let Some(contexts) = pdu::contexts(body, header.little) else { return false };
                Arc::make_mut(interfaces).ask(&contexts, header.is_first());
            }
            kind::BIND_ACK | kind::ALTER_CONTEXT_RESPONSE => {
                half.done = true;
                let Some(results) = pdu::results(body, header.little) else { return false };
                Arc::make_mut(interfaces).answer(&results);
            }
            _ => half.done = true,
        }
        self.interfaces = Arc::clone(interfaces);
        true
    }

    fn half(&self, toward: Toward) -> &Half {
        match toward {
            Toward::Server => &self.request,
            Toward::Client => &self.response,
        }
    }

    #[must_use]
    pub fn stub(&self, toward: Toward) -> Option<&[u8]> {
        Some(self.half(toward).stub.as_slice()).filter(|stub| !stub.is_empty())
    }

    /// The byte order that rules with `dce` read numbers in.
    #[must_use]
    pub fn is_little_endian(&self, toward: Toward) -> bool {
        self.half(toward).little
    }

    #[must_use]
    pub fn accepts(&self, test: &AppTest) -> bool {
        let called = self.request.kind == Some(kind::REQUEST) || self.response.kind == Some(kind::RESPONSE);
        match test {
            AppTest::DceInterface(wanted) => called && self.interfaces.has(self.context_id, wanted),
            AppTest::DceOpnum(ranges) => called && ranges.iter().any(|range| range.contains(&self.opnum)),
            _ => false,
        }
    }

    #[must_use]
    pub fn record(&self) -> DcerpcRecord {
        let half = |half: &Half, with_stub: u8| {
            half.kind.map(|kind| DcerpcHalf {
                kind: pdu::kind_name(kind),
                fragments: (kind == with_stub).then_some(half.fragments),
                stub_bytes: half.stub_bytes,
            })
        };
        let asked = matches!(self.request.kind, Some(kind::BIND | kind::ALTER_CONTEXT));
        DcerpcRecord {
            request: half(&self.request, kind::REQUEST),
            response: half(&self.response, kind::RESPONSE),
            opnum: self.opnum,
            interfaces: match asked {
                true => self.interfaces.latest().iter().map(InterfaceRecord::of).collect(),
                false => Vec::new(),
            },
            call_id: self.call_id,
        }
    }

    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.request.stub.capacity() + self.response.stub.capacity()
    }
}
