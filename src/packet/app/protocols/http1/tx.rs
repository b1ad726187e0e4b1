//! A request with its response, as rules and outputs see it.

use std::cell::OnceCell;

use super::body::Body;
use super::head::Head;
use super::line::{RequestLine, StatusLine};
use super::multipart::Multipart;
use super::record::HttpRecord;
use super::uri::{Uri, UriForm, split_host};
use crate::packet::app::file::File;
use crate::packet::app::record::FileAccount;
use crate::packet::app::{AppRecord, Transaction};
use crate::rules::app::AppTest;
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::Toward;

/// What stands in place of the URI where only the response was seen, as Suricata has it.
const UNSEEN_URI: &[u8] = b"/libhtp::request_uri_not_seen";
/// Oddities of one transaction; each is noted once.
const EVENT_COUNT_MAX: usize = 64;

/// One transaction.
#[derive(Debug, Default)]
pub struct HttpTx {
    pub(super) request: Request,
    pub(super) response: Response,
    events: Vec<&'static str>,
    told: bool,
}

#[derive(Debug, Default)]
pub(super) struct Request {
    /// Its first line was.
    pub seen: bool,
    /// So was the rest of its head.
    pub whole_head: bool,
    /// It broke off inside of its head: more of it might have named another host.
    pub broke_off: bool,
    pub done: bool,
    /// A line without a protocol, and nothing behind it.
    pub is_0_9: bool,
    pub head: Head,
    pub line: RequestLine,
    /// The host of the URI or of the Host header, in one form.
    pub host: Option<Box<[u8]>>,
    pub port: Option<u16>,
    pub form: UriForm,
    pub body: Body,
    pub multipart: Option<Box<Multipart>>,
    uri: OnceCell<Box<[u8]>>,
    shown: Shown,
}

#[derive(Debug, Default)]
pub(super) struct Response {
    pub seen: bool,
    pub done: bool,
    pub seen_continue: bool,
    pub head: Head,
    pub line: StatusLine,
    pub body: Body,
    shown: Shown,
}

/// Forms of the headers that only some rules want; made when the first asks.
#[derive(Debug, Default)]
struct Shown(OnceCell<Box<Forms>>);

#[derive(Debug, Default)]
struct Forms {
    headers: OnceCell<Vec<u8>>,
    names: OnceCell<Vec<u8>>,
    start: OnceCell<Vec<u8>>,
    each: OnceCell<Vec<Vec<u8>>>,
}

impl Request {
    pub(super) fn of(head: Head, line: RequestLine, form: UriForm) -> Request {
        Request { seen: true, whole_head: true, head, line, form, ..Request::default() }
    }
}

impl HttpTx {
    /// Only the response was seen, or is seen first.
    pub(super) fn unasked() -> HttpTx {
        HttpTx { request: Request { done: true, ..Request::default() }, ..HttpTx::default() }
    }

    pub(super) fn note(&mut self, event: &'static str) {
        if self.events.len() < EVENT_COUNT_MAX && !self.events.contains(&event) {
            self.events.push(event);
        }
    }

    pub(super) fn method(&self) -> Option<&[u8]> {
        Some(self.request.head.at(self.request.line.method)).filter(|method| !method.is_empty())
    }

    /// The URI as sent.
    pub(super) fn raw_uri(&self) -> Option<&[u8]> {
        match self.request.seen {
            true => self.request.line.uri.map(|uri| self.request.head.at(uri)),
            false => Some(UNSEEN_URI),
        }
    }

    /// The URI taken apart.
    pub(super) fn uri(&self) -> Uri<'_> {
        let raw = self.raw_uri().unwrap_or_default();
        match self.method() {
            Some(b"CONNECT") => Uri::of_authority(raw),
            _ => Uri::of(raw),
        }
    }

    /// The URI in the form that rules are written for.
    fn normal_uri(&self) -> Option<&[u8]> {
        if !self.request.seen || self.request.line.uri.is_none() {
            return None;
        }
        let form = self.request.uri.get_or_init(|| self.uri().normalised(self.request.form).0.into());
        Some(&**form).filter(|form| !form.is_empty())
    }

    /// The host as EVE tells it: the Host header's in the letters that were sent. Of a head that broke off it tells none,
    /// as Suricata.
    pub(super) fn told_host(&self) -> Option<&[u8]> {
        if self.request.broke_off {
            return None;
        }
        let host = self.request.host.as_deref()?;
        match self.uri().host {
            Some(_) => Some(host),
            None => split_host(self.request.head.value(b"host")?).0,
        }
    }

    fn raw_host(&self) -> Option<&[u8]> {
        self.uri().host.filter(|_| self.request.seen).or_else(|| self.request.head.value(b"host"))
    }

    fn files(&self, toward: Toward) -> impl Iterator<Item = &File> {
        let (parts, body) = match (toward, &self.request.multipart) {
            (Toward::Server, Some(multipart)) => (multipart.files(), None),
            (Toward::Server, None) => (&[][..], self.request.body.file()),
            (Toward::Client, _) => (&[][..], self.response.body.file()),
        };
        parts.iter().chain(body)
    }

    fn take_file(&mut self) -> Option<AppRecord> {
        let parts = self.request.multipart.iter_mut().flat_map(|multipart| multipart.files_mut());
        let bodies = [(Toward::Server, &mut self.request.body), (Toward::Client, &mut self.response.body)];
        let of_bodies = bodies.into_iter().filter_map(|(toward, body)| Some((toward, body.file_mut()?)));
        let files = parts.map(|file| (Toward::Server, file)).chain(of_bodies);
        let told = { files }.find_map(|(toward, file)| Some((toward, file.take_record()?)));
        let (toward, file) = told?;
        Some(AppRecord::File(Box::new(FileAccount { file, toward, of: Some(self.http_record()) })))
    }

    fn http_record(&self) -> AppRecord {
        AppRecord::Http(Box::new(HttpRecord::of(self)))
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let parts = self.request.multipart.as_ref().map_or(0, |multipart| multipart.heap_bytes());
        let heads = self.request.head.heap_bytes() + self.response.head.heap_bytes();
        size_of::<HttpTx>() + parts + heads + self.request.body.heap_bytes() + self.response.body.heap_bytes()
    }
}

impl Transaction for HttpTx {
    fn buffer(&self, buffer: Buffer, toward: Toward, nth: usize) -> Option<&[u8]> {
        match buffer {
            Buffer::FILE_DATA => return self.file_data(toward, nth),
            Buffer::FILE_MAGIC => return self.files(toward).nth(nth).and_then(File::magic),
            Buffer::FILE_NAME => return self.file_name(toward, nth),
            Buffer::HTTP_REQUEST_HEADER if !self.request.whole_head => return None,
            Buffer::HTTP_REQUEST_HEADER => {
                return self.request.shown.each(&self.request.head).get(nth).map(Vec::as_slice);
            }
            Buffer::HTTP_RESPONSE_HEADER => {
                return self.response.shown.each(&self.response.head).get(nth).map(Vec::as_slice);
            }
            _ if nth > 0 => return None,
            _ => {}
        }
        match toward {
            Toward::Server => self.request_buffer(buffer),
            Toward::Client => self.response_buffer(buffer),
        }
    }

    fn accepts(&self, test: &AppTest, toward: Toward) -> bool {
        match test {
            AppTest::File(tests) => self.files(toward).any(|file| file.accepts(tests)),
            _ => false,
        }
    }

    fn has_all_of(&self, buffer: Buffer, toward: Toward) -> bool {
        let head = match toward {
            Toward::Server => self.request.whole_head,
            Toward::Client => self.response.seen,
        };
        self.is_done(toward) || head && !buffer.info().growing && !matches!(buffer, Buffer::FILE_NAME | Buffer::FILE_MAGIC)
    }

    fn each_file(&mut self, visit: &mut dyn FnMut(Toward, &mut File)) {
        let parts = self.request.multipart.iter_mut().flat_map(|multipart| multipart.files_mut());
        parts.for_each(|file| visit(Toward::Server, file));
        for (toward, body) in [(Toward::Server, &mut self.request.body), (Toward::Client, &mut self.response.body)] {
            if let Some(file) = body.file_mut() {
                visit(toward, file);
            }
        }
    }

    fn events(&self) -> &[&'static str] {
        &self.events
    }

    fn is_done(&self, toward: Toward) -> bool {
        match toward {
            Toward::Server => self.request.done,
            Toward::Client => self.response.done,
        }
    }

    fn record(&self) -> Option<AppRecord> {
        Some(self.http_record())
    }

    fn take_record(&mut self, ended: bool) -> Option<AppRecord> {
        if ended {
            self.request.body.end(!self.request.done);
            self.response.body.end(!self.response.done);
        }
        if let Some(file) = self.take_file() {
            return Some(file);
        }
        let due = ended || (self.request.done && self.response.done);
        if !due || std::mem::replace(&mut self.told, true) {
            return None;
        }
        Some(self.http_record())
    }
}

impl HttpTx {
    fn request_buffer(&self, buffer: Buffer) -> Option<&[u8]> {
        let Request { seen, whole_head, head, line, host, body, shown, .. } = &self.request;
        if !seen {
            return None;
        }
        let value = |name: &[u8]| head.value(name);
        match buffer {
            Buffer::HTTP_URI => self.normal_uri(),
            Buffer::HTTP_URI_RAW => self.raw_uri(),
            Buffer::HTTP_METHOD => self.method(),
            Buffer::HTTP_REQUEST_LINE => present(head.line()),
            Buffer::HTTP_PROTOCOL => line.protocol.map(|protocol| head.at(protocol)),
            _ if !whole_head => None,
            Buffer::HTTP_HOST => host.as_deref(),
            Buffer::HTTP_HOST_RAW => self.raw_host(),
            Buffer::HTTP_REQUEST_BODY => present(body.data()),
            Buffer::HTTP_HEADER => shown.headers(head, b"cookie"),
            Buffer::HTTP_HEADER_RAW => present(head.raw_headers()),
            Buffer::HTTP_HEADER_NAMES => shown.names(head),
            Buffer::HTTP_START => shown.start(head),
            Buffer::HTTP_COOKIE => value(b"cookie"),
            Buffer::HTTP_USER_AGENT => value(b"user-agent"),
            Buffer::HTTP_ACCEPT => value(b"accept"),
            Buffer::HTTP_ACCEPT_ENC => value(b"accept-encoding"),
            Buffer::HTTP_ACCEPT_LANG => value(b"accept-language"),
            Buffer::HTTP_REFERER => value(b"referer"),
            _ => shared_buffer(head, buffer),
        }
    }

    fn response_buffer(&self, buffer: Buffer) -> Option<&[u8]> {
        let Response { head, line, body, shown, .. } = &self.response;
        match buffer {
            Buffer::HTTP_RESPONSE_BODY => present(body.data()),
            Buffer::HTTP_STAT_CODE => line.code.map(|code| head.at(code)),
            Buffer::HTTP_STAT_MSG => line.message.map(|message| head.at(message)),
            Buffer::HTTP_HEADER => shown.headers(head, b"set-cookie"),
            Buffer::HTTP_HEADER_RAW => present(head.raw_headers()),
            Buffer::HTTP_HEADER_NAMES => shown.names(head),
            Buffer::HTTP_START => shown.start(head),
            Buffer::HTTP_RESPONSE_LINE => present(head.line()),
            Buffer::HTTP_PROTOCOL => line.protocol.map(|protocol| head.at(protocol)),
            Buffer::HTTP_COOKIE => head.value(b"set-cookie"),
            Buffer::HTTP_LOCATION => head.value(b"location"),
            Buffer::HTTP_SERVER => head.value(b"server"),
            _ => shared_buffer(head, buffer),
        }
    }

    /// Of the body, or of each file of a form that has one.
    fn file_name(&self, toward: Toward, nth: usize) -> Option<&[u8]> {
        match (toward, &self.request.multipart) {
            (Toward::Server, Some(multipart)) => multipart.name(nth),
            _ => self.files(toward).nth(nth).map(File::name).and_then(present),
        }
    }

    /// The body, or each file of a form that is not empty.
    fn file_data(&self, toward: Toward, nth: usize) -> Option<&[u8]> {
        match (toward, &self.request.multipart) {
            (Toward::Server, Some(multipart)) => multipart.filled(nth).map(File::data),
            (Toward::Server, None) => present(self.request.body.data()).filter(|_| nth == 0),
            (Toward::Client, _) => present(self.response.body.data()).filter(|_| nth == 0),
        }
    }
}

fn shared_buffer(head: &Head, buffer: Buffer) -> Option<&[u8]> {
    match buffer {
        Buffer::HTTP_CONNECTION => head.value(b"connection"),
        Buffer::HTTP_CONTENT_LEN => head.value(b"content-length"),
        Buffer::HTTP_CONTENT_TYPE => head.value(b"content-type"),
        _ => None,
    }
}

fn present(bytes: &[u8]) -> Option<&[u8]> {
    Some(bytes).filter(|bytes| !bytes.is_empty())
}

impl Shown {
    fn forms(&self) -> &Forms {
        self.0.get_or_init(Box::default)
    }

    /// `Name: value` lines, without the cookies, which have their own buffer.
    fn headers(&self, head: &Head, cookie: &[u8]) -> Option<&[u8]> {
        present(self.forms().headers.get_or_init(|| {
            let mut lines = Vec::with_capacity(head.raw_headers().len());
            for (name, value) in head.fields().filter(|(name, _)| !name.eq_ignore_ascii_case(cookie)) {
                push_line(&mut lines, name, value);
            }
            lines
        }))
    }

    /// CRLF, each name with CRLF, CRLF.
    fn names(&self, head: &Head) -> Option<&[u8]> {
        present(self.forms().names.get_or_init(|| {
            let mut names = Vec::new();
            if head.field_count() > 0 {
                names.extend_from_slice(b"\r\n");
                for (name, _) in head.fields() {
                    names.extend_from_slice(name);
                    names.extend_from_slice(b"\r\n");
                }
                names.extend_from_slice(b"\r\n");
            }
            names
        }))
    }

    /// The first line, all headers, an empty line.
    fn start(&self, head: &Head) -> Option<&[u8]> {
        present(self.forms().start.get_or_init(|| {
            let mut start = Vec::new();
            if head.field_count() > 0 {
                start.extend_from_slice(head.line());
                start.extend_from_slice(b"\r\n");
                for (name, value) in head.fields() {
                    push_line(&mut start, name, value);
                }
                start.extend_from_slice(b"\r\n");
            }
            start
        }))
    }

    fn each(&self, head: &Head) -> &[Vec<u8>] {
        self.forms().each.get_or_init(|| head.fields().map(|(name, value)| [name, b": ", value].concat()).collect())
    }
}

fn push_line(lines: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    lines.extend_from_slice(name);
    lines.extend_from_slice(b": ");
    lines.extend_from_slice(value);
    lines.extend_from_slice(b"\r\n");
}
