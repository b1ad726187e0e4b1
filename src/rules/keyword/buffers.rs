//! The buffers that contents are matched in: their sticky names, their old modifier names, and who fills them.

use super::Need;

/// A buffer, as its place in [`BUFFERS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Buffer(pub u8);

impl Buffer {
    /// What a rule's contents are matched in when it names no buffer: the packet's payload.
    pub const PAYLOAD: Buffer = Buffer(0);
    pub const IPV4_HEADER: Buffer = Buffer(1);
    pub const IPV6_HEADER: Buffer = Buffer(2);
    pub const TCP_HEADER: Buffer = Buffer(3);
    pub const UDP_HEADER: Buffer = Buffer(4);
    pub const ICMPV4_HEADER: Buffer = Buffer(5);
    pub const ICMPV6_HEADER: Buffer = Buffer(6);

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
    /// What has to be there before the buffer is filled; `None`: it is.
    pub need: Option<Need>,
    pub doc: &'static str,
}

const fn buffer(
    name: &'static str,
    aliases: &'static [&'static str],
    modifier: Option<&'static str>,
    need: Need,
    doc: &'static str,
) -> BufferInfo {
    BufferInfo { name, aliases, modifier, need: Some(need), doc }
}

const fn here(name: &'static str, doc: &'static str) -> BufferInfo {
    BufferInfo { name, aliases: &[], modifier: None, need: None, doc }
}

const PAYLOAD_INFO: BufferInfo = here("pkt_data", "The payload of the packet.");

/// All buffers of the language. The first is the payload.
pub static BUFFERS: &[BufferInfo] = &[
    PAYLOAD_INFO,
    here("ipv4.hdr", "The IPv4 header."),
    here("ipv6.hdr", "The IPv6 header."),
    here("tcp.hdr", "The TCP header."),
    here("udp.hdr", "The UDP header."),
    here("icmpv4.hdr", "The ICMP header."),
    here("icmpv6.hdr", "The ICMPv6 header."),
    buffer("file.data", &["file_data"], None, Need::Files, "The content of a transferred file or body."),
    buffer("http.uri", &[], Some("http_uri"), Need::Http, "The normalised request URI."),
    buffer("http.uri.raw", &[], Some("http_raw_uri"), Need::Http, "The request URI as sent."),
    buffer("http.method", &[], Some("http_method"), Need::Http, "The request method."),
    buffer("http.host", &[], Some("http_host"), Need::Http, "The normalised host name of a request."),
    buffer("http.host.raw", &[], Some("http_raw_host"), Need::Http, "The host name of a request as sent."),
    buffer("http.request_body", &[], Some("http_client_body"), Need::Http, "The body of a request."),
    buffer("http.response_body", &[], Some("http_server_body"), Need::Http, "The body of a response."),
    buffer("http.header", &[], Some("http_header"), Need::Http, "All headers, normalised."),
    buffer("http.header.raw", &[], Some("http_raw_header"), Need::Http, "All headers as sent."),
    buffer("http.cookie", &[], Some("http_cookie"), Need::Http, "The Cookie or Set-Cookie header."),
    buffer("http.user_agent", &[], Some("http_user_agent"), Need::Http, "The User-Agent header."),
    buffer("http.stat_code", &[], Some("http_stat_code"), Need::Http, "The status code of a response."),
    buffer("http.stat_msg", &[], Some("http_stat_msg"), Need::Http, "The status text of a response."),
    buffer("http.header_names", &["http_header_names"], None, Need::Http, "The names of all headers."),
    buffer("http.accept", &["http_accept"], None, Need::Http, "The Accept header."),
    buffer("http.accept_enc", &["http_accept_enc"], None, Need::Http, "The Accept-Encoding header."),
    buffer("http.accept_lang", &["http_accept_lang"], None, Need::Http, "The Accept-Language header."),
    buffer("http.connection", &["http_connection"], None, Need::Http, "The Connection header."),
    buffer("http.content_len", &["http_content_len"], None, Need::Http, "The Content-Length header."),
    buffer("http.content_type", &["http_content_type"], None, Need::Http, "The Content-Type header."),
    buffer("http.location", &["http_location"], None, Need::Http, "The Location header."),
    buffer("http.protocol", &["http_protocol"], None, Need::Http, "The protocol word of the first line."),
    buffer("http.referer", &["http_referer"], None, Need::Http, "The Referer header."),
    buffer("http.request_line", &["http_request_line"], None, Need::Http, "The request line."),
    buffer("http.response_line", &["http_response_line"], None, Need::Http, "The status line."),
    buffer("http.server", &["http_server"], None, Need::Http, "The Server header."),
    buffer("http.start", &["http_start"], None, Need::Http, "First line and headers."),
    buffer("http.request_header", &[], None, Need::Http, "Each request header."),
    buffer("http.response_header", &[], None, Need::Http, "Each response header."),
    buffer("file.name", &[], None, Need::Files, "The name of a transferred file."),
    buffer("dns.query", &["dns_query"], None, Need::Dns, "The name asked for."),
    buffer("dns.query.name", &[], None, Need::Dns, "The name of each query."),
    buffer("dns.answer.name", &[], None, Need::Dns, "The name of each answer."),
    buffer("dns.authority.name", &[], None, Need::Dns, "The name of each authority record."),
    buffer("dns.additional.name", &[], None, Need::Dns, "The name of each additional record."),
    buffer("tls.sni", &["tls_sni"], None, Need::Tls, "The server name of a ClientHello."),
    buffer("tls.certs", &[], None, Need::Tls, "Each certificate as sent."),
    buffer("tls.cert_subject", &["tls_cert_subject"], None, Need::Tls, "The subject of the server's certificate."),
    buffer("tls.cert_issuer", &["tls_cert_issuer"], None, Need::Tls, "The issuer of the server's certificate."),
    buffer("tls.cert_serial", &["tls_cert_serial"], None, Need::Tls, "The serial of the server's certificate."),
    buffer("tls.cert_fingerprint", &["tls_cert_fingerprint"], None, Need::Tls, "SHA-1 of the server's certificate."),
    buffer("tls.random", &[], None, Need::Tls, "The 32 random bytes of a hello."),
    buffer("tls.random_time", &[], None, Need::Tls, "The first 4 of the random bytes."),
    buffer("tls.random_bytes", &[], None, Need::Tls, "The last 28 of the random bytes."),
    buffer("tls.subjectaltname", &[], None, Need::Tls, "Each alternative name of the certificate."),
    buffer("tls.alpn", &[], None, Need::Tls, "Each offered application protocol."),
    buffer("ja3.hash", &["ja3_hash"], None, Need::Tls, "JA3 of the client."),
    buffer("ja3.string", &["ja3_string"], None, Need::Tls, "What JA3 is made of."),
    buffer("ja3s.hash", &[], None, Need::Tls, "JA3S of the server."),
    buffer("ja3s.string", &[], None, Need::Tls, "What JA3S is made of."),
    buffer("ja4.hash", &["ja4_hash"], None, Need::Tls, "JA4 of the client."),
    buffer("quic.sni", &[], None, Need::Quic, "The server name of a QUIC ClientHello."),
    buffer("quic.ua", &[], None, Need::Quic, "The user agent of gQUIC."),
    buffer("quic.version", &[], None, Need::Quic, "The QUIC version."),
    buffer("quic.cyu.hash", &[], None, Need::Quic, "CYU hash of gQUIC."),
    buffer("quic.cyu.string", &[], None, Need::Quic, "What the CYU hash is made of."),
    buffer("ssh.proto", &["ssh_proto"], None, Need::Ssh, "The protocol version of a banner."),
    buffer("ssh.software", &["ssh_software"], None, Need::Ssh, "The software of a banner."),
    buffer("ssh.hassh", &[], None, Need::Ssh, "HASSH of the client."),
    buffer("ssh.hassh.string", &[], None, Need::Ssh, "What HASSH is made of."),
    buffer("ssh.hassh.server", &[], None, Need::Ssh, "HASSH of the server."),
    buffer("ssh.hassh.server.string", &[], None, Need::Ssh, "What the server's HASSH is made of."),
    buffer("smtp.helo", &[], None, Need::Smtp, "The HELO or EHLO name."),
    buffer("smtp.mail_from", &[], None, Need::Smtp, "The sender of the envelope."),
    buffer("smtp.rcpt_to", &[], None, Need::Smtp, "Each receiver of the envelope."),
    buffer("email.from", &[], None, Need::Smtp, "The From header of a mail."),
    buffer("email.subject", &[], None, Need::Smtp, "The Subject header of a mail."),
    buffer("email.to", &[], None, Need::Smtp, "The To header of a mail."),
    buffer("email.cc", &[], None, Need::Smtp, "The Cc header of a mail."),
    buffer("email.date", &[], None, Need::Smtp, "The Date header of a mail."),
    buffer("email.message_id", &[], None, Need::Smtp, "The Message-ID header of a mail."),
    buffer("email.x_mailer", &[], None, Need::Smtp, "The X-Mailer header of a mail."),
    buffer("email.url", &[], None, Need::Smtp, "Each URL in a mail."),
    buffer("email.received", &[], None, Need::Smtp, "Each Received header of a mail."),
    buffer("ftp.command", &[], None, Need::Ftp, "The command of an FTP request."),
    buffer("ftp.command_data", &[], None, Need::Ftp, "What follows the command."),
    buffer("ftp.reply", &[], None, Need::Ftp, "Each line of an FTP reply."),
    buffer("ftp.completion_code", &[], None, Need::Ftp, "The code of an FTP reply."),
    buffer("smb.named_pipe", &["smb_named_pipe"], None, Need::Smb, "The named pipe of an SMB connection."),
    buffer("smb.share", &["smb_share"], None, Need::Smb, "The share of an SMB connection."),
    buffer("smb.ntlmssp_user", &[], None, Need::Smb, "The user of an NTLM authentication."),
    buffer("smb.ntlmssp_domain", &[], None, Need::Smb, "The domain of an NTLM authentication."),
    buffer("dce_stub_data", &["dcerpc.stub_data"], None, Need::Dcerpc, "The stub data of a DCERPC request."),
    buffer("krb5_cname", &["krb5.cname"], None, Need::Kerberos, "The client principal."),
    buffer("krb5_sname", &["krb5.sname"], None, Need::Kerberos, "The server principal."),
    buffer("sip.method", &[], None, Need::Sip, "The method of a SIP request."),
    buffer("sip.uri", &[], None, Need::Sip, "The URI of a SIP request."),
    buffer("sip.protocol", &[], None, Need::Sip, "The protocol of the first line."),
    buffer("sip.stat_code", &[], None, Need::Sip, "The status code of a response."),
    buffer("sip.stat_msg", &[], None, Need::Sip, "The status text of a response."),
    buffer("sip.request_line", &[], None, Need::Sip, "The request line."),
    buffer("sip.response_line", &[], None, Need::Sip, "The status line."),
    buffer("sip.from", &[], None, Need::Sip, "The From header."),
    buffer("sip.to", &[], None, Need::Sip, "The To header."),
    buffer("sip.via", &[], None, Need::Sip, "The Via header."),
    buffer("sip.user_agent", &[], None, Need::Sip, "The User-Agent header."),
    buffer("sip.content_type", &[], None, Need::Sip, "The Content-Type header."),
    buffer("sip.content_length", &[], None, Need::Sip, "The Content-Length header."),
    buffer("rfb.name", &[], None, Need::Rfb, "The desktop's name."),
    buffer("snmp.community", &[], None, Need::Snmp, "The SNMP community."),
    buffer("snmp.usm", &[], None, Need::Snmp, "The SNMPv3 user."),
    buffer("mqtt.connect.clientid", &[], None, Need::Mqtt, "The client's identifier."),
    buffer("mqtt.connect.username", &[], None, Need::Mqtt, "The user name."),
    buffer("mqtt.connect.password", &[], None, Need::Mqtt, "The password."),
    buffer("mqtt.connect.willtopic", &[], None, Need::Mqtt, "The topic of the last will."),
    buffer("mqtt.connect.willmessage", &[], None, Need::Mqtt, "The last will."),
    buffer("mqtt.connect.protocol_string", &[], None, Need::Mqtt, "The protocol's name."),
    buffer("mqtt.publish.topic", &[], None, Need::Mqtt, "The topic published to."),
    buffer("mqtt.publish.message", &[], None, Need::Mqtt, "What is published."),
    buffer("mqtt.subscribe.topic", &[], None, Need::Mqtt, "Each topic subscribed to."),
    buffer("mqtt.unsubscribe.topic", &[], None, Need::Mqtt, "Each topic unsubscribed from."),
    buffer("ike.init_spi", &[], None, Need::Ike, "The initiator's SPI."),
    buffer("ike.resp_spi", &[], None, Need::Ike, "The responder's SPI."),
    buffer("ike.vendor", &[], None, Need::Ike, "Each vendor identifier."),
    buffer("ike.nonce_payload", &[], None, Need::Ike, "The nonce."),
    buffer("ike.key_exchange_payload", &[], None, Need::Ike, "The key exchange payload."),
    buffer("base64_data", &[], None, Need::Base64, "What base64_decode has decoded."),
];
