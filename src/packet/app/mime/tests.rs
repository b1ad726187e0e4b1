use proptest::prelude::*;

use super::*;

/// A mail through the reader, line by line.
fn read(text: &str) -> Mime {
    let mut mail = Mime::new(MimePlan { inspect_max: 1000, hashes: Hashes::default() });
    for line in text.split_inclusive('\n') {
        let (text, end) = line.split_at(line.trim_end_matches(['\r', '\n']).len());
        mail.piece(Piece { text: text.as_bytes(), end: end.as_bytes(), begins: true });
    }
    mail.finish(false);
    mail
}

fn files(mail: &Mime) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    mail.files().iter().map(|file| (text(file.name()), text(file.data()))).collect()
}

const NESTED: &str = "From: a@b.c\r\nSubject: one\r\n two\r\nReceived: by x\r\nReceived: by y\r\n\
    Content-Type: multipart/mixed; boundary=\"outer\"\r\n\r\npreamble\r\n--outer\r\n\
    Content-Type: multipart/alternative; boundary=outer-in\r\n\r\n--outer-in\r\nContent-Type: text/plain\r\n\r\n\
    see http://example.com/a?b=1, HTTPS://two.example\r\n--outer-in--\r\n--outer\r\n\
    Content-Type: application/zip; name=\"a;b.zip\"\r\nContent-Transfer-Encoding: BASE64\r\n\r\nUEsD\r\nBAo\r\n=\r\n--outer\r\n\
    Content-Type: text/plain\r\nContent-Disposition: attachment; filename*0=\"no\"; filename*1=\"te.txt\"\r\n\
    Content-Transfer-Encoding: quoted-printable\r\n\r\none=20\r\nt=\r\nwo=3D\r\n--outer\r\n\
    Content-Type: message/rfc822\r\n\r\nSubject: inner\r\nContent-Disposition: attachment; filename=x.exe\r\n\r\nMZ\r\n\r\nline\r\n\
    --outer--\r\nepilogue\r\n";

#[test]
fn parts_are_found_and_decoded() {
    let mail = read(NESTED);
    assert_eq!(mail.header("subject"), Some(&b"one two"[..]), "the mail's own, unfolded");
    assert_eq!(mail.all_headers("received").count(), 2);
    let expected = [("a;b.zip", "PK\\x03\\x04\\n"), ("note.txt", "one \\r\\ntwo="), ("x.exe", "MZ\\r\\n\\r\\nline")];
    assert_eq!(files(&mail), expected.map(|(name, data)| (name.to_owned(), data.to_owned())));
    assert_eq!(mail.urls(), [&b"example.com/a?b=1,"[..], b"two.example"]);
    assert_eq!(mail.events, [""; 0]);
}

/// A very long line comes in pieces.
#[test]
fn pieces_of_a_line_are_one_line() {
    let mut mail = Mime::new(MimePlan { inspect_max: 10_000, hashes: Hashes::default() });
    let head = "Content-Disposition: attachment\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n";
    for line in head.split_inclusive("\r\n") {
        mail.piece(Piece { text: line.trim_end().as_bytes(), end: b"\r\n", begins: true });
    }
    for (text, end, begins) in [("a=", "", true), ("4", "", false), ("1--b=", "\r\n", false), ("c", "\r\n", true)] {
        mail.piece(Piece { text: text.as_bytes(), end: end.as_bytes(), begins });
    }
    mail.finish(false);
    assert_eq!(files(&mail), [(String::new(), "aA--bc".to_owned())]);
}

#[test]
fn damage_is_named_and_does_not_stop_the_rest() {
    let attached = |encoding: &str, body: &str| {
        format!(
            "Content-Transfer-Encoding: {encoding}\r\nContent-Disposition: attachment; filename=f\r\n\r\n{body}\r\n"
        )
    };
    let long = "a".repeat(2100);
    let cases: [(&str, String, &str, Option<&str>); 7] = [
        ("digits that are none", attached("base64", "QU*JD"), "smtp.mime_invalid_base64", Some("ABC")),
        ("text behind the padding", attached("base64", "QQ==QkI="), "", Some("ABB")),
        ("an escape that is none", attached("quoted-printable", "a=zz b"), "smtp.mime_invalid_qp", Some("a=zz b")),
        ("white space behind a soft break", attached("quoted-printable", "a= \r\nb"), "", Some("ab")),
        ("an encoded line of 80", attached("base64", &"QUJD".repeat(20)), "smtp.mime_long_enc_line", None),
        (
            "a header without a colon",
            format!("no header\r\n{}", attached("7bit", "x")),
            "smtp.mime_malformed_msg",
            Some("x"),
        ),
        ("a value of 2100", format!("X: {long}\r\n\r\n"), "smtp.mime_long_header_value", None),
    ];
    for (what, text, event, data) in cases {
        let mail = read(&text);
        let named: Vec<_> = mail.events.iter().filter(|event| **event != "smtp.mime_long_line").collect();
        assert_eq!(named, Vec::from_iter((!event.is_empty()).then_some(&event)), "{what}");
        if let Some(data) = data {
            assert_eq!(files(&mail), [("f".to_owned(), data.to_owned())], "{what}");
        }
    }
}

#[test]
fn the_caps_hold() {
    let nested: String = (0..40)
        .map(|depth| format!("Content-Type: multipart/mixed; boundary=b{depth}x\r\n\r\n--b{depth}x\r\n"))
        .collect();
    let mail = read(&nested);
    assert_eq!(mail.boundaries.len(), NESTING_MAX);
    assert!(mail.events.contains(&"smtp.mime_parse_failed"));

    let part = "--b\r\nContent-Disposition: attachment; filename=f\r\n\r\ndata\r\n";
    let many = format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{}", part.repeat(FILE_COUNT_MAX + 1));
    let mail = read(&many);
    assert_eq!(mail.files().len(), FILE_COUNT_MAX);
    assert!(mail.events.contains(&"smtp.mime_parse_failed"));

    let headers: String = (0..500).map(|at| format!("X{at}: {}\r\n", "v".repeat(3000))).collect();
    assert!(read(&headers).heap_bytes() < 700_000);
}

proptest! {
    /// Encoded in lines of any length, decoded as it was.
    #[test]
    fn base64_comes_out_as_it_went_in(data in proptest::collection::vec(any::<u8>(), 0..300), width in 1_usize..77) {
        use base64::Engine as _;
        let encoded = base64::engine::general_purpose::STANDARD.encode(&data);
        let lines: String = encoded.as_bytes().chunks(width).map(|line| format!("{}\r\n", line.escape_ascii())).collect();
        let mail = read(&format!("Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment\r\n\r\n{lines}"));
        prop_assert_eq!(mail.files()[0].data(), &data[..]);
        prop_assert_eq!(&mail.events, &[""; 0]);
    }
}
