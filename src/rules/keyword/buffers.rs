//! The buffers that contents are matched in: their sticky names, their old modifier names, and who fills them.

use super::Need;
use crate::rules::app::{AppProto, AppProtoSet};
use crate::rules::plan::Toward;

/// In front of the names of frames in the table: their keyword.
pub const FRAME: &str = "frame:";

/// A buffer, as its place in [`BUFFERS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Buffer(pub u8);

impl Buffer {
    #[must_use]
    pub fn info(self) -> &'static BufferInfo {
        BUFFERS.get(usize::from(self.0)).unwrap_or(&PAYLOAD_INFO)
    }

    /// The buffer whose sticky name is `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<Buffer> {
        Buffer::all().find(|(_, info)| info.name == name).map(|(buffer, _)| buffer)
    }

    /// Buffers in the order of the table.
    pub fn all() -> impl Iterator<Item = (Buffer, &'static BufferInfo)> {
        BUFFERS.iter().enumerate().map(|(at, info)| (Buffer(u8::try_from(at).unwrap_or(0)), info))
    }

    /// Whether selecting it again asks a question of its own: another of its instances may answer that.
    #[must_use]
    pub fn is_asked_anew(self) -> bool {
        ASKED_ANEW.contains(&self.info().name)
    }

    /// Whether transactions fill it, and not the packet itself.
    #[must_use]
    pub fn is_app(self) -> bool {
        !self.info().protocols.is_empty()
    }
}

/// One line of the buffer table.
#[derive(Debug)]
pub struct BufferInfo {
    /// The sticky buffer's name.
    pub name: &'static str,
    /// Other names of the sticky buffer.
    pub aliases: &'static [&'static str],
    /// The modifier that puts the content *before* it into this buffer.
    pub modifier: Option<&'static str>,
    /// The protocols whose transactions fill it; empty: it is the packet's.
    pub protocols: AppProtoSet,
    /// The side whose bytes fill it; `None`: either side's.
    pub toward: Option<Toward>,
    /// It may be looked at before it is whole, and grows at its end.
    pub growing: bool,
    /// What has to be there before the buffer is filled; `None`: it is.
    pub need: Option<Need>,
    pub doc: &'static str,
}

const fn packet(name: &'static str, doc: &'static str) -> BufferInfo {
    app(name, AppProtoSet::EMPTY, doc)
}

const fn app(name: &'static str, protocols: AppProtoSet, doc: &'static str) -> BufferInfo {
    BufferInfo { name, aliases: &[], modifier: None, protocols, toward: None, growing: false, need: None, doc }
}

impl BufferInfo {
    const fn aliased(mut self, aliases: &'static [&'static str]) -> BufferInfo {
        self.aliases = aliases;
        self
    }

    const fn modifier(mut self, name: &'static str) -> BufferInfo {
        self.modifier = Some(name);
        self
    }

    const fn toward(mut self, toward: Toward) -> BufferInfo {
        self.toward = Some(toward);
        self
    }

    const fn growing(mut self) -> BufferInfo {
        self.growing = true;
        self
    }
}

/// Suricata's buffers with "multi-buffer matching".
const ASKED_ANEW: &[&str] = &[
    "dns.query",
    "file.data",
    "file.magic",
    "file.name",
    "http.request_header",
    "http.response_header",
    "http2.header_name",
    "ike.vendor",
    "krb5_cname",
    "krb5_sname",
    "ldap.request.attribute_type",
    "ldap.responses.attribute_type",
    "ldap.responses.dn",
    "ldap.responses.message",
    "mqtt.subscribe.topic",
    "mqtt.unsubscribe.topic",
    "quic.cyu.hash",
    "quic.cyu.string",
    "tls.certs",
    "tls.cert_subject",
];

const HTTP: AppProtoSet = AppProtoSet::of(&[AppProto::Http1, AppProto::Http2, AppProto::Doh2]);
const HTTP1: AppProtoSet = AppProtoSet::of(&[AppProto::Http1]);
const HTTP2: AppProtoSet = AppProtoSet::of(&[AppProto::Http2, AppProto::Doh2]);
const FILES: AppProtoSet = AppProtoSet::of(&[
    AppProto::Http1,
    AppProto::Http2,
    AppProto::Doh2,
    AppProto::Smtp,
    AppProto::FtpData,
    AppProto::Smb,
    AppProto::Nfs,
]);
const DNS: AppProtoSet = AppProtoSet::of(&[AppProto::Dns, AppProto::Doh2]);
const LLMNR: AppProtoSet = AppProtoSet::of(&[AppProto::Llmnr]);
const MDNS: AppProtoSet = AppProtoSet::of(&[AppProto::Mdns]);
const TLS: AppProtoSet = AppProtoSet::of(&[AppProto::Tls]);
/// Whose hellos have fingerprints.
const HELLO: AppProtoSet = AppProtoSet::of(&[AppProto::Tls, AppProto::Quic]);
const QUIC: AppProtoSet = AppProtoSet::of(&[AppProto::Quic]);
const SSH: AppProtoSet = AppProtoSet::of(&[AppProto::Ssh]);
const SMTP: AppProtoSet = AppProtoSet::of(&[AppProto::Smtp]);
const FTP: AppProtoSet = AppProtoSet::of(&[AppProto::Ftp]);
const SMB: AppProtoSet = AppProtoSet::of(&[AppProto::Smb]);
const DCERPC: AppProtoSet = AppProtoSet::of(&[AppProto::Dcerpc, AppProto::Smb]);
const DCERPC_ALONE: AppProtoSet = AppProtoSet::of(&[AppProto::Dcerpc]);
const KRB5: AppProtoSet = AppProtoSet::of(&[AppProto::Krb5]);
const SIP: AppProtoSet = AppProtoSet::of(&[AppProto::Sip]);
const RFB: AppProtoSet = AppProtoSet::of(&[AppProto::Rfb]);
const SNMP: AppProtoSet = AppProtoSet::of(&[AppProto::Snmp]);
const LDAP: AppProtoSet = AppProtoSet::of(&[AppProto::Ldap]);
const PGSQL: AppProtoSet = AppProtoSet::of(&[AppProto::Pgsql]);
const WEBSOCKET: AppProtoSet = AppProtoSet::of(&[AppProto::Websocket]);
const MQTT: AppProtoSet = AppProtoSet::of(&[AppProto::Mqtt]);
const DNP3: AppProtoSet = AppProtoSet::of(&[AppProto::Dnp3]);
const NTP: AppProtoSet = AppProtoSet::of(&[AppProto::Ntp]);
const IKE: AppProtoSet = AppProtoSet::of(&[AppProto::Ike]);

/// Names each line of the table, so that parsers and table cannot differ.
macro_rules! buffers {
    ($($constant:ident => $info:expr,)*) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        #[repr(u8)]
        enum Place { $($constant,)* }

        impl Buffer {
            $(pub const $constant: Buffer = Buffer(Place::$constant as u8);)*
        }

        /// All buffers of the language. The first is the payload.
        pub static BUFFERS: &[BufferInfo] = &[$($info,)*];
    };
}

const PAYLOAD_INFO: BufferInfo = packet("pkt_data", "The payload of the packet, or the window of its stream.");

buffers! {
    PAYLOAD => PAYLOAD_INFO,
    ETHERNET_HEADER => packet("ether.hdr", "The Ethernet header without tags, where there is one: in replay, and in tunnels."),
    IPV4_HEADER => packet("ipv4.hdr", "The IPv4 header."),
    IPV6_HEADER => packet("ipv6.hdr", "The IPv6 header."),
    IP_SRC => packet("ip.src", "The source address, 4 or 16 bytes; for datasets."),
    IP_DST => packet("ip.dst", "The destination address, 4 or 16 bytes; for datasets."),
    TCP_HEADER => packet("tcp.hdr", "The TCP header."),
    UDP_HEADER => packet("udp.hdr", "The UDP header."),
    ICMPV4_HEADER => packet("icmpv4.hdr", "The ICMP header."),
    ICMPV6_HEADER => packet("icmpv6.hdr", "The ICMPv6 header."),
    IGMP_HEADER => packet("igmp.hdr", "The whole IGMP message."),
    FILE_DATA => app("file.data", FILES, "The content of a transferred file or body.").growing().aliased(&["file_data"]),
    HTTP_URI => app("http.uri", HTTP, "The normalised request URI.").toward(Toward::Server).modifier("http_uri"),
    HTTP_URI_RAW => app("http.uri.raw", HTTP, "The request URI as sent.").toward(Toward::Server).modifier("http_raw_uri"),
    HTTP_METHOD => app("http.method", HTTP, "The request method.").toward(Toward::Server).modifier("http_method"),
    HTTP_HOST => app("http.host", HTTP, "The normalised host name of a request.").toward(Toward::Server).modifier("http_host"),
    HTTP_HOST_RAW => app("http.host.raw", HTTP, "The host name of a request as sent.").toward(Toward::Server).modifier("http_raw_host"),
    HTTP_REQUEST_BODY => app("http.request_body", HTTP, "The body of a request.").toward(Toward::Server).growing().modifier("http_client_body"),
    HTTP_RESPONSE_BODY => app("http.response_body", HTTP, "The body of a response.").toward(Toward::Client).growing().modifier("http_server_body"),
    HTTP_HEADER => app("http.header", HTTP, "All headers, normalised.").modifier("http_header"),
    HTTP_HEADER_RAW => app("http.header.raw", HTTP, "All headers as sent.").modifier("http_raw_header"),
    HTTP_COOKIE => app("http.cookie", HTTP, "The Cookie or Set-Cookie header.").modifier("http_cookie"),
    HTTP_USER_AGENT => app("http.user_agent", HTTP, "The User-Agent header.").toward(Toward::Server).modifier("http_user_agent"),
    HTTP_STAT_CODE => app("http.stat_code", HTTP, "The status code of a response.").toward(Toward::Client).modifier("http_stat_code"),
    HTTP_STAT_MSG => app("http.stat_msg", HTTP, "The status text of a response.").toward(Toward::Client).modifier("http_stat_msg"),
    HTTP_HEADER_NAMES => app("http.header_names", HTTP, "The names of all headers.").aliased(&["http_header_names"]),
    HTTP_ACCEPT => app("http.accept", HTTP, "The Accept header.").toward(Toward::Server).aliased(&["http_accept"]),
    HTTP_ACCEPT_ENC => app("http.accept_enc", HTTP, "The Accept-Encoding header.").toward(Toward::Server).aliased(&["http_accept_enc"]),
    HTTP_ACCEPT_LANG => app("http.accept_lang", HTTP, "The Accept-Language header.").toward(Toward::Server).aliased(&["http_accept_lang"]),
    HTTP_CONNECTION => app("http.connection", HTTP, "The Connection header.").aliased(&["http_connection"]),
    HTTP_CONTENT_LEN => app("http.content_len", HTTP, "The Content-Length header.").aliased(&["http_content_len"]),
    HTTP_CONTENT_TYPE => app("http.content_type", HTTP, "The Content-Type header.").aliased(&["http_content_type"]),
    HTTP_LOCATION => app("http.location", HTTP, "The Location header.").toward(Toward::Client).aliased(&["http_location"]),
    HTTP_PROTOCOL => app("http.protocol", HTTP, "The protocol word of the first line.").aliased(&["http_protocol"]),
    HTTP_REFERER => app("http.referer", HTTP, "The Referer header.").toward(Toward::Server).aliased(&["http_referer"]),
    HTTP_REQUEST_LINE => app("http.request_line", HTTP, "The request line.").toward(Toward::Server).aliased(&["http_request_line"]),
    HTTP_RESPONSE_LINE => app("http.response_line", HTTP, "The status line.").toward(Toward::Client).aliased(&["http_response_line"]),
    HTTP_SERVER => app("http.server", HTTP, "The Server header.").toward(Toward::Client).aliased(&["http_server"]),
    HTTP_START => app("http.start", HTTP, "First line and headers.").aliased(&["http_start"]),
    HTTP_REQUEST_HEADER => app("http.request_header", HTTP, "Each request header.").toward(Toward::Server),
    HTTP_RESPONSE_HEADER => app("http.response_header", HTTP, "Each response header.").toward(Toward::Client),
    HTTP2_HEADER_NAME => app("http2.header_name", HTTP2, "The name of each header."),
    HTTP2_HEADER => app("http2.header", HTTP2, "Each header, `name: value`, colons within both doubled."),
    FILE_NAME => app("file.name", FILES, "The name of a transferred file."),
    FILE_MAGIC => app("file.magic", FILES, "The kind of a transferred file, in libmagic's words."),
    DNS_QUERY => app("dns.query", DNS, "The name of each query of a request.").aliased(&["dns_query"]),
    DNS_QUERY_NAME => app("dns.queries.rrname", DNS, "The name of each query.").aliased(&["dns.query.name"]),
    DNS_ANSWER_NAME => app("dns.answers.rrname", DNS, "The name of each answer.").aliased(&["dns.answer.name"]),
    DNS_AUTHORITY_NAME => app("dns.authorities.rrname", DNS, "The name of each authority record.").aliased(&["dns.authority.name"]),
    DNS_ADDITIONAL_NAME => app("dns.additionals.rrname", DNS, "The name of each additional record.").aliased(&["dns.additional.name"]),
    DNS_RESPONSE_NAME => app("dns.response.rrname", DNS, "Each name of a response: of its queries and of all its records."),
    LLMNR_QUERY_NAME => app("llmnr.queries.rrname", LLMNR, "The name of each query."),
    LLMNR_ANSWER_NAME => app("llmnr.answers.rrname", LLMNR, "The name of each answer."),
    LLMNR_AUTHORITY_NAME => app("llmnr.authorities.rrname", LLMNR, "The name of each authority record."),
    LLMNR_ADDITIONAL_NAME => app("llmnr.additionals.rrname", LLMNR, "The name of each additional record."),
    LLMNR_RESPONSE_NAME => app("llmnr.response.rrname", LLMNR, "Each name of a response: of its queries and of all its records."),
    MDNS_QUERY_NAME => app("mdns.queries.rrname", MDNS, "The name of each query."),
    MDNS_ANSWER_NAME => app("mdns.answers.rrname", MDNS, "The name of each answer."),
    MDNS_AUTHORITY_NAME => app("mdns.authorities.rrname", MDNS, "The name of each authority record."),
    MDNS_ADDITIONAL_NAME => app("mdns.additionals.rrname", MDNS, "The name of each additional record."),
    MDNS_RESPONSE_NAME => app("mdns.response.rrname", MDNS, "Each name of a response: of its queries and of all its records."),
    TLS_SNI => app("tls.sni", TLS, "The server name of a ClientHello.").toward(Toward::Server).aliased(&["tls_sni"]),
    TLS_CERTS => app("tls.certs", TLS, "Each certificate as sent."),
    TLS_CERT_SUBJECT => app("tls.cert_subject", TLS, "The subject of a certificate: `CN=...`.").aliased(&["tls_cert_subject"]),
    TLS_CERT_ISSUER => app("tls.cert_issuer", TLS, "The issuer of a certificate.").aliased(&["tls_cert_issuer"]),
    TLS_CERT_SERIAL => app("tls.cert_serial", TLS, "The serial number of a certificate: `0A:1B`.").aliased(&["tls_cert_serial"]),
    TLS_CERT_FINGERPRINT => app("tls.cert_fingerprint", TLS, "SHA-1 of a certificate: `0a:1b`.").aliased(&["tls_cert_fingerprint"]),
    TLS_RANDOM => app("tls.random", TLS, "The 32 random bytes of a hello."),
    TLS_RANDOM_TIME => app("tls.random_time", TLS, "The first 4 of the random bytes."),
    TLS_RANDOM_BYTES => app("tls.random_bytes", TLS, "The last 28 of the random bytes."),
    TLS_SUBJECTALTNAME => app("tls.subjectaltname", TLS, "Each alternative name of the certificate."),
    TLS_ALPN => app("tls.alpn", TLS, "Each application protocol that is offered, or the one chosen."),
    JA3_HASH => app("ja3.hash", HELLO, "JA3 of the client.").toward(Toward::Server).aliased(&["ja3_hash"]),
    JA3_STRING => app("ja3.string", HELLO, "What JA3 is made of.").toward(Toward::Server).aliased(&["ja3_string"]),
    JA3S_HASH => app("ja3s.hash", HELLO, "JA3S of the server.").toward(Toward::Client),
    JA3S_STRING => app("ja3s.string", HELLO, "What JA3S is made of.").toward(Toward::Client),
    JA4_HASH => app("ja4.hash", HELLO, "JA4 of the client.").toward(Toward::Server).aliased(&["ja4_hash"]),
    QUIC_SNI => app("quic.sni", QUIC, "The server name of a QUIC ClientHello.").toward(Toward::Server),
    QUIC_UA => app("quic.ua", QUIC, "The user agent of gQUIC.").toward(Toward::Server),
    QUIC_VERSION => app("quic.version", QUIC, "The QUIC version."),
    QUIC_CYU_HASH => app("quic.cyu.hash", QUIC, "CYU hash of gQUIC.").toward(Toward::Server),
    QUIC_CYU_STRING => app("quic.cyu.string", QUIC, "What the CYU hash is made of.").toward(Toward::Server),
    SSH_PROTO => app("ssh.proto", SSH, "The protocol version of a banner.").aliased(&["ssh_proto"]),
    SSH_SOFTWARE => app("ssh.software", SSH, "The software of a banner.").aliased(&["ssh_software"]),
    SSH_HASSH => app("ssh.hassh", SSH, "HASSH of the client.").toward(Toward::Server),
    SSH_HASSH_STRING => app("ssh.hassh.string", SSH, "What HASSH is made of.").toward(Toward::Server),
    SSH_HASSH_SERVER => app("ssh.hassh.server", SSH, "HASSH of the server.").toward(Toward::Client),
    SSH_HASSH_SERVER_STRING => app("ssh.hassh.server.string", SSH, "What the server's HASSH is made of.").toward(Toward::Client),
    SMTP_HELO => app("smtp.helo", SMTP, "The HELO or EHLO name.").toward(Toward::Server),
    SMTP_MAIL_FROM => app("smtp.mail_from", SMTP, "The sender of the envelope.").toward(Toward::Server),
    SMTP_RCPT_TO => app("smtp.rcpt_to", SMTP, "Each receiver of the envelope.").toward(Toward::Server),
    EMAIL_FROM => app("email.from", SMTP, "The From header of a mail."),
    EMAIL_SUBJECT => app("email.subject", SMTP, "The Subject header of a mail."),
    EMAIL_TO => app("email.to", SMTP, "The To header of a mail."),
    EMAIL_CC => app("email.cc", SMTP, "The Cc header of a mail."),
    EMAIL_DATE => app("email.date", SMTP, "The Date header of a mail."),
    EMAIL_MESSAGE_ID => app("email.message_id", SMTP, "The Message-ID header of a mail."),
    EMAIL_X_MAILER => app("email.x_mailer", SMTP, "The X-Mailer header of a mail."),
    EMAIL_URL => app("email.url", SMTP, "Each URL in a mail."),
    EMAIL_RECEIVED => app("email.received", SMTP, "Each Received header of a mail."),
    FTP_COMMAND => app("ftp.command", FTP, "The command of an FTP request.").toward(Toward::Server),
    FTP_COMMAND_DATA => app("ftp.command_data", FTP, "What follows the command.").toward(Toward::Server),
    FTP_REPLY => app("ftp.reply", FTP, "Each line of an FTP reply.").toward(Toward::Client),
    FTP_COMPLETION_CODE => app("ftp.completion_code", FTP, "The code of an FTP reply.").toward(Toward::Client),
    SMB_NAMED_PIPE => app("smb.named_pipe", SMB, "The named pipe of an SMB connection.").aliased(&["smb_named_pipe"]).toward(Toward::Server),
    SMB_SHARE => app("smb.share", SMB, "The share of an SMB connection.").aliased(&["smb_share"]).toward(Toward::Server),
    SMB_NTLMSSP_USER => app("smb.ntlmssp_user", SMB, "The user of an NTLM authentication.").toward(Toward::Server),
    SMB_NTLMSSP_DOMAIN => app("smb.ntlmssp_domain", SMB, "The domain of an NTLM authentication.").toward(Toward::Server),
    DCE_STUB_DATA => app("dce_stub_data", DCERPC, "The stub data of a DCERPC request.").growing().aliased(&["dcerpc.stub_data"]),
    KRB5_CNAME => app("krb5_cname", KRB5, "The client principal.").aliased(&["krb5.cname"]),
    KRB5_SNAME => app("krb5_sname", KRB5, "The server principal.").aliased(&["krb5.sname"]),
    SIP_METHOD => app("sip.method", SIP, "The method of a SIP request.").toward(Toward::Server),
    SIP_URI => app("sip.uri", SIP, "The URI of a SIP request.").toward(Toward::Server),
    SIP_PROTOCOL => app("sip.protocol", SIP, "The protocol of the first line."),
    SIP_STAT_CODE => app("sip.stat_code", SIP, "The status code of a response.").toward(Toward::Client),
    SIP_STAT_MSG => app("sip.stat_msg", SIP, "The status text of a response.").toward(Toward::Client),
    SIP_REQUEST_LINE => app("sip.request_line", SIP, "The request line.").toward(Toward::Server),
    SIP_RESPONSE_LINE => app("sip.response_line", SIP, "The status line.").toward(Toward::Client),
    SIP_FROM => app("sip.from", SIP, "The From header."),
    SIP_TO => app("sip.to", SIP, "The To header."),
    SIP_VIA => app("sip.via", SIP, "The Via header."),
    SIP_USER_AGENT => app("sip.user_agent", SIP, "The User-Agent header."),
    SIP_CONTENT_TYPE => app("sip.content_type", SIP, "The Content-Type header."),
    SIP_CONTENT_LENGTH => app("sip.content_length", SIP, "The Content-Length header."),
    RFB_NAME => app("rfb.name", RFB, "The desktop's name.").toward(Toward::Client),
    SNMP_COMMUNITY => app("snmp.community", SNMP, "The SNMP community."),
    SNMP_USM => app("snmp.usm", SNMP, "The SNMPv3 user."),
    MQTT_CONNECT_CLIENTID => app("mqtt.connect.clientid", MQTT, "The client's identifier."),
    MQTT_CONNECT_USERNAME => app("mqtt.connect.username", MQTT, "The user name."),
    MQTT_CONNECT_PASSWORD => app("mqtt.connect.password", MQTT, "The password."),
    MQTT_CONNECT_WILLTOPIC => app("mqtt.connect.willtopic", MQTT, "The topic of the last will."),
    MQTT_CONNECT_WILLMESSAGE => app("mqtt.connect.willmessage", MQTT, "The last will."),
    MQTT_CONNECT_PROTOCOL_STRING => app("mqtt.connect.protocol_string", MQTT, "The protocol's name."),
    MQTT_PUBLISH_TOPIC => app("mqtt.publish.topic", MQTT, "The topic published to."),
    MQTT_PUBLISH_MESSAGE => app("mqtt.publish.message", MQTT, "What is published."),
    MQTT_SUBSCRIBE_TOPIC => app("mqtt.subscribe.topic", MQTT, "Each topic subscribed to."),
    MQTT_UNSUBSCRIBE_TOPIC => app("mqtt.unsubscribe.topic", MQTT, "Each topic unsubscribed from."),
    LDAP_REQUEST_DN => app("ldap.request.dn", LDAP, "The distinguished name of a request.").toward(Toward::Server),
    LDAP_REQUEST_ATTRIBUTE_TYPE => app("ldap.request.attribute_type", LDAP, "Each type of an attribute that a request names.").toward(Toward::Server),
    LDAP_RESPONSES_DN => app("ldap.responses.dn", LDAP, "The distinguished name of each response.").toward(Toward::Client),
    LDAP_RESPONSES_MESSAGE => app("ldap.responses.message", LDAP, "The text of each result.").toward(Toward::Client),
    LDAP_RESPONSES_ATTRIBUTE_TYPE => app("ldap.responses.attribute_type", LDAP, "Each type of an attribute in responses.").toward(Toward::Client),
    PGSQL_QUERY => app("pgsql.query", PGSQL, "The text of a simple query.").toward(Toward::Server),
    WEBSOCKET_PAYLOAD => app("websocket.payload", WEBSOCKET, "The payload of a frame without its mask, or of a whole message with its last frame."),
    IKE_INIT_SPI => app("ike.init_spi", IKE, "The initiator's SPI."),
    IKE_RESP_SPI => app("ike.resp_spi", IKE, "The responder's SPI."),
    IKE_VENDOR => app("ike.vendor", IKE, "Each vendor identifier."),
    IKE_NONCE_PAYLOAD => app("ike.nonce_payload", IKE, "The nonce."),
    IKE_KEY_EXCHANGE_PAYLOAD => app("ike.key_exchange_payload", IKE, "The key exchange payload."),
    DNP3_DATA => app("dnp3_data", DNP3, "The application data of a message, without checksums.").aliased(&["dnp3.data"]),
    NTP_REFERENCE_ID => app("ntp.reference_id", NTP, "What the clock is set by, 4 bytes."),
    FRAME_HTTP1_REQUEST => app("frame:http1.request", HTTP1, "A whole request.").toward(Toward::Server).growing(),
    FRAME_HTTP1_RESPONSE => app("frame:http1.response", HTTP1, "A whole response.").toward(Toward::Client).growing(),
    FRAME_HTTP2_HDR => app("frame:http2.hdr", HTTP2, "The head of a frame."),
    FRAME_HTTP2_DATA => app("frame:http2.data", HTTP2, "The payload of a frame."),
    FRAME_HTTP2_PDU => app("frame:http2.pdu", HTTP2, "A whole frame."),
    FRAME_DCERPC_HDR => app("frame:dcerpc.hdr", DCERPC_ALONE, "The head of a fragment."),
    FRAME_DCERPC_DATA => app("frame:dcerpc.data", DCERPC_ALONE, "A fragment without its head."),
    FRAME_DCERPC_PDU => app("frame:dcerpc.pdu", DCERPC_ALONE, "A whole fragment."),
    FRAME_SIP_PDU => app("frame:sip.pdu", SIP, "A whole message."),
    FRAME_SIP_REQUEST_LINE => app("frame:sip.request.line", SIP, "Its first line.").toward(Toward::Server),
    FRAME_SIP_REQUEST_HEADERS => app("frame:sip.request.headers", SIP, "Its headers.").toward(Toward::Server),
    FRAME_SIP_REQUEST_BODY => app("frame:sip.request.body", SIP, "Its body.").toward(Toward::Server),
    FRAME_SIP_RESPONSE_LINE => app("frame:sip.response.line", SIP, "Its first line.").toward(Toward::Client),
    FRAME_SIP_RESPONSE_HEADERS => app("frame:sip.response.headers", SIP, "Its headers.").toward(Toward::Client),
    FRAME_SIP_RESPONSE_BODY => app("frame:sip.response.body", SIP, "Its body.").toward(Toward::Client),
    FRAME_TLS_PDU => app("frame:tls.pdu", TLS, "A whole record.").growing(),
    FRAME_TLS_HDR => app("frame:tls.hdr", TLS, "The head of a record."),
    FRAME_TLS_DATA => app("frame:tls.data", TLS, "A record without its head.").growing(),
    FRAME_DNS_PDU => app("frame:dns.pdu", DNS, "A whole message."),
    FRAME_WEBSOCKET_HEADER => app("frame:websocket.header", WEBSOCKET, "The head of a frame."),
    FRAME_WEBSOCKET_PDU => app("frame:websocket.pdu", WEBSOCKET, "A whole frame."),
    FRAME_WEBSOCKET_DATA => app("frame:websocket.data", WEBSOCKET, "A frame without its head."),
    BASE64_DATA => packet("base64_data", "What base64_decode has decoded."),
}
