//! What EVE tells of a transaction.

use super::tx::HttpTx;
use crate::packet::app::protocols::http2::record::Http2Record;

/// EVE `http`. Texts as sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpRecord {
    pub hostname: Option<Vec<u8>>,
    /// The port of the URI or of the Host header, not that of the connection.
    pub port: Option<u16>,
    pub url: Option<Vec<u8>>,
    pub user_agent: Option<Vec<u8>>,
    pub forwarded_for: Option<Vec<u8>>,
    /// Of the response, without its parameters.
    pub content_type: Option<Vec<u8>>,
    pub content_range: Option<Vec<u8>>,
    pub referer: Option<Vec<u8>>,
    pub method: Option<Vec<u8>>,
    pub protocol: Option<Vec<u8>>,
    pub status: Option<u16>,
    /// The status where it is no number.
    pub status_text: Option<Vec<u8>>,
    /// The Location header.
    pub redirect: Option<Vec<u8>>,
    /// Bytes of the response's body as transferred.
    pub length: u64,
    /// It is a stream of HTTP/2.
    pub http2: Option<Box<Http2Record>>,
}

impl HttpRecord {
    pub(super) fn of(tx: &HttpTx) -> HttpRecord {
        let (request, response) = (&tx.request, &tx.response);
        let asked = |name: &[u8]| request.head.value(name).map(<[u8]>::to_vec);
        let answered = |name: &[u8]| response.head.value(name).map(<[u8]>::to_vec);
        let content_type = response.head.value(b"content-type").map(|value| {
            let end = memchr::memchr(b';', value).unwrap_or(value.len());
            value.get(..end).unwrap_or_default().to_vec()
        });
        HttpRecord {
            hostname: tx.told_host().map(<[u8]>::to_vec),
            port: request.port,
            url: tx.raw_uri().map(<[u8]>::to_vec),
            user_agent: asked(b"user-agent"),
            forwarded_for: asked(b"x-forwarded-for"),
            content_type,
            content_range: answered(b"content-range"),
            referer: asked(b"referer"),
            method: tx.method().map(<[u8]>::to_vec),
            protocol: request.line.protocol.map(|protocol| request.head.at(protocol).to_vec()),
            status: response.line.status,
            status_text: match response.line.status {
                None => response.line.code.map(|code| response.head.at(code).to_vec()),
                Some(_) => None,
            },
            redirect: answered(b"location"),
            length: response.body.transferred(),
            http2: None,
        }
    }
}
