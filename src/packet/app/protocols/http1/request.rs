//! What the client says: one request after the other.

use super::body::Plan;
use super::coding::codings;
use super::events;
use super::head::Head;
use super::line::{Looks, RequestLine, Version, content_length, is_request_line, looks_like_request};
use super::multipart::Multipart;
use super::reader::{Progress, Reader, Side};
use super::transfer::{Piece, Transfer};
use super::tx::{HttpTx, Request};
use super::uri::{is_valid_host, normal_host, port_number, split_host};
use super::{Http1, Turn, behind_empty_lines};
use crate::packet::app::ParseContext;
use crate::rules::app::AppProto;
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::Toward;

/// Blanks behind a request line without a protocol that still make it HTTP/0.9.
const BLANK_BYTES_MAX: usize = 16;

/// Bytes of a line behind a request that may become the next one's first line.
const TAIL_BYTES_MAX: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct RequestSide {
    state: State,
    reader: Reader,
    transfer: Transfer,
    /// The transaction whose request is being read.
    current: Option<u64>,
    /// The beginning of a line of which it is not clear yet what it is.
    tail: Vec<u8>,
    /// Bytes were lost: what comes next begins somewhere in the middle.
    lost: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    Body,
    /// Right behind a message: another request, or more of the body than was announced.
    After,
    /// CONNECT was asked for, and not answered yet.
    Connect,
}

impl Default for RequestSide {
    fn default() -> Self {
        RequestSide {
            state: State::Head,
            reader: Reader::new(Side::Request),
            transfer: Transfer::of_length(Side::Request, 0),
            current: None,
            tail: Vec::new(),
            lost: false,
        }
    }
}

impl RequestSide {
    /// A request has begun and its head is not complete.
    pub(super) fn has_begun(&self) -> bool {
        self.state == State::Head && !self.reader.is_empty()
    }

    /// The CONNECT was refused, or requests follow it: they go on. True if it was waited for.
    pub(super) fn release(&mut self) -> bool {
        let waited = self.state == State::Connect;
        if waited {
            self.state = State::Head;
        }
        waited
    }

    pub(super) fn is_between_messages(&self) -> bool {
        let begins = matches!(self.state, State::Head | State::After);
        begins && self.reader.is_empty() && self.tail.is_empty()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.reader.heap_bytes() + self.transfer.heap_bytes() + self.tail.capacity()
    }
}

impl Http1 {
    pub(super) fn parse_request(&mut self, bytes: &[u8], context: &ParseContext<'_>) -> Turn {
        let mut rest = bytes;
        loop {
            let begins = self.request.reader.is_empty() && matches!(self.request.state, State::Head | State::After);
            if begins && self.list.is_crowded(Toward::Server, context.limits.transaction_count_max(AppProto::Http1)) {
                return Turn::Taken(bytes.len() - rest.len());
            }
            let taken = match self.request.state {
                State::Head => {
                    let (taken, progress) = self.request.reader.take(rest);
                    let behind = rest.get(taken..).unwrap_or_default();
                    match progress {
                        Progress::More => {
                            context.grow_mark(Buffer::FRAME_HTTP1_REQUEST, Toward::Server, rest);
                            self.show_request_line(context);
                            return Turn::Taken(bytes.len());
                        }
                        Progress::Line => self.judge_request_line(behind, context),
                        Progress::Done => self.begin_request(context),
                    }
                    taken
                }
                State::Body => match self.step_request_body(rest) {
                    Some(taken) => taken,
                    None => {
                        context.grow_mark(Buffer::FRAME_HTTP1_REQUEST, Toward::Server, rest);
                        self.end_mark_of_request(context);
                        return Turn::Taken(bytes.len());
                    }
                },
                State::After => match self.judge_request_tail(rest, context) {
                    Some(taken) => taken,
                    None => return Turn::Taken(bytes.len()),
                },
                // A server that answers 405 has read the requests behind it, too.
                State::Connect if begins_request(rest) => {
                    self.request.release();
                    0
                }
                State::Connect => return Turn::Taken(bytes.len() - rest.len()),
            };
            let (read, behind) = rest.split_at_checked(taken).unwrap_or((rest, &[]));
            context.grow_mark(Buffer::FRAME_HTTP1_REQUEST, Toward::Server, read);
            self.end_mark_of_request(context);
            rest = behind;
        }
    }

    /// Right behind a request, what comes next is another frame.
    fn end_mark_of_request(&self, context: &ParseContext<'_>) {
        if self.request.is_between_messages() {
            context.end_mark(Buffer::FRAME_HTTP1_REQUEST, Toward::Server);
        }
    }

    /// The client says no more.
    pub(super) fn close_request(&mut self, context: &ParseContext<'_>) {
        match self.request.state {
            State::Head => self.cut_request(context),
            State::Body => self.end_request(!self.request.transfer.is_until_close()),
            State::After => {
                let tail = std::mem::take(&mut self.request.tail);
                self.append_beyond(&tail);
                self.end_request(false);
            }
            State::Connect => {}
        }
    }

    /// Takes the head as it is: its end will not come.
    pub(super) fn cut_request(&mut self, context: &ParseContext<'_>) {
        if self.request.reader.is_empty() || self.request.lost {
            return;
        }
        if !self.request.reader.has_line() {
            self.request.reader.note(events::REQUEST_LINE_INCOMPLETE);
        }
        self.begin_request(context);
        // A CONNECT is nobody's current request.
        let slot = match self.request.current {
            Some(id) => self.list.by_id(id),
            None => self.list.last_mut(),
        };
        if let Some(slot) = slot {
            slot.data.request.broke_off = true;
        }
        if self.request.state != State::Head {
            self.end_request(true);
        }
    }

    pub(super) fn gap_in_request(&mut self, missing: u64) {
        match self.request.state {
            State::Body => {
                let known = self.request.transfer.skip(missing).is_some();
                if let Some(slot) = self.request.current.and_then(|id| self.list.by_id(id)) {
                    slot.data.request.body.skip(missing);
                    slot.touch(Toward::Server);
                }
                if known {
                    return;
                }
                self.end_request(true);
            }
            State::Head | State::After => self.end_request(true),
            State::Connect => return,
        }
        self.request.reader = Reader::new(Side::Request);
        self.request.tail = Vec::new();
        self.request.state = State::Head;
        self.request.lost = true;
    }

    fn judge_request_line(&mut self, behind: &[u8], context: &ParseContext<'_>) {
        let line = self.request.reader.line();
        let lost = self.request.lost && !is_request_line(line);
        if line.is_empty() || lost {
            self.request.reader.drop_line();
            return;
        }
        self.request.lost = false;
        let parts = RequestLine::of(self.request.reader.head());
        let bare = parts.version == Version::V0_9 && parts.protocol.is_none();
        let only_blanks = behind.len() <= BLANK_BYTES_MAX && behind.iter().all(|byte| byte.is_ascii_whitespace());
        if bare && only_blanks {
            self.begin_request(context);
            if let Some(slot) = self.request.current.and_then(|id| self.list.by_id(id)) {
                slot.data.request.is_0_9 = true;
            }
        } else if bare {
            self.request.reader.note(events::LINE_MISSING_PROTOCOL);
        }
    }

    /// The first line is there, and the rest of the head is not: rules about the line need not wait for it.
    fn show_request_line(&mut self, context: &ParseContext<'_>) {
        if !self.request.reader.has_line() || self.request.current.is_some() {
            return;
        }
        let mut tx = HttpTx::default();
        let head = self.request.reader.head().first_line();
        let line = RequestLine::of(&head);
        tx.request = Request::of(head, line, context.limits.http.uri_form);
        tx.request.whole_head = false;
        note_line(&mut tx);
        let slot = self.list.open(tx, context.limits.transaction_count_max(AppProto::Http1));
        slot.touch(Toward::Server);
        self.request.current = Some(slot.id);
    }

    /// The transaction that its first line has opened, or a new one.
    fn open_request(&mut self, context: &ParseContext<'_>) -> u64 {
        match self.request.current.filter(|id| self.list.by_id(*id).is_some()) {
            Some(id) => id,
            None => self.list.open(HttpTx::default(), context.limits.transaction_count_max(AppProto::Http1)).id,
        }
    }

    /// The head is there.
    fn begin_request(&mut self, context: &ParseContext<'_>) {
        let id = self.open_request(context);
        let (head, odd) = self.request.reader.finish();
        let line = RequestLine::of(&head);
        let is_connect = head.at(line.method) == b"CONNECT";
        let (transfer, length_events) = delimit(&head, line.version);
        let transfer = transfer.filter(|_| !is_connect);
        let has_body = transfer.is_some();
        self.request.current = Some(id).filter(|_| !is_connect);
        self.request.state = if is_connect { State::Connect } else { State::Body };
        self.request.transfer = transfer.unwrap_or_else(|| Transfer::of_length(Side::Request, 0));

        let Some(slot) = self.list.by_id(id) else { return };
        let tx = &mut slot.data;
        odd.into_iter().for_each(|event| tx.note(event));
        tx.request = Request::of(head, line, context.limits.http.uri_form);
        tx.request.done = is_connect;
        note_line(tx);
        find_host(tx, context.server_port);
        length_events.into_iter().for_each(|event| tx.note(event));
        if has_body {
            begin_body(tx, context);
        }
        slot.touch(Toward::Server);
    }

    /// One step over a body; `None` when all is taken.
    fn step_request_body(&mut self, rest: &[u8]) -> Option<usize> {
        let (taken, piece) = self.request.transfer.step(rest);
        match piece {
            Piece::Data(data) => self.append_request(data),
            Piece::NoChunk(line) => {
                self.note_request(events::INVALID_REQUEST_CHUNK_LEN);
                self.append_request(&line);
            }
            Piece::Odd(event) => self.note_request(event),
            Piece::More if taken == rest.len() => return None,
            Piece::More => {}
            Piece::End if taken == rest.len() => {
                self.end_request(false);
                return None;
            }
            Piece::End => self.request.state = State::After,
        }
        Some(taken)
    }

    /// Behind a message: a line that looks like one begins another request, anything else belongs to the body.
    fn judge_request_tail(&mut self, rest: &[u8], context: &ParseContext<'_>) -> Option<usize> {
        let end = memchr::memchr(b'\n', rest).map(|at| at + 1);
        let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        if self.request.tail.is_empty() && looks_like_request(line) == Looks::Like {
            self.end_request(false);
            return Some(0);
        }
        self.request.tail.extend_from_slice(line);
        let looks = looks_like_request(&self.request.tail);
        match looks {
            Looks::Like => {
                let tail = std::mem::take(&mut self.request.tail);
                self.end_request(false);
                self.parse_request(&tail, context);
            }
            Looks::Unclear if end.is_none() && self.request.tail.len() <= TAIL_BYTES_MAX => return None,
            Looks::Unclear if self.request.tail.trim_ascii().is_empty() => self.request.tail.clear(),
            Looks::Unclear | Looks::Unlike => {
                let tail = std::mem::take(&mut self.request.tail);
                self.append_beyond(&tail);
            }
        }
        if line.len() == rest.len() && looks != Looks::Like && end.is_none() {
            return None;
        }
        (!rest.is_empty()).then_some(line.len())
    }

    /// More of the body than was announced.
    fn append_beyond(&mut self, tail: &[u8]) {
        if !tail.trim_ascii().is_empty() {
            self.note_request(events::REQUEST_BODY_UNEXPECTED);
        }
        self.append_request(tail);
    }

    fn append_request(&mut self, bytes: &[u8]) {
        let Some(slot) = self.request.current.and_then(|id| self.list.by_id(id)) else { return };
        if bytes.is_empty() {
            return;
        }
        let mut odd = Vec::new();
        let Request { body, multipart, .. } = &mut slot.data.request;
        let mut form_odd = Vec::new();
        let mut fresh = |piece: &[u8]| {
            if let Some(multipart) = multipart {
                multipart.append(piece, &mut |event| form_odd.push(event));
            }
        };
        body.append(bytes, &mut fresh, &mut |event| odd.push(event));
        odd.into_iter().chain(form_odd).for_each(|event| slot.data.note(event));
        slot.touch(Toward::Server);
    }

    fn note_request(&mut self, event: &'static str) {
        if let Some(slot) = self.request.current.and_then(|id| self.list.by_id(id)) {
            slot.data.note(event);
            slot.touch(Toward::Server);
        }
    }

    fn end_request(&mut self, truncated: bool) {
        self.request.state = State::Head;
        let Some(slot) = self.request.current.take().and_then(|id| self.list.by_id(id)) else { return };
        let request = &mut slot.data.request;
        request.done = true;
        request.body.end(truncated);
        let mut odd = Vec::new();
        if let Some(multipart) = &mut request.multipart {
            multipart.end(&mut |event| odd.push(event));
        }
        odd.into_iter().for_each(|event| slot.data.note(event));
        slot.touch(Toward::Server);
    }
}

fn begins_request(rest: &[u8]) -> bool {
    let rest = behind_empty_lines(rest);
    let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
    looks_like_request(rest.get(..end).unwrap_or_default()) == Looks::Like
}

fn note_line(tx: &mut HttpTx) {
    let RequestLine { leading_blank, odd_method_delimiter, odd_uri_delimiter, version, protocol, .. } = tx.request.line;
    let unknown = !is_request_line(tx.request.head.line());
    let odd = [
        (leading_blank, events::REQUEST_LINE_LEADING_WHITESPACE),
        (odd_method_delimiter, events::METHOD_DELIM_NON_COMPLIANT),
        (odd_uri_delimiter, events::URI_DELIM_NON_COMPLIANT),
        (unknown && version == Version::Unknown && protocol.is_some(), events::REQUEST_LINE_INVALID),
    ];
    odd.into_iter().filter(|(is_odd, _)| *is_odd).for_each(|(_, event)| tx.note(event));
    let asks = tx.request.form.double_decode_path || tx.request.form.double_decode_query;
    if asks && tx.uri().normalised(tx.request.form).1 {
        tx.note(events::DOUBLE_ENCODED_URI);
    }
    let known = |value: &[u8]| {
        [&b"basic"[..], b"digest", b"bearer"]
            .iter()
            .any(|word| value.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word)))
    };
    if tx.request.head.value(b"authorization").is_some_and(|value| !known(value)) {
        tx.note(events::AUTH_UNRECOGNIZED);
    }
}

/// The host that the request is for: the URI's, else that of the Host header.
fn find_host(tx: &mut HttpTx, server_port: u16) {
    let uri = tx.uri();
    let (uri_host, uri_port) = (uri.host.map(normal_host), uri.port.and_then(port_number));
    let bad_port = uri.port.is_some() && uri_port.is_none();
    let header = tx.request.head.value(b"host");
    let (named, named_port) = header.map(split_host).unwrap_or_default();
    let named_number = named_port.and_then(port_number);
    let named = named.map(normal_host);
    let mut odd = Vec::new();
    if uri_host.as_ref().is_some_and(|host| !is_valid_host(host)) || bad_port {
        odd.push(events::URI_HOST_INVALID);
    }
    match header {
        None if tx.request.line.version >= Version::V1_1 => odd.push(events::MISSING_HOST_HEADER),
        None => {}
        Some(_) => {
            let bad = named.as_ref().is_none_or(|host| !is_valid_host(host));
            if bad || (named_port.is_some() && named_number.is_none()) {
                odd.push(events::HEADER_HOST_INVALID);
            }
            if uri_host.is_some() && uri_host != named {
                odd.push(events::HOST_HEADER_AMBIGUOUS);
            }
        }
    }
    let (host, port) = if uri_host.is_some() { (uri_host, uri_port) } else { (named, named_number) };
    if port.is_some_and(|port| port != server_port) {
        odd.push(events::REQUEST_SERVER_PORT_TCP_PORT_MISMATCH);
    }
    tx.request.host = host.filter(|host| !host.is_empty()).map(Into::into);
    tx.request.port = port;
    odd.into_iter().for_each(|event| tx.note(event));
}

/// How the body is delimited, if there is one.
fn delimit(head: &Head, version: Version) -> (Option<Transfer>, Vec<&'static str>) {
    let mut odd = Vec::new();
    let length = head.value(b"content-length");
    if let Some(coding) = head.value(b"transfer-encoding") {
        let is_chunked = memchr::memmem::find(&coding.to_ascii_lowercase(), b"chunked").is_some();
        if !is_chunked || version < Version::V1_1 {
            odd.push(events::INVALID_TRANSFER_ENCODING_VALUE_IN_REQUEST);
        }
        if is_chunked {
            return (Some(Transfer::chunked(Side::Request)), odd);
        }
    }
    let Some(length) = length else { return (None, odd) };
    let length = content_length(length);
    if length.is_none() {
        odd.push(events::INVALID_CONTENT_LENGTH_FIELD_IN_REQUEST);
    }
    (length.filter(|length| *length > 0).map(|length| Transfer::of_length(Side::Request, length)), odd)
}

fn begin_body(tx: &mut HttpTx, context: &ParseContext<'_>) {
    let http = &context.limits.http;
    let mut odd = Vec::new();
    let coding = tx.request.head.keyword(b"content-encoding");
    let codings = coding.map(|value| codings(&value, http.coding_layer_count_max, |event| odd.push(event)));
    let inspect_max = http.request_body_bytes_max;
    let is_post = tx.method() == Some(b"POST");
    let form = tx.request.head.value(b"content-type").filter(|_| is_post);
    tx.request.multipart = form.and_then(|form| Multipart::of(form, inspect_max, context.hashes)).map(Box::new);
    let is_file = (is_post || tx.method() == Some(b"PUT")) && tx.request.multipart.is_none();
    let path = tx.uri().path_form();
    let plan = Plan {
        codings: codings.as_deref().unwrap_or_default(),
        inspect_max,
        inflated_max: context.limits.inflated_bytes_max,
        file_name: Some(path.as_slice()).filter(|path| is_file && !path.is_empty()),
        hashes: context.hashes,
    };
    tx.request.body.begin(&plan);
    odd.into_iter().for_each(|event| tx.note(event));
}
