//! As much HTTP/1.1 as both ends of the lab need: requests as data, messages out of a byte stream, a body that shows
//! each byte that was lost or changed.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::LazyLock;

/// A message head and body together may not be larger.
const MESSAGE_BYTES_MAX: usize = 32 << 20;

/// A request as a case lists it.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    pub method: &'static str,
    pub target: &'static str,
    /// One more header line, or nothing.
    pub header: &'static str,
    pub body: &'static str,
}

impl Request {
    #[must_use]
    pub const fn get(target: &'static str) -> Request {
        Request { method: "GET", target, header: "", body: "" }
    }

    #[must_use]
    pub const fn post(target: &'static str, body: &'static str) -> Request {
        Request { method: "POST", target, header: "", body }
    }

    #[must_use]
    pub const fn with(self, header: &'static str) -> Request {
        Request { header, ..self }
    }

    /// The bytes on the wire.
    #[must_use]
    pub fn render(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\nHost: shop.lab.test\r\n", self.method, self.target);
        if !self.header.to_ascii_lowercase().starts_with("user-agent:") {
            text += "User-Agent: tidegate-lab/1.0\r\n";
        }
        if !self.header.is_empty() {
            text += &format!("{}\r\n", self.header);
        }
        if !self.body.is_empty() {
            let length = self.body.len();
            text += &format!("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n");
        }
        text += "\r\n";
        text += self.body;
        text.into_bytes()
    }
}

/// One request or response.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    pub start_line: String,
    pub body: Vec<u8>,
}

impl Message {
    /// Of a response.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.start_line.split(' ').nth(1)?.parse().ok()
    }

    /// Of a request.
    #[must_use]
    pub fn target(&self) -> &str {
        self.start_line.split(' ').nth(1).unwrap_or("/")
    }
}

/// Messages out of what a stream delivers.
#[derive(Debug, Default)]
pub struct Messages {
    buffer: Vec<u8>,
    received_bytes: u64,
}

impl Messages {
    #[must_use]
    pub fn received_bytes(&self) -> u64 {
        self.received_bytes
    }

    /// Reads once. 0 means that the other side has closed.
    pub fn fill(&mut self, mut stream: &TcpStream) -> io::Result<usize> {
        let mut chunk = [0; 16384];
        let count = stream.read(&mut chunk)?;
        self.buffer.extend_from_slice(chunk.get(..count).unwrap_or_default());
        self.received_bytes = self.received_bytes.saturating_add(count as u64);
        if self.buffer.len() > MESSAGE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "HTTP message too large"));
        }
        Ok(count)
    }

    /// The next message, once it is complete.
    pub fn take(&mut self) -> Option<Message> {
        let head_len = memchr::memmem::find(&self.buffer, b"\r\n\r\n")?.checked_add(4)?;
        let head = String::from_utf8_lossy(self.buffer.get(..head_len)?).into_owned();
        let message_len = head_len.checked_add(content_length(&head))?;
        if self.buffer.len() < message_len {
            return None;
        }
        let rest = self.buffer.split_off(message_len);
        let body = self.buffer.split_off(head_len);
        self.buffer = rest;
        Some(Message { start_line: head.lines().next().unwrap_or_default().to_owned(), body })
    }

    /// Reads until a message is complete; an error when the stream ends or times out before.
    pub fn wait(&mut self, stream: &TcpStream) -> io::Result<Message> {
        loop {
            if let Some(message) = self.take() {
                return Ok(message);
            }
            if self.fill(stream)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

fn content_length(head: &str) -> usize {
    let value = head.lines().filter_map(|line| line.split_once(':')).find(|(name, _)| {
        name.eq_ignore_ascii_case("content-length") // the only framing that both ends use
    });
    value.and_then(|(_, value)| value.trim().parse().ok()).unwrap_or(0)
}

/// Sends a response with `body`.
pub fn respond(mut stream: &TcpStream, body: &[u8]) -> io::Result<()> {
    let mut bytes = head(body.len()).into_bytes();
    bytes.extend_from_slice(body);
    stream.write_all(&bytes)
}

/// Sends a response whose body is the first `count` bytes of the [`pattern`].
pub fn respond_with_pattern(mut stream: &TcpStream, mut count: usize) -> io::Result<()> {
    stream.write_all(head(count).as_bytes())?;
    while count > 0 {
        let piece = PATTERN.get(..count).unwrap_or(&PATTERN);
        stream.write_all(piece)?;
        count = count.saturating_sub(piece.len());
    }
    Ok(())
}

/// Whether `body` is what [`respond_with_pattern`] sends, byte by byte.
#[must_use]
pub fn is_pattern(body: &[u8]) -> bool {
    body.chunks(PATTERN.len()).all(|piece| PATTERN.get(..piece.len()) == Some(piece))
}

fn head(length: usize) -> String {
    format!("HTTP/1.1 200 OK\r\nServer: tidegate-lab\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n")
}

/// Pseudo-random bytes (xorshift64*). The length is prime, so that a lost segment never goes unseen.
static PATTERN: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let byte = || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 56) as u8
    };
    std::iter::repeat_with(byte).take(65_521).collect()
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_of_any_segmentation() {
        let mut wire = Request::post("/login", "user=ada").with("X-Lab: 1").render();
        wire.extend(Request::get("/").render());
        for cut in 0..wire.len() {
            let mut messages = Messages::default();
            let mut taken = Vec::new();
            for piece in [&wire[..cut], &wire[cut..]] {
                messages.buffer.extend_from_slice(piece);
                taken.extend(std::iter::from_fn(|| messages.take()));
            }
            let seen: Vec<_> = taken.iter().map(|message| (message.target(), message.body.as_slice())).collect();
            assert_eq!(seen, [("/login", &b"user=ada"[..]), ("/", b"")], "cut at {cut}");
        }
    }

    #[test]
    fn a_request_has_one_user_agent() {
        let text = String::from_utf8(Request::get("/").with("User-Agent: curl/8").render()).unwrap();
        assert_eq!(text.matches("User-Agent").count(), 1);
        assert!(text.ends_with("User-Agent: curl/8\r\n\r\n"));
    }

    #[test]
    fn a_lost_or_changed_byte_is_seen() {
        let mut body = PATTERN.repeat(2);
        assert!(is_pattern(&body));
        body.remove(70_000);
        assert!(!is_pattern(&body));
        assert!(!is_pattern(b"\0\0"));
    }
}
