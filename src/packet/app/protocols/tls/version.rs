//! Versions of TLS: their numbers, and Suricata's names for them.

use std::borrow::Cow;

pub const SSL_2: u16 = 0x0002;
pub const SSL_3: u16 = 0x0300;
pub const TLS_1_2: u16 = 0x0303;
pub const TLS_1_3: u16 = 0x0304;
/// The drafts of TLS 1.3 before the 16th, which cannot be told apart.
const EARLY_DRAFT: u16 = 0x7f01;

/// A draft of TLS 1.3, by the number that IETF drafts use.
#[must_use]
pub fn is_draft(version: u16) -> bool {
    version >> 8 == 0x7f
}

/// A hello's version field, with the early drafts of TLS 1.3 folded into one. Final TLS 1.3 never stands in this field.
#[must_use]
pub fn of_hello(field: u16) -> u16 {
    match field {
        TLS_1_3 | 0x7f01..0x7f10 => EARLY_DRAFT,
        other => other,
    }
}

/// A version that somebody may mean, and no GREASE.
#[must_use]
pub fn is_known(version: u16) -> bool {
    matches!(version, SSL_3..=TLS_1_3) || is_draft(version) || version >> 8 == 0xfb
}

/// EVE `tls.version`. 0 is a side that was never heard.
#[must_use]
pub fn name(version: u16) -> Cow<'static, str> {
    let name = match version {
        0 => "UNDETERMINED",
        SSL_2 => "SSLv2",
        SSL_3 => "SSLv3",
        0x0301 => "TLSv1",
        0x0302 => "TLS 1.1",
        TLS_1_2 => "TLS 1.2",
        TLS_1_3 => "TLS 1.3",
        EARLY_DRAFT => "TLS 1.3 draft-<16",
        0x7f10..=0x7f1c => return Cow::Owned(format!("TLS 1.3 draft-{}", version & 0xff)),
        0xfb14..=0xfb17 | 0xfb1a => return Cow::Owned(format!("TLS 1.3 draft-{}-fb", version & 0xff)),
        other => return Cow::Owned(format!("0x{other:04x}")),
    };
    Cow::Borrowed(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_the_names_that_eve_writes() {
        let cases = [
            (0, "UNDETERMINED"),
            (0x0002, "SSLv2"),
            (0x0301, "TLSv1"),
            (0x0302, "TLS 1.1"),
            (0x0304, "TLS 1.3"),
            (0x7f12, "TLS 1.3 draft-18"),
            (0xfb17, "TLS 1.3 draft-23-fb"),
            (of_hello(0x0304), "TLS 1.3 draft-<16"),
            (of_hello(0x7f0e), "TLS 1.3 draft-<16"),
            (0x3230, "0x3230"),
        ];
        for (version, expected) in cases {
            assert_eq!(name(version), expected, "{version:#06x}");
        }
    }
}
