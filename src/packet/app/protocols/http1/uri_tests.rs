use super::*;

fn normal(uri: &str) -> String {
    let (form, _) = Uri::of(uri.as_bytes()).normalised(UriForm::default());
    form.iter().map(|byte| char::from(*byte)).collect()
}

#[test]
fn every_disguise_of_a_uri_has_one_form() {
    let cases = [
        ("/", "/"),
        ("/a/b?c=d", "/a/b?c=d"),
        ("/%61%62", "/ab"),
        ("/%u0061b", "/ab"),
        ("/%uff41b", "/ab"),
        ("/%2561", "/%61"),
        ("/a%2fb%5cc\\d", "/a/b/c/d"),
        ("/a//b///c", "/a/b/c"),
        ("/a/./b/../c", "/a/c"),
        ("/a/b/..", "/a/"),
        ("/a/b/.", "/a/b/"),
        ("/../../etc", "/etc"),
        ("/..", "/"),
        ("/a/.b/..c/...", "/a/.b/..c/..."),
        ("/a/%2e%2e/b", "/b"),
        ("/a/%2e%2e%5cb", "/b"),
        ("/%c0%af..%c0%afb", "/b"),
        ("/%zz%4", "/%zz%4"),
        ("/a?b=%2e%2e/%2f&c=+%20", "/a?b=..//&c=+ "),
        ("/a?%u0061", "/a?%u0061"),
        ("/a%00b", "/a\0b"),
        ("/a#f%61", "/a#fa"),
        ("http://user:pw@Example.COM:8080/x?y#z", "/x?y#z"),
        ("http://example.com", ""),
        ("a/../b", "/b"),
        ("*", "*"),
    ];
    for (uri, form) in cases {
        assert_eq!(normal(uri), form, "{uri}");
    }
}

#[test]
fn parts_are_found() {
    let parts = Uri::of(b"http://user:pw@h:81/x?y?z#w#v");
    assert_eq!((parts.scheme, parts.host, parts.port), (Some(&b"http"[..]), Some(&b"h"[..]), Some(&b"81"[..])));
    assert_eq!((parts.path, parts.query, parts.fragment), (Some(&b"/x"[..]), Some(&b"y?z"[..]), Some(&b"w#v"[..])));
    assert_eq!(Uri::of_authority(b"[::1]:443").port, Some(&b"443"[..]));
    assert_eq!(split_host(b" a.b : 80 "), (Some(&b"a.b"[..]), Some(&b"80"[..])));
}

#[test]
fn hosts_are_brought_to_one_form_and_judged() {
    assert_eq!(normal_host(b"WWW.Example.COM.."), b"www.example.com");
    for host in [&b"a"[..], b"a.b-c.d_e", b"1.2.3.4", b"[::1]", b"a."] {
        assert!(is_valid_host(host), "{host:?}");
    }
    for host in [&b""[..], b"a..b", b".a", b"a b", b"a/b", b"[x]"] {
        assert!(!is_valid_host(host), "{host:?}");
    }
}

#[test]
fn a_second_decoding_is_told() {
    let form = UriForm { double_decode_path: true, double_decode_query: true, ..UriForm::default() };
    assert_eq!(Uri::of(b"/%2561?%2562").normalised(form), (b"/a?b".to_vec(), true));
}
