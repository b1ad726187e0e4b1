//! The kind of a file in libmagic's words, such as `PE32 executable (GUI) Intel 80386`: what `filemagic` asks.
//!
//! The crate `pure-magic` reads libmagic's own rules without its code; `docs/decisions` has what it costs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;

use pure_magic::MagicDb;

/// First bytes of a file that say what it is. Patterns further on are of disk images and the like.
pub const HEAD_BYTES_MAX: usize = 4096;

/// libmagic's word for what it does not know.
const UNKNOWN: &str = "data";

static KINDS: LazyLock<Option<MagicDb>> = LazyLock::new(|| magic_db::load().ok());

/// Reads the patterns, once. Rules that ask for kinds do so when they are compiled, so that no packet waits for it.
///
/// # Errors
/// When the patterns cannot be read.
pub fn prepare() -> Result<(), &'static str> {
    KINDS.as_ref().map(|_| ()).ok_or("the patterns of file kinds cannot be read")
}

/// The kind of a file that begins with `head`.
#[must_use]
pub fn kind_of(head: &[u8]) -> String {
    let head = head.get(..HEAD_BYTES_MAX).unwrap_or(head);
    let Some(kinds) = KINDS.as_ref() else { return UNKNOWN.to_owned() };
    // Files are hostile, and the library is not ours.
    let found = catch_unwind(AssertUnwindSafe(|| kinds.first_magic_slice(head, None).map(|kind| kind.message())));
    match found {
        Ok(Ok(kind)) if !kind.is_empty() => kind,
        _ => UNKNOWN.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_in_the_words_of_libmagic() {
        let cases: [(&[u8], &str); 5] = [
            (b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0\x01\0\0\0", "ELF 64-bit LSB"),
            (b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", "PDF document"),
            (b"GIF89a\x01\0\x01\0\0\0\0\0", "GIF image data, version 89a"),
            (b"hello\n", "ASCII text"),
            (b"\x01\xfe\x93\x02", "data"),
        ];
        for (head, kind) in cases {
            let found = kind_of(head);
            assert!(found.starts_with(kind), "{found} for {}", head.escape_ascii());
        }
    }
}
