//! What stands in nearly every exchange, so that it tells rules from each other in none.

use std::sync::LazyLock;

use foldhash::fast::FixedState;
use hashbrown::HashSet;

/// Bytes of one window.
const WIDTH: usize = 4;

/// Written here as clients, servers and pages write it; case does not count.
const EVERYWHERE: &[&str] = &[
    "GET / HTTP/1.1\r\nHost: www.",
    ".com\r\nConnection: keep-alive\r\nAccept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n",
    "POST / HTTP/1.1\r\nHTTP/1.0\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1",
    "User-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/ Safari/537.36\r\n",
    "User-Agent: Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1; SV1)\r\nMozilla/5.0 (X11; Linux x86_64; rv:) Gecko/20100101 Firefox/\r\n",
    "Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\nReferer: http://www. https://\r\nCookie: \r\n",
    "HTTP/1.1 200 OK\r\nDate: Mon, 01 Jan 2020 00:00:00 GMT\r\nServer: Apache\r\nnginx\r\nLast-Modified: \r\nETag: \r\n",
    "Content-Type: text/html; charset=UTF-8\r\ntext/plain\r\nTransfer-Encoding: chunked\r\nVary: Accept-Encoding\r\n",
    "Cache-Control: no-cache, no-store, max-age=0, must-revalidate, private\r\nPragma: no-cache\r\nExpires: \r\n\r\n",
    "Set-Cookie: path=/; domain=\r\nConnection: close\r\nLocation: http://\r\nAccept-Ranges: bytes\r\n",
    "<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Transitional//EN\" \"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd\">",
    "<html><head><title></title><meta http-equiv=\"Content-Type\" content=\"text/html\"><link rel=\"stylesheet\" type=\"text/css\" href=\"",
    "<script type=\"text/javascript\" src=\"http://</script><body><div class=\"<table width=\"100%\" border=\"0\"<td><tr><a href=\"<br><img src=\"",
    "index.html index.php .asp .jpg .gif .css .js ?id=&function(var return document. window. this. = new ",
    "the and for with that from ing tion this program ",
];

static WINDOWS: LazyLock<HashSet<[u8; WIDTH], FixedState>> = LazyLock::new(|| {
    let windows = EVERYWHERE.iter().flat_map(|text| text.as_bytes().array_windows::<WIDTH>());
    windows.map(|window| window.map(|byte| byte.to_ascii_lowercase())).collect()
});

/// Whether four bytes in lower case stand in nearly every exchange.
#[must_use]
pub fn is_common(window: [u8; WIDTH]) -> bool {
    WINDOWS.contains(&window)
}

/// Which bytes of a pattern belong to something that stands everywhere.
pub fn common_bytes(pattern: &[u8]) -> impl Fn(usize) -> bool {
    let lower = pattern.to_ascii_lowercase();
    move |at| {
        let from = (at + 1).saturating_sub(WIDTH);
        (from..=at).any(|from| lower.get(from..).and_then(<[u8]>::first_chunk).is_some_and(|window| is_common(*window)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_names_are_common_and_an_attack_is_not() {
        assert!(is_common(*b"host") && is_common(*b"/1.1"));
        assert!(!is_common(*b"cmd.") && !is_common([0x90; 4]));
        let common = common_bytes(b"User-Agent: evilbot");
        assert!((0..10).all(&common));
        assert!((13..19).all(|at| !common(at)));
    }
}
