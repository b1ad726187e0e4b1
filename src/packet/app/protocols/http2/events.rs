//! What is odd about a connection. The names are Suricata's; `rules::keyword::events` lists them for rules.

pub(super) const AUTHORITY_HOST_MISMATCH: &str = "http2.authority_host_mismatch";
pub(super) const DATA_STREAM_ZERO: &str = "http2.data_stream_zero";
pub(super) const DNS_REQUEST_TOO_LONG: &str = "http2.dns_request_too_long";
pub(super) const DNS_RESPONSE_TOO_LONG: &str = "http2.dns_response_too_long";
pub(super) const FAILED_DECOMPRESSION: &str = "http2.failed_decompression";
pub(super) const HEADER_INTEGER_OVERFLOW: &str = "http2.header_integer_overflow";
pub(super) const INVALID_CLIENT_MAGIC: &str = "http2.invalid_client_magic";
pub(super) const INVALID_FRAME_DATA: &str = "http2.invalid_frame_data";
pub(super) const INVALID_FRAME_LENGTH: &str = "http2.invalid_frame_length";
pub(super) const INVALID_HEADER: &str = "http2.invalid_header";
pub(super) const LONG_FRAME_DATA: &str = "http2.long_frame_data";
pub(super) const REASSEMBLY_LIMIT_REACHED: &str = "http2.reassembly_limit_reached";
pub(super) const STREAM_ID_REUSE: &str = "http2.stream_id_reuse";
pub(super) const TOO_MANY_FRAMES: &str = "http2.too_many_frames";
pub(super) const TOO_MANY_STREAMS: &str = "http2.too_many_streams";
pub(super) const USERINFO_IN_URI: &str = "http2.userinfo_in_uri";
