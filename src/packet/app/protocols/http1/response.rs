//! What the server says: one response for each request, in their order.

use super::body::Plan;
use super::coding::codings;
use super::events;
use super::head::Head;
use super::line::{Looks, StatusLine, Version, content_length, looks_like_response};
use super::multipart::parameter;
use super::reader::{Progress, Reader, Side};
use super::transfer::{Piece, Transfer};
use super::tx::HttpTx;
use super::{Http1, Turn};
use crate::packet::app::ParseContext;
use crate::rules::app::AppProto;
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::Toward;

#[derive(Debug)]
pub(super) struct ResponseSide {
    state: State,
    reader: Reader,
    transfer: Transfer,
    /// The transaction that is being answered.
    current: Option<u64>,
    /// The transaction that is answered next.
    next: u64,
    tail: Vec<u8>,
    lost: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    Body,
    /// Right behind a message: another response, or more of the body than was announced.
    After,
}

impl Default for ResponseSide {
    fn default() -> Self {
        ResponseSide {
            state: State::Head,
            reader: Reader::new(Side::Response),
            transfer: Transfer::of_length(Side::Response, 0),
            current: None,
            next: 0,
            tail: Vec::new(),
            lost: false,
        }
    }
}

impl ResponseSide {
    pub(super) fn is_between_messages(&self) -> bool {
        let begins = matches!(self.state, State::Head | State::After);
        begins && self.reader.is_empty() && self.tail.is_empty()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.reader.heap_bytes() + self.transfer.heap_bytes() + self.tail.capacity()
    }
}

impl Http1 {
    pub(super) fn parse_response(&mut self, bytes: &[u8], context: &ParseContext<'_>) -> Turn {
        let mut rest = bytes;
        loop {
            let begins = self.response.reader.is_empty() && matches!(self.response.state, State::Head | State::After);
            if begins && self.list.is_crowded(Toward::Client, context.limits.transaction_count_max(AppProto::Http1)) {
                return Turn::Taken(bytes.len() - rest.len());
            }
            self.expect_0_9(rest, context);
            let taken = match self.response.state {
                State::Head => {
                    let (taken, progress) = self.response.reader.take(rest);
                    let behind = rest.get(taken..).unwrap_or_default();
                    match progress {
                        Progress::More => {
                            context.grow_mark(Buffer::FRAME_HTTP1_RESPONSE, Toward::Client, rest);
                            self.give_up_line(false, context);
                            return Turn::Taken(bytes.len());
                        }
                        Progress::Line => self.judge_status_line(behind, context),
                        Progress::Done => {
                            if self.begin_response(context) {
                                return Turn::Changed(bytes.len() - behind.len());
                            }
                        }
                    }
                    taken
                }
                State::Body => match self.step_response_body(rest) {
                    Some(taken) => taken,
                    None => {
                        context.grow_mark(Buffer::FRAME_HTTP1_RESPONSE, Toward::Client, rest);
                        self.end_mark_of_response(context);
                        return Turn::Taken(bytes.len());
                    }
                },
                State::After => match self.judge_response_tail(rest, context) {
                    Some(taken) => taken,
                    None => return Turn::Taken(bytes.len()),
                },
            };
            let (read, behind) = rest.split_at_checked(taken).unwrap_or((rest, &[]));
            context.grow_mark(Buffer::FRAME_HTTP1_RESPONSE, Toward::Client, read);
            self.end_mark_of_response(context);
            rest = behind;
        }
    }

    /// Right behind a response, what comes next is another frame.
    fn end_mark_of_response(&self, context: &ParseContext<'_>) {
        if self.response.is_between_messages() {
            context.end_mark(Buffer::FRAME_HTTP1_RESPONSE, Toward::Client);
        }
    }

    pub(super) fn close_response(&mut self, context: &ParseContext<'_>) {
        match self.response.state {
            State::Head => {
                self.give_up_line(true, context);
                if self.response.reader.has_line() {
                    // The head breaks off: there is no body.
                    self.begin_response(context);
                }
                self.end_response(false);
            }
            State::Body => {
                let rest = self.response.transfer.leftover();
                self.append_response(&rest);
                self.end_response(!self.response.transfer.is_until_close());
            }
            State::After => {
                let tail = std::mem::take(&mut self.response.tail);
                self.append_response(&tail);
                self.end_response(false);
            }
        }
    }

    pub(super) fn gap_in_response(&mut self, missing: u64) {
        match self.response.state {
            State::Body => {
                let known = self.response.transfer.skip(missing).is_some();
                if let Some(slot) = self.response.current.and_then(|id| self.list.by_id(id)) {
                    slot.data.response.body.skip(missing);
                    slot.touch(Toward::Client);
                }
                if known {
                    return;
                }
                self.end_response(true);
            }
            State::Head | State::After => self.end_response(true),
        }
        self.response.reader = Reader::new(Side::Response);
        self.response.tail = Vec::new();
        self.response.state = State::Head;
        self.response.lost = true;
    }

    /// The transaction that this response is for; a new one if none is waiting.
    fn bind(&mut self, context: &ParseContext<'_>) -> u64 {
        if let Some(id) = self.response.current {
            return id;
        }
        let next = self.response.next;
        let waiting = |this: &Http1| {
            this.list.iter().find(|slot| slot.id >= next && !slot.data.response.done).map(|slot| slot.id)
        };
        let mut found = waiting(self);
        if found.is_none() && self.request.has_begun() {
            // The server did not wait for the end of the first line.
            self.cut_request(context);
            found = waiting(self);
        }
        let id = found.unwrap_or_else(|| {
            let mut tx = HttpTx::unasked();
            tx.note(events::UNABLE_TO_MATCH_RESPONSE_TO_REQUEST);
            self.list.open(tx, context.limits.transaction_count_max(AppProto::Http1)).id
        });
        self.response.current = Some(id);
        self.response.next = id + 1;
        id
    }

    /// A request of HTTP/0.9 is answered by a body alone.
    fn expect_0_9(&mut self, rest: &[u8], context: &ParseContext<'_>) {
        let next = self.response.next;
        let ResponseSide { state, current, reader, .. } = &self.response;
        let fresh = *state == State::Head && current.is_none() && reader.is_empty() && !rest.is_empty();
        let is_0_9 = fresh && self.list.by_id(next).is_some_and(|slot| slot.data.request.is_0_9);
        if is_0_9 && looks_like_response(rest) != Looks::Like {
            let id = self.bind(context);
            self.begin_junk(id, context);
            self.response.transfer = Transfer::until_close(Side::Response);
            self.response.state = State::Body;
        }
    }

    fn judge_status_line(&mut self, behind: &[u8], context: &ParseContext<'_>) {
        let line = self.response.reader.line();
        if line.is_empty() {
            self.response.reader.drop_line();
            return;
        }
        if looks_like_response(line) != Looks::Like {
            let skipped =
                self.response.lost || (behind.len() > 1 && (behind.first() == Some(&b'H') || line.len() <= 2));
            let line = self.response.reader.drop_line();
            if !skipped {
                // Browsers take it for the body.
                let id = self.bind(context);
                self.begin_junk(id, context);
                self.append_response(&line);
                if behind.is_empty() {
                    self.response.state = State::After;
                }
            }
            return;
        }
        self.response.lost = false;
        let version = StatusLine::of(self.response.reader.head()).version;
        self.response.reader.set_http_1_1(version == Version::V1_1);
    }

    /// An unfinished first line that cannot become a status line is body, and looked at now: its end may never come.
    fn give_up_line(&mut self, closed: bool, context: &ParseContext<'_>) {
        let ResponseSide { reader, lost, .. } = &mut self.response;
        if reader.is_empty() || reader.has_line() || *lost {
            return;
        }
        match looks_like_response(reader.unfinished_line()) {
            Looks::Like if closed => {
                self.begin_response(context);
            }
            Looks::Unclear if !closed => {}
            Looks::Like => {}
            Looks::Unclear | Looks::Unlike => {
                let line = reader.drop_line();
                let id = self.bind(context);
                self.begin_junk(id, context);
                self.append_response(&line);
                self.response.state = State::After;
            }
        }
    }

    /// A body without a head.
    fn begin_junk(&mut self, id: u64, context: &ParseContext<'_>) {
        let Some(slot) = self.list.by_id(id) else { return };
        if slot.data.response.body.has_begun() {
            slot.data.response.body.take_as_sent();
            return;
        }
        let name = slot.data.uri().path_form();
        let plan = Plan {
            inspect_max: context.limits.http.response_body_bytes_max,
            file_name: Some(name.as_slice()).filter(|name| !name.is_empty()),
            hashes: context.hashes,
            ..Plan::default()
        };
        slot.data.response.body.begin(&plan);
    }

    /// The head is there. True if the connection is another protocol's from here on.
    fn begin_response(&mut self, context: &ParseContext<'_>) -> bool {
        let id = self.bind(context);
        let (head, odd) = self.response.reader.finish();
        self.response.transfer = Transfer::of_length(Side::Response, 0);
        self.response.state = State::Body;
        let Some(slot) = self.list.by_id(id) else { return false };
        slot.touch(Toward::Client);
        let tx = &mut slot.data;
        odd.into_iter().for_each(|event| tx.note(event));
        let line = StatusLine::of(&head);
        if line.version == Version::Unknown {
            tx.note(events::RESPONSE_INVALID_PROTOCOL);
        }
        if line.status.is_none() {
            tx.note(events::RESPONSE_INVALID_STATUS);
        }
        let length = head.keyword(b"content-length").as_deref().and_then(content_length);
        let has_coding = head.keyword(b"transfer-encoding").is_some();
        if line.status == Some(100) && !has_coding && length.unwrap_or(0) == 0 {
            if std::mem::replace(&mut tx.response.seen_continue, true) {
                tx.note(events::CONTINUE_ALREADY_SEEN);
            }
            self.response.state = State::Head;
            return false;
        }
        let status = line.status.unwrap_or(0);
        let is_connect = tx.method() == Some(b"CONNECT");
        let is_head = tx.method() == Some(b"HEAD");
        let tunnel = is_connect && (200..300).contains(&status);
        let upgrade = status == 101 && !has_coding && head.value(b"content-length").is_none();
        let websocket = upgrade && head.value(b"upgrade").is_some_and(|to| to.eq_ignore_ascii_case(b"websocket"));
        self.upgrade = websocket.then_some(AppProto::Websocket);
        let (transfer, odd) = delimit(&head, line, is_head || tunnel || upgrade);
        odd.into_iter().for_each(|event| tx.note(event));
        tx.response.seen = true;
        tx.response.line = line;
        tx.response.head = head;
        begin_body(tx, context);
        self.response.transfer = transfer;
        if tunnel || upgrade {
            tx.request.done = true;
            self.end_response(false);
            return true;
        }
        if is_connect {
            self.released |= self.request.release();
        }
        false
    }

    fn step_response_body(&mut self, rest: &[u8]) -> Option<usize> {
        let (taken, piece) = self.response.transfer.step(rest);
        match piece {
            Piece::Data(data) => self.append_response(data),
            Piece::NoChunk(line) => {
                self.note_response(events::INVALID_RESPONSE_CHUNK_LEN);
                self.append_response(&line);
            }
            Piece::Odd(event) => self.note_response(event),
            Piece::More if taken == rest.len() => return None,
            Piece::More => {}
            Piece::End if taken == rest.len() => {
                self.end_response(false);
                return None;
            }
            Piece::End => self.response.state = State::After,
        }
        Some(taken)
    }

    /// Behind a message: a status line begins another response, anything else belongs to the body.
    fn judge_response_tail(&mut self, rest: &[u8], context: &ParseContext<'_>) -> Option<usize> {
        let end = memchr::memchr(b'\n', rest).map(|at| at + 1);
        let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        if self.response.tail.is_empty() && looks_like_response(line) == Looks::Like {
            self.leave_body();
            return Some(0);
        }
        self.response.tail.extend_from_slice(line);
        match looks_like_response(&self.response.tail) {
            Looks::Like => {
                let tail = std::mem::take(&mut self.response.tail);
                self.leave_body();
                self.parse_response(&tail, context);
            }
            Looks::Unclear if end.is_none() => return None,
            Looks::Unclear | Looks::Unlike => {
                let tail = std::mem::take(&mut self.response.tail);
                if !tail.trim_ascii().is_empty() {
                    self.note_response(events::RESPONSE_BODY_UNEXPECTED);
                }
                self.append_response(&tail);
            }
        }
        (!rest.is_empty()).then_some(line.len())
    }

    /// A status line follows: of the next response, or of this one, if only junk stood in front of it.
    fn leave_body(&mut self) {
        let slot = self.response.current.and_then(|id| self.list.by_id(id));
        match slot.is_some_and(|slot| slot.data.response.seen) {
            true => self.end_response(false),
            false => self.response.state = State::Head,
        }
    }

    fn append_response(&mut self, bytes: &[u8]) {
        let Some(slot) = self.response.current.and_then(|id| self.list.by_id(id)) else { return };
        if bytes.is_empty() {
            return;
        }
        let mut odd = Vec::new();
        slot.data.response.body.append(bytes, &mut |_| {}, &mut |event| odd.push(event));
        odd.into_iter().for_each(|event| slot.data.note(event));
        slot.touch(Toward::Client);
    }

    fn note_response(&mut self, event: &'static str) {
        if let Some(slot) = self.response.current.and_then(|id| self.list.by_id(id)) {
            slot.data.note(event);
            slot.touch(Toward::Client);
        }
    }

    fn end_response(&mut self, truncated: bool) {
        self.response.state = State::Head;
        let Some(slot) = self.response.current.take().and_then(|id| self.list.by_id(id)) else { return };
        slot.data.response.done = true;
        slot.data.response.body.end(truncated);
        slot.touch(Toward::Client);
    }
}

/// How the body is delimited, with what is odd about it.
fn delimit(head: &Head, line: StatusLine, bodiless: bool) -> (Transfer, Vec<&'static str>) {
    let none = Transfer::of_length(Side::Response, 0);
    let mut odd = Vec::new();
    let coding = head.keyword(b"transfer-encoding");
    let length = head.keyword(b"content-length");
    let silent = matches!(line.status, Some(100..=199 | 204 | 304));
    if bodiless || (silent && coding.is_none() && length.is_none()) {
        return (none, odd);
    }
    if silent {
        odd.push(events::RESPONSE_BODY_UNEXPECTED);
    }
    if let Some(coding) = coding.filter(|coding| memchr::memmem::find(coding, b"chunked").is_some()) {
        if coding != b"chunked" {
            odd.push(events::RESPONSE_ABNORMAL_TRANSFER_ENCODING);
        }
        if line.version < Version::V1_1 {
            odd.push(events::RESPONSE_CHUNKED_OLD_PROTO);
        }
        return (Transfer::chunked(Side::Response), odd);
    }
    match length.as_deref().map(content_length) {
        Some(Some(length)) => (Transfer::of_length(Side::Response, length), odd),
        Some(None) => {
            odd.push(events::INVALID_CONTENT_LENGTH_FIELD_IN_RESPONSE);
            (Transfer::until_close(Side::Response), odd)
        }
        None => (Transfer::until_close(Side::Response), odd),
    }
}

fn begin_body(tx: &mut HttpTx, context: &ParseContext<'_>) {
    let http = &context.limits.http;
    let mut odd = Vec::new();
    let coding = tx.response.head.keyword(b"content-encoding");
    let codings = coding.map(|value| codings(&value, http.coding_layer_count_max, |event| odd.push(event)));
    let path = tx.uri().path_form();
    let given = tx.response.head.value(b"content-disposition").and_then(|value| parameter(value, b"filename"));
    let plan = Plan {
        codings: codings.as_deref().unwrap_or_default(),
        inspect_max: http.response_body_bytes_max,
        inflated_max: context.limits.inflated_bytes_max,
        file_name: given.or(Some(path.as_slice())).filter(|name| !name.is_empty()),
        hashes: context.hashes,
    };
    tx.response.body.begin(&plan);
    odd.into_iter().for_each(|event| tx.note(event));
}
