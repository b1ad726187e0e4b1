//! The same request said in other words. Each is sent in segments of seven bytes, and in super-packets; it has arrived
//! when all of it has.

pub struct Words {
    pub name: &'static str,
    /// For the page.
    pub what: &'static str,
    pub text: fn() -> Vec<u8>,
    /// It does get through, and why.
    pub open: Option<&'static str>,
}

const fn words(name: &'static str, what: &'static str, text: fn() -> Vec<u8>) -> Words {
    Words { name, what, text, open: None }
}

fn get(uri: &str) -> Vec<u8> {
    format!("GET {uri} HTTP/1.1\r\nHost: victim.example\r\n\r\n").into_bytes()
}

fn post(headers: &str, body: &str) -> Vec<u8> {
    format!("POST /upload HTTP/1.1\r\nHost: victim.example\r\n{headers}\r\n{body}").into_bytes()
}

const BODY: &str = "file=/etc/passwd&ok=1";

fn chunked(size: usize, extension: &str) -> String {
    let chunks = BODY.as_bytes().chunks(size).map(|part| {
        let part = std::str::from_utf8(part).unwrap();
        format!("{:x}{extension}\r\n{part}\r\n", part.len())
    });
    chunks.chain(["0\r\n\r\n".to_owned()]).collect()
}

pub static WORDS: &[Words] = &[
    words("plain", "the request as it is", || get("/a/etc/passwd")),
    words("percent", "slashes in percent encoding", || get("/a%2fetc%2Fpasswd")),
    words("percent-letters", "letters in percent encoding", || get("/a/%65t%63/pa%73swd")),
    words("all-percent", "everything in percent encoding", || {
        let encoded: String = "/a/etc/passwd".bytes().map(|byte| format!("%{byte:02x}")).collect();
        get(&format!("/{encoded}"))
    }),
    words("self", "`/./` in the path", || get("/a/./etc/././passwd")),
    words("parent", "a folder and its parent in the path", || get("/a/etc/x/../passwd")),
    words("slashes", "several slashes in a row", || get("/a//etc///passwd")),
    words("absolute", "an absolute URI", || get("http://victim.example/a/etc/passwd")),
    words("backslash", "a backslash for a slash, as IIS takes it", || get("/a/etc\\passwd")),
    words("upper", "upper case, for servers that do not care", || get("/a/ETC/PASSWD")),
    words("query", "in the query", || get("/a?file=/etc/passwd")),
    words("query-percent", "in the query, in percent encoding", || get("/a?file=%2fetc%2fpass%77d")),
    words("tab", "tabs for blanks in the request line", || b"GET\t/a/etc/passwd\tHTTP/1.1\r\nHost: v\r\n\r\n".to_vec()),
    words("blanks", "several blanks in the request line", || {
        b"GET    /a/etc/passwd    HTTP/1.1\r\nHost: v\r\n\r\n".to_vec()
    }),
    words("empty-lines", "empty lines in front of the request", || {
        [b"\r\n\r\n".to_vec(), get("/a/etc/passwd")].concat()
    }),
    words("line-feeds", "lines end in a line feed alone", || b"GET /a/etc/passwd HTTP/1.1\nHost: v\n\n".to_vec()),
    words("http10", "HTTP/1.0", || b"GET /a/etc/passwd HTTP/1.0\r\n\r\n".to_vec()),
    words("http09", "HTTP/0.9, which has no version", || b"GET /a/etc/passwd\r\n".to_vec()),
    words("method", "a method that is less common", || b"PROPFIND /a/etc/passwd HTTP/1.1\r\nHost: v\r\n\r\n".to_vec()),
    words("pipelined", "the third of three requests at once", || {
        [get("/"), get("/index.html"), get("/a/etc/passwd")].concat()
    }),
    words("long-head", "6,000 bytes of headers, then a second request", || {
        let first = format!("GET / HTTP/1.1\r\nHost: v\r\nX-Long: {}\r\n\r\n", "x".repeat(6000));
        [first.into_bytes(), get("/a/etc/passwd")].concat()
    }),
    words("body", "in the body", || post(&format!("Content-Length: {}\r\n", BODY.len()), BODY)),
    words("chunked", "in a body of chunks of one byte", || post("Transfer-Encoding: chunked\r\n", &chunked(1, ""))),
    words("chunk-extensions", "in a body of chunks with extensions", || {
        post("Transfer-Encoding: chunked\r\n", &chunked(3, ";name=value"))
    }),
    words("chunk-zeros", "chunk sizes with zeros in front", || {
        post("Transfer-Encoding: chunked\r\n", &format!("{:08X}\r\n{BODY}\r\n0\r\n\r\n", BODY.len()))
    }),
    words("chunked-case", "`transfer-encoding: CHUNKED`", || post("transfer-encoding: CHUNKED\r\n", &chunked(2, ""))),
    words("chunked-tab", "`Transfer-Encoding:` with a tab", || {
        post("Transfer-Encoding:\tchunked\r\n", &chunked(2, ""))
    }),
    words("chunked-and-length", "both chunked and a length that is wrong", || {
        post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", &chunked(2, ""))
    }),
    words("folded", "the header that says chunked is folded", || {
        post("Transfer-Encoding:\r\n chunked\r\n", &chunked(2, ""))
    }),
    words("length-twice", "two lengths, the second one right", || {
        post(&format!("Content-Length: 1\r\nContent-Length: {}\r\n", BODY.len()), BODY)
    }),
    words("many-empty-lines", "2,500 empty lines in front of the request", || {
        [b"\r\n".repeat(2500), get("/a/etc/passwd")].concat()
    }),
    words("unknown-method", "a method that nobody has heard of, as most servers take it", || {
        b"FOO /a/etc/passwd HTTP/1.1\r\nHost: v\r\n\r\n".to_vec()
    }),
    words("unknown-method-long", "the same behind empty lines, with a path of 3,000 bytes", || {
        format!("{}FOO /{}/etc/passwd HTTP/1.1\r\nHost: v\r\n\r\n", "\r\n".repeat(500), "a".repeat(3000)).into_bytes()
    }),
    words("unknown-method-second", "the same behind another request", || {
        [get("/"), b"FOO /a/etc/passwd HTTP/1.1\r\nHost: v\r\n\r\n".to_vec()].concat()
    }),
    words("behind-connect", "behind a CONNECT, which the server refuses", || {
        [b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), get("/a/etc/passwd")].concat()
    }),
    words("many-headers", "behind a request of 1,100 headers", || {
        let headers: String = (0..1100).map(|nth| format!("x{nth}:\r\n")).collect();
        [format!("GET / HTTP/1.1\r\n{headers}\r\n").into_bytes(), get("/a/etc/passwd")].concat()
    }),
    words("huge-head", "behind a request of 100,000 bytes of headers, the last of which is its length", || {
        let headers: String = (0..100).map(|nth| format!("x{nth}: {}\r\n", "x".repeat(1000))).collect();
        let body = "GET / HTTP/1.1\r\nContent-Length: 500\r\n\r\n";
        let first = format!("POST / HTTP/1.1\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len());
        [first.into_bytes(), get("/a/etc/passwd")].concat()
    }),
    words("header-behind-many", "in a header behind 300 others", || {
        let headers: String = (0..300).map(|nth| format!("x{nth}: y\r\n")).collect();
        format!("GET / HTTP/1.1\r\nHost: v\r\n{headers}X-Evil: /etc/passwd\r\n\r\n").into_bytes()
    }),
    words("crowd", "in front of 600 other requests", || [get("/a/etc/passwd"), get("/").repeat(600)].concat()),
    Words {
        name: "double-percent",
        what: "percent encoding of percent encoding",
        text: || get("/a%252fetc%252fpasswd"),
        open: Some("a server that follows the standard decodes once, and so do we"),
    },
];
