//! A stream as rules and outputs see it: a request with its response. Frames about the whole connection stand on streams
//! of their own, which are done at once.

use std::cell::OnceCell;

use super::dns::{self, Dns};
use super::events;
use super::frame::kind;
use super::headers::Headers;
use super::record::{Http2Half, Http2Record};
use crate::packet::app::file::File;
use crate::packet::app::protocols::dns::{accepts as dns_accepts, buffer_of};
use crate::packet::app::protocols::http1::body::{Body, Plan};
use crate::packet::app::protocols::http1::coding::codings;
use crate::packet::app::protocols::http1::multipart::parameter;
use crate::packet::app::protocols::http1::record::HttpRecord;
use crate::packet::app::protocols::http1::uri::{Uri, UriForm, normal_host, port_number, split_host};
use crate::packet::app::record::FileAccount;
use crate::packet::app::{AppRecord, ParseContext, Transaction};
use crate::rules::app::{AppTest, Field, Http2Test};
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::Toward;

/// Numbers of one kind that are kept of one side of a stream.
const NUMBER_COUNT_MAX: usize = 64;
const EVENT_COUNT_MAX: usize = 32;
/// What stands in place of the protocol of a first line, as Suricata has it.
const PROTOCOL: &[u8] = b"HTTP/2";

#[derive(Debug, Default)]
pub(super) struct Stream {
    pub number: u32,
    client: Half,
    server: Half,
    form: UriForm,
    uri: OnceCell<Vec<u8>>,
    host: OnceCell<Vec<u8>>,
    /// Reset, or frames that stand alone.
    closed: bool,
    dns: Dns,
    events: Vec<&'static str>,
    told: bool,
}

/// What one side has sent.
#[derive(Debug, Default)]
pub(super) struct Half {
    pub headers: Headers,
    pub frames: Frames,
    body: Body,
    line: OnceCell<Vec<u8>>,
    ended: bool,
}

/// What rules ask about frames.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// One bit for each of the kinds below 32.
    kinds: u32,
    pub errors: Vec<u32>,
    pub priorities: Vec<u8>,
    pub windows: Vec<u32>,
    pub settings: Vec<(u16, u32)>,
    pub size_updates: Vec<u32>,
}

/// Keeps one more, as long as there is room.
pub(super) fn keep<T>(list: &mut Vec<T>, item: T) -> bool {
    let room = list.len() < NUMBER_COUNT_MAX;
    if room {
        list.push(item);
    }
    room
}

impl Stream {
    pub(super) fn new(number: u32, context: &ParseContext<'_>) -> Stream {
        Stream { number, form: context.limits.http.uri_form, ..Stream::default() }
    }

    /// For one frame.
    pub(super) fn alone(number: u32, context: &ParseContext<'_>) -> Stream {
        Stream { closed: true, ..Stream::new(number, context) }
    }

    /// Frames of stream `number` belong to it.
    pub(super) fn is_open(&self, number: u32) -> bool {
        self.number == number && !self.closed
    }

    /// Nothing more belongs to it.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    pub(super) fn note(&mut self, event: &'static str) {
        if self.events.len() < EVENT_COUNT_MAX && !self.events.contains(&event) {
            self.events.push(event);
        }
    }

    pub(super) fn half(&mut self, toward: Toward) -> &mut Half {
        match toward {
            Toward::Server => &mut self.client,
            Toward::Client => &mut self.server,
        }
    }

    fn of(&self, toward: Toward) -> &Half {
        match toward {
            Toward::Server => &self.client,
            Toward::Client => &self.server,
        }
    }

    pub(super) fn saw(&mut self, toward: Toward, kind: u8) {
        self.half(toward).frames.kinds |= 1_u32.checked_shl(kind.into()).unwrap_or(0);
    }

    /// The headers of this side have changed.
    pub(super) fn renew(&mut self, toward: Toward) {
        self.half(toward).line = OnceCell::new();
        if toward == Toward::Client {
            return;
        }
        (self.uri, self.host) = (OnceCell::new(), OnceCell::new());
        let asked = self.path().and_then(|path| dns::of_path(&self.client.headers, path));
        if let Some(message) = asked.filter(|_| self.dns.of(toward).is_none()) {
            self.dns.hear(toward, message);
        }
        let authority = self.client.headers.first(b":authority");
        let host = self.client.headers.first(b"host");
        let mismatch = authority.zip(host).is_some_and(|(authority, host)| !authority.eq_ignore_ascii_case(host));
        let userinfo = authority.is_some_and(|authority| authority.contains(&b'@'));
        if mismatch {
            self.note(events::AUTHORITY_HOST_MISMATCH);
        }
        if userinfo {
            self.note(events::USERINFO_IN_URI);
        }
    }

    /// This side says nothing more.
    pub(super) fn end(&mut self, toward: Toward) {
        let half = self.half(toward);
        half.ended = true;
        half.body.end(false);
        let Half { headers, body, .. } = self.of(toward);
        if let Some(message) = dns::of_body(headers, body.data()) {
            self.dns.hear(toward, message);
        }
    }

    /// It is a question or an answer of DNS over HTTPS.
    pub(super) fn speaks_dns(&self) -> bool {
        !self.dns.is_empty()
    }

    /// Bytes of a body, before they are decoded. `room`: how many more may be kept; returns how many were.
    pub(super) fn append(&mut self, toward: Toward, bytes: &[u8], room: usize, context: &ParseContext<'_>) -> usize {
        if !self.of(toward).body.has_begun() {
            self.begin_body(toward, context);
        }
        let mut odd = false;
        let body = &mut self.half(toward).body;
        let before = body.data().len();
        body.limit(before.saturating_add(room));
        body.append(bytes, &mut |_| {}, &mut |_| odd = true);
        let kept = body.data().len().saturating_sub(before);
        let body_length = body.transferred();
        if odd {
            self.note(events::FAILED_DECOMPRESSION);
        }
        if let Some(event) = dns::too_long(toward, &self.of(toward).headers, body_length) {
            self.note(event);
        }
        kept
    }

    /// Bytes of a body that were never seen.
    pub(super) fn skip(&mut self, toward: Toward, missing: u64) {
        self.half(toward).body.skip(missing);
    }

    fn begin_body(&mut self, toward: Toward, context: &ParseContext<'_>) {
        let http = &context.limits.http;
        let headers = &self.of(toward).headers;
        let coding = headers.value(b"content-encoding").map(<[u8]>::to_ascii_lowercase);
        let codings = coding.map(|value| codings(&value, http.coding_layer_count_max, |_| {})).unwrap_or_default();
        let given = headers.value(b"content-disposition").and_then(|value| parameter(value, b"filename"));
        let path = Uri::of(self.path().unwrap_or_default()).path_form();
        let plan = Plan {
            codings: &codings,
            inspect_max: match toward {
                Toward::Server => http.request_body_bytes_max,
                Toward::Client => http.response_body_bytes_max,
            },
            inflated_max: context.limits.inflated_bytes_max,
            file_name: given.or(Some(path.as_slice())).filter(|name| !name.is_empty()),
            hashes: context.hashes,
        };
        let mut body = Body::default();
        body.begin(&plan);
        self.half(toward).body = body;
    }

    fn path(&self) -> Option<&[u8]> {
        self.client.headers.first(b":path")
    }

    fn authority(&self) -> Option<&[u8]> {
        let headers = &self.client.headers;
        headers.first(b":authority").or_else(|| headers.first(b"host"))
    }

    /// Without user and port.
    fn host(&self) -> Option<&[u8]> {
        let authority = self.authority()?;
        let host = self.host.get_or_init(|| normal_host(split_host(behind_user(authority)).0.unwrap_or_default()));
        present(host)
    }

    fn normal_uri(&self) -> Option<&[u8]> {
        let path = self.path()?;
        present(self.uri.get_or_init(|| Uri::of(path).normalised(self.form).0))
    }

    fn request_line(&self) -> Option<&[u8]> {
        let headers = &self.client.headers;
        let part = |name: &[u8]| headers.first(name).unwrap_or_default();
        let line = || [part(b":method"), b" ", part(b":path"), b" ", PROTOCOL, b"\r\n"].concat();
        (!headers.is_empty()).then(|| self.client.line.get_or_init(line).as_slice())
    }

    fn response_line(&self) -> Option<&[u8]> {
        let status = self.server.headers.last(b":status")?;
        Some(self.server.line.get_or_init(|| [PROTOCOL, b" ", status, b"\r\n"].concat()))
    }

    fn http_record(&self) -> AppRecord {
        AppRecord::Http(Box::new(self.told_of()))
    }

    fn told_of(&self) -> HttpRecord {
        let (request, response) = (&self.client.headers, &self.server.headers);
        let owned = |value: Option<&[u8]>| value.map(<[u8]>::to_vec);
        let number = |value: Option<&[u8]>| std::str::from_utf8(value?).ok()?.trim().parse::<u64>().ok();
        let authority = self.authority().map(behind_user);
        HttpRecord {
            hostname: owned(self.host()),
            port: authority.and_then(|authority| split_host(authority).1).and_then(port_number),
            url: owned(self.path()),
            user_agent: owned(request.value(b"user-agent")),
            forwarded_for: owned(request.value(b"x-forwarded-for")),
            content_type: owned(response.first(b"content-type").and_then(|value| value.split(|byte| *byte == b';').next())),
            content_range: owned(response.first(b"content-range")),
            referer: owned(request.value(b"referer")),
            method: owned(request.first(b":method")),
            protocol: None,
            status: number(response.last(b":status")).and_then(|status| u16::try_from(status).ok()),
            status_text: None,
            redirect: owned(response.first(b"location")),
            length: number(response.first(b"content-length")).unwrap_or(self.server.body.transferred()),
            http2: Some(Box::new(Http2Record {
                stream: self.number,
                request: self.client.told_of(),
                response: self.server.told_of(),
            })),
        }
    }

    fn take_file(&mut self) -> Option<AppRecord> {
        let bodies = [(Toward::Server, &mut self.client.body), (Toward::Client, &mut self.server.body)];
        let told = bodies.into_iter().find_map(|(toward, body)| Some((toward, body.file_mut()?.take_record()?)));
        let (toward, file) = told?;
        Some(AppRecord::File(Box::new(FileAccount { file, toward, of: Some(self.http_record()) })))
    }

    /// What Suricata tells of: streams with headers, and frames with settings, errors or priorities.
    fn is_worth_telling(&self) -> bool {
        [&self.client, &self.server].into_iter().any(|half| {
            let Frames { errors, priorities, settings, .. } = &half.frames;
            !(half.headers.is_empty() && errors.is_empty() && priorities.is_empty() && settings.is_empty())
        })
    }

    pub(super) fn body_bytes(&self) -> usize {
        self.client.body.data().len() + self.server.body.data().len()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let of_uri = self.uri.get().map_or(0, Vec::capacity) + self.host.get().map_or(0, Vec::capacity);
        self.client.heap_bytes() + self.server.heap_bytes() + self.dns.heap_bytes() + of_uri
    }
}

impl Half {
    fn told_of(&self) -> Http2Half {
        let Frames { errors, priorities, settings, size_updates, .. } = &self.frames;
        let has_multiple = match (errors.len(), priorities.len()) {
            (2.., _) => Some("error_code"),
            (_, 2..) => Some("priority"),
            _ => None,
        };
        Http2Half {
            headers: self.headers.shared(),
            size_updates: size_updates.clone(),
            settings: settings.clone(),
            error_code: errors.first().copied(),
            priority: priorities.first().copied(),
            has_multiple,
        }
    }

    fn number_holds(&self, field: Field, holds: impl Fn(u64) -> bool) -> bool {
        let frames = &self.frames;
        match field {
            Field::Http2Priority => frames.priorities.iter().any(|number| holds((*number).into())),
            Field::Http2Window => frames.windows.iter().any(|number| holds((*number).into())),
            Field::Http2SizeUpdate => frames.size_updates.iter().any(|number| holds((*number).into())),
            _ => false,
        }
    }

    fn passes(&self, test: &Http2Test) -> bool {
        let Frames { kinds, errors, settings, .. } = &self.frames;
        match test {
            Http2Test::FrameType(kind) => 1_u32.checked_shl((*kind).into()).is_some_and(|bit| kinds & bit != 0),
            Http2Test::ErrorCode { code, negated } => errors.iter().any(|error| (error == code) != *negated),
            Http2Test::Setting { number, test } => settings.iter().any(|(known, value)| {
                known == number && test.as_ref().is_none_or(|test| test.accepts((*value).into()))
            }),
        }
    }

    fn heap_bytes(&self) -> usize {
        let Frames { errors, priorities, windows, settings, size_updates, .. } = &self.frames;
        let numbers = errors.capacity() + windows.capacity() + settings.capacity() * 2 + size_updates.capacity();
        let line = self.line.get().map_or(0, Vec::capacity);
        self.headers.heap_bytes() + self.body.heap_bytes() + numbers * 4 + priorities.capacity() + line
    }
}

/// What follows `user:password@`.
fn behind_user(authority: &[u8]) -> &[u8] {
    let at = memchr::memrchr(b'@', authority).map_or(0, |at| at + 1);
    authority.get(at..).unwrap_or_default()
}

fn present(bytes: &[u8]) -> Option<&[u8]> {
    Some(bytes).filter(|bytes| !bytes.is_empty())
}

impl Transaction for Stream {
    fn buffer(&self, buffer: Buffer, toward: Toward, nth: usize) -> Option<&[u8]> {
        let half = self.of(toward);
        match buffer {
            Buffer::DNS_QUERY
            | Buffer::DNS_QUERY_NAME
            | Buffer::DNS_ANSWER_NAME
            | Buffer::DNS_AUTHORITY_NAME
            | Buffer::DNS_ADDITIONAL_NAME => return buffer_of(self.dns.of(toward)?, buffer, nth),
            Buffer::HTTP2_HEADER_NAME => return half.headers.name(nth),
            Buffer::HTTP2_HEADER => return half.headers.escaped(nth),
            Buffer::HTTP_REQUEST_HEADER if toward == Toward::Server => return half.headers.each(nth),
            Buffer::HTTP_RESPONSE_HEADER if toward == Toward::Client => return half.headers.each(nth),
            _ if nth > 0 => return None,
            Buffer::FILE_DATA => return present(half.body.data()),
            Buffer::FILE_NAME => return half.body.file().map(File::name).filter(|name| !name.is_empty()),
            Buffer::HTTP_HEADER_RAW => return half.headers.raw_lines(),
            Buffer::HTTP_HEADER_NAMES => return half.headers.names(),
            Buffer::HTTP_CONNECTION => return half.headers.value(b"connection"),
            Buffer::HTTP_CONTENT_LEN => return half.headers.value(b"content-length"),
            Buffer::HTTP_CONTENT_TYPE => return half.headers.value(b"content-type"),
            Buffer::HTTP_PROTOCOL => return (!half.headers.is_empty()).then_some(PROTOCOL),
            _ => {}
        }
        match toward {
            Toward::Server => self.request_buffer(buffer),
            Toward::Client => self.response_buffer(buffer),
        }
    }

    fn accepts(&self, test: &AppTest, toward: Toward) -> bool {
        let half = self.of(toward);
        match test {
            AppTest::File(tests) => half.body.file().is_some_and(|file| file.accepts(tests)),
            AppTest::Number { field: Field::DnsOpcode | Field::DnsRcode | Field::DnsRrtype, .. } => {
                self.dns.of(toward).is_some_and(|message| dns_accepts(message, test))
            }
            AppTest::Number { field, test } => half.number_holds(*field, |number| test.accepts(number)),
            AppTest::Http2(test) => half.passes(test),
            _ => false,
        }
    }

    fn events(&self) -> &[&'static str] {
        &self.events
    }

    fn is_done(&self, toward: Toward) -> bool {
        self.closed || self.of(toward).ended
    }

    fn record(&self) -> Option<AppRecord> {
        Some(self.http_record())
    }

    fn take_record(&mut self, ended: bool) -> Option<AppRecord> {
        let over = self.closed || (self.client.ended && self.server.ended);
        if ended || over {
            let (client, server) = (self.client.ended, self.server.ended);
            self.client.body.end(!client);
            self.server.body.end(!server);
        }
        if let Some(file) = self.take_file() {
            return Some(file);
        }
        if let Some(record) = self.dns.take_record() {
            return Some(record);
        }
        if !(ended || over) || std::mem::replace(&mut self.told, true) || !self.is_worth_telling() {
            return None;
        }
        Some(self.http_record())
    }
}

impl Stream {
    fn request_buffer(&self, buffer: Buffer) -> Option<&[u8]> {
        let Half { headers, body, .. } = &self.client;
        match buffer {
            Buffer::HTTP_URI => self.normal_uri(),
            Buffer::HTTP_URI_RAW => self.path(),
            Buffer::HTTP_METHOD => headers.first(b":method"),
            Buffer::HTTP_HOST => self.host(),
            Buffer::HTTP_HOST_RAW => self.authority(),
            Buffer::HTTP_REQUEST_BODY => present(body.data()),
            Buffer::HTTP_REQUEST_LINE => self.request_line(),
            Buffer::HTTP_HEADER => headers.lines(b"cookie"),
            Buffer::HTTP_COOKIE => headers.value(b"cookie"),
            Buffer::HTTP_USER_AGENT => headers.value(b"user-agent"),
            Buffer::HTTP_ACCEPT => headers.value(b"accept"),
            Buffer::HTTP_ACCEPT_ENC => headers.value(b"accept-encoding"),
            Buffer::HTTP_ACCEPT_LANG => headers.value(b"accept-language"),
            Buffer::HTTP_REFERER => headers.value(b"referer"),
            _ => None,
        }
    }

    fn response_buffer(&self, buffer: Buffer) -> Option<&[u8]> {
        let Half { headers, body, .. } = &self.server;
        match buffer {
            Buffer::HTTP_RESPONSE_BODY => present(body.data()),
            Buffer::HTTP_STAT_CODE => headers.last(b":status"),
            Buffer::HTTP_RESPONSE_LINE => self.response_line(),
            Buffer::HTTP_HEADER => headers.lines(b"set-cookie"),
            Buffer::HTTP_COOKIE => headers.value(b"set-cookie"),
            Buffer::HTTP_LOCATION => headers.value(b"location"),
            Buffer::HTTP_SERVER => headers.value(b"server"),
            _ => None,
        }
    }
}

/// Frames that may come when a stream is over.
pub(super) fn may_come_late(frame: u8) -> bool {
    matches!(frame, kind::RST_STREAM | kind::WINDOW_UPDATE | kind::PRIORITY)
}
