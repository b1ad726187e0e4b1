//! Records of application protocols for the goldens: each with every field that it can have.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use crate::packet::app::frame::FrameRecord;
use crate::packet::app::protocols::dcerpc::record::{
    DcerpcFlowRecord, DcerpcHalf, DcerpcRecord, DcerpcTransport, InterfaceRecord,
};
use crate::packet::app::protocols::dns::message::Message;
use crate::packet::app::protocols::dns::record::{DnsRecord, Form};
use crate::packet::app::protocols::ftp::Mode;
use crate::packet::app::protocols::ftp::record::{FtpDataRecord, FtpRecord};
use crate::packet::app::protocols::http1::record::HttpRecord;
use crate::packet::app::protocols::http2::hpack::Field;
use crate::packet::app::protocols::http2::record::{Http2Half, Http2Record};
use crate::packet::app::protocols::krb5::record::{KrbAccount, KrbRecord};
use crate::packet::app::protocols::quic::header::Version;
use crate::packet::app::protocols::quic::record::{ExtensionRecord, QuicRecord};
use crate::packet::app::protocols::sip::record::SipRecord;
use crate::packet::app::protocols::smb::ntlmssp::Ntlmssp;
use crate::packet::app::protocols::smb::record::{Services, SmbDetail, SmbRecord};
use crate::packet::app::protocols::smtp::record::{EmailRecord, SmtpRecord};
use crate::packet::app::protocols::snmp::record::{SnmpPduRecord, SnmpRecord, SnmpTrap};
use crate::packet::app::protocols::ssh::record::{SshRecord, SshSide};
use crate::packet::app::protocols::tls::certificate::Certificate;
use crate::packet::app::protocols::tls::fingerprint::Fingerprint;
use crate::packet::app::protocols::tls::record::TlsRecord;
use crate::packet::app::protocols::tls::samples;
use crate::packet::app::record::FileAccount;
use crate::packet::app::testing::Conversation;
use crate::packet::app::{AppRecord, File, Hashes};
use crate::rules::plan::Toward;

/// By the name of the golden.
pub fn records() -> Vec<(&'static str, AppRecord)> {
    let dns = [("dns-query", dns(Form::Query(0), &dns_query())), ("dns-answer", dns(Form::Answer, &dns_answer()))];
    dns.into_iter()
        .chain(dcerpc())
        .chain(smb())
        .chain(small())
        .chain(plain())
        .chain(ftp())
        .chain([
            ("smtp", smtp()),
            ("fileinfo", file()),
            ("http", http()),
            ("http2", http2()),
            ("quic", quic()),
            ("tls", tls()),
        ])
        .collect()
}

/// Records whose structs are the schema, from conversations of the fuzzer's corpus: name, kind, port, file, which.
fn plain() -> Vec<(&'static str, AppRecord)> {
    let cases = [
        ("bittorrent-request", "datagrams", 6881, "bittorrent", 0),
        ("bittorrent-response", "datagrams", 6881, "bittorrent", 1),
        ("bittorrent-error", "datagrams", 6881, "bittorrent", 2),
        ("dhcp", "datagrams", 67, "dhcp", 0),
        ("dnp3-request", "streams", 20_000, "dnp3", 0),
        ("dnp3-response", "streams", 20_000, "dnp3", 1),
        ("ike-offer", "datagrams", 500, "ike", 0),
        ("ike-choice", "datagrams", 500, "ike", 1),
        ("ike-keys", "datagrams", 500, "ike", 3),
        ("ike-2", "datagrams", 500, "ike2", 0),
        ("ldap-bind", "streams", 389, "ldap", 0),
        ("ldap-search", "streams", 389, "ldap", 1),
        ("ldap-delete", "streams", 389, "ldap", 2),
        ("ldap-modify", "streams", 389, "ldap", 3),
        ("ldap-add", "streams", 389, "ldap", 4),
        ("ldap-move", "streams", 389, "ldap", 5),
        ("ldap-compare", "streams", 389, "ldap", 6),
        ("ldap-sasl", "streams", 389, "ldap", 7),
        ("ldap-tls", "streams", 389, "ldap", 8),
        ("modbus-write", "streams", 502, "modbus", 0),
        ("modbus-read", "streams", 502, "modbus", 1),
        ("modbus-diagnosis", "streams", 502, "modbus", 2),
        ("modbus-coil", "streams", 502, "modbus", 3),
        ("nfs", "streams", 2049, "nfs", 0),
        ("ntp", "datagrams", 123, "ntp", 0),
        ("pgsql-no-tls", "streams", 5432, "pgsql", 0),
        ("pgsql-startup", "streams", 5432, "pgsql", 1),
        ("pgsql-sasl", "streams", 5432, "pgsql", 2),
        ("pgsql-sasl-end", "streams", 5432, "pgsql", 3),
        ("pgsql-query", "streams", 5432, "pgsql", 4),
        ("pgsql-error", "streams", 5432, "pgsql", 5),
        ("pop3-login", "streams", 110, "pop3", 1),
        ("pop3-refused", "streams", 110, "pop3", 2),
        ("pop3-list", "streams", 110, "pop3", 3),
        ("rdp-request", "streams", 3389, "rdp", 0),
        ("rdp-response", "streams", 3389, "rdp", 1),
        ("rdp-connect", "streams", 3389, "rdp", 2),
        ("rdp-refused", "streams", 3389, "rdp-refused", 0),
        ("mqtt-connect", "streams", 1883, "mqtt", 0),
        ("mqtt-subscribe", "streams", 1883, "mqtt", 1),
        ("mqtt-publish", "streams", 1883, "mqtt", 2),
        ("mqtt-unsubscribe", "streams", 1883, "mqtt", 3),
        ("mqtt-pingreq", "streams", 1883, "mqtt", 4),
        ("mqtt-pingresp", "streams", 1883, "mqtt", 5),
        ("mqtt-auth", "streams", 1883, "mqtt", 6),
        ("mqtt-disconnect", "streams", 1883, "mqtt", 7),
        ("mqtt-truncated", "streams", 1883, "mqtt-long", 1),
        ("rfb", "streams", 5900, "rfb", 0),
        ("rfb-refused", "streams", 5900, "rfb-refused", 0),
        ("tftp", "datagrams", 69, "tftp", 0),
        ("websocket", "streams", 80, "websocket", 1),
    ];
    cases
        .into_iter()
        .map(|(name, kind, port, file, at)| (name, conversation(kind, port, file).swap_remove(at)))
        .collect()
}

/// What is told of a conversation: the form stands in `tests/fuzz/app.rs`.
fn conversation(kind: &str, port: u16, file: &str) -> Vec<AppRecord> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    let text = fs::read_to_string(folder.join(format!("app-{kind}/{file}.hex"))).unwrap();
    let digits: String = text.lines().map(|line| line.split('#').next().unwrap()).collect();
    let digits: Vec<u8> = digits.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let bytes: Vec<u8> =
        digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect();
    let mut talk = Conversation::with(port);
    let mut rest = &bytes[1..];
    while let Some((length, after)) = rest.split_first() {
        let toward = if length & 0x80 == 0 { Toward::Server } else { Toward::Client };
        let length = if length & 0x7f == 0x7f { after.len() } else { usize::from(length & 0x7f) };
        match kind {
            "streams" => talk.stream(toward, &after[..length]),
            _ => talk.datagram(toward, &after[..length]),
        };
        rest = &after[length..];
    }
    talk.told(true)
}

fn tls() -> AppRecord {
    let certificate = Arc::new(Certificate::read(&samples::certificate()).unwrap());
    let fingerprint = |string: &str| Some(Fingerprint { string: string.to_owned(), hash: "0".repeat(32) });
    AppRecord::Tls(Box::new(TlsRecord {
        version: 0x0303,
        sni: Some((*b"www.example.com").into()),
        session_resumed: true,
        certificate: Some(Arc::clone(&certificate)),
        client_certificate: Some(certificate),
        ja3: fingerprint("771,4865,0,29,0"),
        ja3s: fingerprint("771,4865,43"),
        ja4: Some("t12d0205h2_ea129fb87d9d_1d10bf7dccb0".to_owned()),
        client_alpns: vec![(*b"h2").into()],
        server_alpns: vec![(*b"h2").into()],
    }))
}

fn quic() -> AppRecord {
    let fingerprint = |string: &str| Some(Fingerprint { string: string.to_owned(), hash: "0".repeat(32) });
    AppRecord::Quic(Box::new(QuicRecord {
        version: Version(0x5130_3436),
        sni: Some((*b"www.example.com").into()),
        user_agent: Some((*b"Chrome").into()),
        cyu: fingerprint("46,PAD-SNI"),
        ja3: fingerprint("771,4865,0,29,0"),
        ja3s: fingerprint("771,4865,43"),
        ja4: Some("q13d0205h3_ea129fb87d9d_1d10bf7dccb0".to_owned()),
        extensions: vec![
            ExtensionRecord { number: 0, values: vec![(*b"www.example.com").into()] },
            ExtensionRecord { number: 0x1a1a, values: Vec::new() },
        ],
    }))
}

/// What stands beside an alert.
pub fn alerted() -> Vec<(&'static str, AppRecord)> {
    vec![
        ("alert-dns-query", dns(Form::AlertedQuery, &dns_query())),
        ("alert-dns-answer", dns(Form::AlertedAnswer, &dns_answer())),
        ("alert-smtp", smtp()),
        ("alert-http", http()),
        ("alert-frame", frame()),
    ]
}

fn frame() -> AppRecord {
    let (kind, toward) = ("request", Toward::Server);
    AppRecord::Frame(Box::new(FrameRecord { kind, toward, length: 420, complete: true }))
}

fn http() -> AppRecord {
    let text = |text: &str| Some(text.as_bytes().to_vec());
    AppRecord::Http(Box::new(HttpRecord {
        hostname: text("example.com"),
        port: Some(8080),
        url: Some(b"/a?b=\xff".to_vec()),
        user_agent: text("agent"),
        forwarded_for: text("192.0.2.1"),
        content_type: text("text/html"),
        content_range: text("bytes 0-1/2"),
        referer: text("http://example.com/"),
        method: text("GET"),
        protocol: text("HTTP/1.1"),
        status: Some(302),
        status_text: text("302?"),
        redirect: text("/z"),
        length: 1234,
        http2: None,
    }))
}

fn http2() -> AppRecord {
    let field =
        |name: &str, value: &str| Arc::new(Field { name: name.as_bytes().into(), value: value.as_bytes().into() });
    let record = Http2Record {
        stream: 1,
        request: Http2Half {
            headers: vec![field(":method", "GET")],
            size_updates: vec![40],
            settings: vec![(1, 4096), (99, 1)],
            error_code: Some(2),
            priority: Some(7),
            has_multiple: Some("priority"),
        },
        response: Http2Half { headers: vec![field(":status", "200")], error_code: Some(99), ..Http2Half::default() },
    };
    AppRecord::Http(Box::new(HttpRecord { http2: Some(Box::new(record)), ..HttpRecord::default() }))
}

fn file() -> AppRecord {
    let mut file = File::open(b"/a.exe", Hashes { md5: true, sha1: true, sha256: true });
    file.append(b"MZ", 100);
    file.close(false);
    assert!(file.magic().is_some());
    let account = FileAccount { file: file.record(), toward: Toward::Client, of: Some(http()) };
    AppRecord::File(Box::new(account))
}

fn dns(form: Form, bytes: &[u8]) -> AppRecord {
    AppRecord::Dns(Box::new(DnsRecord { tx_id: 2, message: Arc::new(Message::read(bytes).unwrap()), form }))
}

fn ftp() -> [(&'static str, AppRecord); 2] {
    let control = FtpRecord {
        command: Some(b"PASV".to_vec()),
        command_data: Some(b"x\xff".to_vec()),
        completion_codes: vec![b"227".to_vec()],
        replies: vec![b"Entering Passive Mode".to_vec()],
        dynamic_port: Some(5000),
        mode: Some(Mode::Passive),
        reply_received: true,
    };
    let data = FtpDataRecord { file_name: b"a.exe".to_vec(), command: "RETR" };
    [("ftp", AppRecord::Ftp(Box::new(control))), ("ftp_data", AppRecord::FtpData(Box::new(data)))]
}

fn smtp() -> AppRecord {
    let texts = |list: &[&str]| list.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>();
    let text = |text: &str| Some(text.as_bytes().to_vec());
    AppRecord::Smtp(Box::new(SmtpRecord {
        helo: text("me.example"),
        mail_from: text("<a@example>"),
        rcpt_to: texts(&["<b@example>", "<c@example>"]),
        email: Some(EmailRecord {
            status: "PARSE_DONE",
            from: text("A <a@example>"),
            to: texts(&["b@example", "c@example"]),
            cc: texts(&["d@example"]),
            subject: Some(b"caf\xe9".to_vec()),
            date: text("Fri, 20 Nov 2026 18:11:19 +0000"),
            message_id: text("<1@example>"),
            x_mailer: text("mailer 1"),
            received: texts(&["by x", "by y"]),
            attachment: texts(&["a.zip"]),
            url: texts(&["example.com/a"]),
        }),
    }))
}

fn dns_query() -> Vec<u8> {
    [&[0x12, 0x34, 0x01, 0x40, 0, 1, 0, 0, 0, 0, 0, 0], &b"\x04WwW.\x00\x00\x1c\x00\x01"[..]].concat()
}

/// One answer of each kind that EVE treats apart.
fn dns_answer() -> Vec<u8> {
    let mut bytes = b"\x12\x34\x87\xc3\x00\x01\x00\x09\x00\x01\x00\x00\x01a\x00\x00\xff\x00\x01".to_vec();
    let mut add = |rrtype: u8, data: &[u8]| {
        bytes.extend([0xc0, 12, 0, rrtype, 0, 1, 0, 0, 0, 60, 0, data.len() as u8]);
        bytes.extend_from_slice(data);
    };
    add(1, &[192, 0, 2, 1]);
    add(28, &[0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    add(5, b"\x01c\xc0\x0c");
    add(16, b"\x03one\x03t\xffo");
    add(15, b"\x00\x0a\x02mx\xc0\x0c");
    add(6, b"\x02ns\xc0\x0c\x04root\x00\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\x05");
    add(33, b"\x00\x01\x00\x02\x00\x50\x03srv\x00");
    add(44, b"\x01\x02\xab\xcd");
    add(46, b"\x00\x01");
    add(2, b"\x02ns\xc0\x0c");
    bytes
}

fn call(opnum: Option<u16>) -> DcerpcRecord {
    let half = |kind, fragments| Some(DcerpcHalf { kind, fragments, stub_bytes: 24 });
    match opnum {
        Some(opnum) => DcerpcRecord {
            request: half("REQUEST", Some(1)),
            response: half("RESPONSE", Some(2)),
            opnum,
            interfaces: Vec::new(),
            call_id: 27,
        },
        None => DcerpcRecord {
            request: half("BIND", None),
            response: None,
            opnum: 0,
            interfaces: vec![InterfaceRecord {
                uuid: *b"\x36\x7a\xbb\x81\x98\x44\x35\xf1\xad\x32\x98\xf0\x38\x00\x10\x03",
                version: (2, 0),
                answer: Some((2, 1)),
            }],
            call_id: 26,
        },
    }
}

fn dcerpc() -> Vec<(&'static str, AppRecord)> {
    let record = |call, transport| AppRecord::Dcerpc(Box::new(DcerpcFlowRecord { call, transport }));
    vec![
        ("dcerpc-bind", record(call(None), DcerpcTransport::Connection { minor: 0 })),
        ("dcerpc-request", record(call(Some(15)), DcerpcTransport::Connection { minor: 0 })),
        ("dcerpc-datagram", record(call(Some(4)), DcerpcTransport::Datagrams { activity: [0x1f; 16], sequence: 3 })),
    ]
}

fn smb() -> Vec<(&'static str, AppRecord)> {
    let record = |command: &str, detail| {
        AppRecord::Smb(Box::new(SmbRecord {
            id: 3,
            dialect: "3.11".to_owned(),
            command: Some(command.to_owned()),
            status: Some(("STATUS_SUCCESS".to_owned(), "0x0".to_owned())),
            session_id: 0x4400_0000_0011,
            tree_id: 1,
            detail,
        }))
    };
    let handle = || "0f0e0d0c-0b0a-0908-0706-050403020100".to_owned();
    let name = || b"a\\b.txt".to_vec();
    let ntlmssp = Ntlmssp {
        domain: b"WORK".to_vec(),
        user: b"ann".to_vec(),
        host: b"PC".to_vec(),
        version: Some((10, 0, 1, 15)),
    };
    let host = || Some((b"Unix".to_vec(), b"Samba".to_vec()));
    let setup = SmbDetail::SessionSetup { ntlmssp: Some(ntlmssp), request_host: host(), response_host: host() };
    let negotiate = SmbDetail::Negotiate {
        dialects: vec![b"2.02".to_vec()],
        client_guid: Some([1; 16]),
        server_guid: [2; 16],
        max_read_size: 8,
        max_write_size: 9,
    };
    let tree = |is_pipe, share_type, services| SmbDetail::TreeConnect { name: name(), is_pipe, share_type, services };
    let services = Some(Services { request: Some(b"?????".to_vec()), response: Some(b"IPC".to_vec()) });
    let create = |directory| SmbDetail::Create {
        name: name(),
        directory,
        disposition: "FILE_OPEN",
        delete_on_close: directory,
        created: 1,
        accessed: 2,
        modified: 3,
        changed: 4,
        size: 5,
        handle: handle(),
    };
    let rename = SmbDetail::Rename { from: name(), to: b"c".to_vec(), handle: handle(), by_set_info: true };
    let set_info = SmbDetail::SetInfo {
        name: name(),
        delete_on_close: true,
        class: "FILE_INFO",
        level: "SMB2_FILE_DISPOSITION_INFO",
        handle: handle(),
    };
    let file = SmbDetail::File { name: name(), share: b"\\srv\\x".to_vec(), handle: handle() };
    let ioctl = SmbDetail::Ioctl { function: "FSCTL_PIPE_WAIT".to_owned() };
    vec![
        ("smb-negotiate", record("SMB2_COMMAND_NEGOTIATE_PROTOCOL", negotiate)),
        ("smb-session-setup", record("SMB2_COMMAND_SESSION_SETUP", setup)),
        ("smb-tree-connect", record("SMB2_COMMAND_TREE_CONNECT", tree(false, Some("FILE"), None))),
        ("smb-tree-connect-pipe", record("SMB1_COMMAND_TREE_CONNECT_ANDX", tree(true, None, services))),
        ("smb-create", record("SMB2_COMMAND_CREATE", create(false))),
        ("smb-create-directory", record("SMB2_COMMAND_CREATE", create(true))),
        ("smb-file", record("SMB2_COMMAND_READ", file)),
        ("smb-rename", record("SMB2_COMMAND_SET_INFO", rename)),
        ("smb-set-info", record("SMB2_COMMAND_SET_INFO", set_info)),
        ("smb-ioctl", record("SMB2_COMMAND_IOCTL", ioctl)),
        ("smb-pipe-bind", record("SMB2_COMMAND_WRITE", SmbDetail::Dcerpc(call(None)))),
        ("smb-pipe-request", record("SMB2_COMMAND_IOCTL", SmbDetail::Dcerpc(call(Some(15))))),
    ]
}

fn small() -> Vec<(&'static str, AppRecord)> {
    let text = |text: &str| text.as_bytes().to_vec();
    let version = || text("SIP/2.0");
    let request = SipRecord::Request {
        method: text("BYE"),
        uri: text("sip:a"),
        version: version(),
        line: text("BYE sip:a SIP/2.0"),
    };
    let response =
        SipRecord::Response { version: version(), code: text("200"), reason: text("OK"), line: text("SIP/2.0 200 OK") };
    let reply = KrbRecord {
        msg_type: "KRB_TGS_REP".to_owned(),
        account: KrbAccount::Success,
        cname: Some("ann".to_owned()),
        realm: Some("EXAMPLE".to_owned()),
        sname: Some("ldap/dc".to_owned()),
        encryption: Some(("aes256-cts-hmac-sha1-96".to_owned(), false)),
        ticket_encryption: Some(("rc4-hmac".to_owned(), true)),
    };
    let error = KrbRecord {
        msg_type: "KRB_ERROR".to_owned(),
        account: KrbAccount::Failure {
            request: Some("KRB_AS_REQ".to_owned()),
            error_code: "KDC_ERR_PREAUTH_REQUIRED".to_owned(),
        },
        cname: None,
        encryption: None,
        ticket_encryption: None,
        ..reply.clone()
    };
    let trap = SnmpTrap { kind: "ColdStart".to_owned(), oid: "1.3.6".to_owned(), address: [192, 0, 2, 1].into() };
    let pdu = SnmpPduRecord {
        kind: "trap_v1".to_owned(),
        error: Some("TooBig".to_owned()),
        trap: Some(trap),
        variables: vec!["1.3.6.1".to_owned()],
    };
    let community = Some("public".to_owned());
    let plain = SnmpRecord { version: 1, community, usm: None, pdu: Some(pdu), encrypted: false };
    let secret = SnmpRecord { version: 3, community: None, usm: Some("ann".to_owned()), pdu: None, encrypted: true };
    vec![
        ("sip-request", AppRecord::Sip(Box::new(request))),
        ("sip-response", AppRecord::Sip(Box::new(response))),
        ("krb5-reply", AppRecord::Krb5(Box::new(reply))),
        ("krb5-error", AppRecord::Krb5(Box::new(error))),
        ("snmp-trap", AppRecord::Snmp(Box::new(plain))),
        ("snmp-encrypted", AppRecord::Snmp(Box::new(secret))),
        ("ssh", AppRecord::Ssh(Box::new(ssh()))),
    ]
}

fn ssh() -> SshRecord {
    let side = |software: &str, hash: &str| SshSide {
        proto: (*b"2.0").into(),
        software: software.as_bytes().into(),
        hassh_string: (*b"curve25519-sha256;aes128-ctr;hmac-sha2-256;none").into(),
        hassh: hash.to_owned(),
    };
    SshRecord {
        client: side("OpenSSH_9.2p1", "ec7378c1a92f5a8dde7e8b7a1ddf33d1"),
        server: side("OpenSSH_9.6", "b12d2871a1189eff20364cf5333619ee"),
    }
}
