//! Questions about TLS handshakes and certificates that are no contents of a buffer, and the old names of some that are.

use super::buffers::Buffer;
use super::content::{whole_buffer, within_buffer};
use super::number::{comparison, integer};
use super::{Arg, Draft, Keyword, option};
use crate::rules::app::{AppTest, Field, TlsMessage, TlsTest};
use crate::rules::error::{Code, Mistake, Span, nearest};
use crate::rules::plan::NumberTest;

const FAMILY: &str = "tls";

pub(super) static KEYWORDS: &[Keyword] = &[
    option("tls.version", FAMILY, "1.0|1.1|1.2|1.3|0xNNNN", "The version that this side speaks.", version),
    option("ssl_version", FAMILY, "[!]sslv2|sslv3|tls1.0|...[,...]", "This side speaks one of these.", versions),
    option("ssl_state", FAMILY, "[!]client_hello|server_hello|...", "This packet has one of these messages.", state),
    option("tls.subject", FAMILY, "[!]\"text\"", "Old form of a content in tls.cert_subject.", subject),
    option("tls.issuerdn", FAMILY, "[!]\"text\"", "Old form of a content in tls.cert_issuer.", issuer),
    option("tls.fingerprint", FAMILY, "[!]\"0a:1b:...\"", "Old form of tls.cert_fingerprint, as a whole.", fingerprint),
    option(
        "tls_cert_notbefore",
        FAMILY,
        "[op]date | date<>date",
        "When the certificate begins to be valid.",
        notbefore,
    ),
    option("tls_cert_notafter", FAMILY, "[op]date | date<>date", "When the certificate ends to be valid.", notafter),
    option("tls_cert_expired", FAMILY, "", "The certificate was no longer valid when it was sent.", expired),
    option("tls_cert_valid", FAMILY, "", "The certificate was valid when it was sent.", valid),
    option("tls.cert_chain_len", FAMILY, "[op]number", "How many certificates were sent.", chain_length),
];

fn push(draft: &mut Draft<'_>, arg: &Arg<'_>, test: TlsTest) {
    draft.app.push((AppTest::Tls(test), arg.option()));
}

const VERSIONS: &[(&str, u16)] = &[("1.0", 0x0301), ("1.1", 0x0302), ("1.2", 0x0303), ("1.3", 0x0304)];

fn version(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let span = arg.unquoted();
    let text = arg.at(span).trim();
    let found = VERSIONS.iter().find(|(name, _)| *name == text).map(|(_, version)| *version);
    let test = match found {
        Some(version) => TlsTest::Version { version, exact: false },
        None if text.starts_with("0x") => {
            let version = integer(text, span, 0, 0xffff)?;
            TlsTest::Version { version: u16::try_from(version).unwrap_or(0), exact: true }
        }
        None => {
            return Err(Mistake::new(Code::Value, span, "neither 1.0, 1.1, 1.2 or 1.3 nor a number such as 0x7f12"));
        }
    };
    push(draft, arg, test);
    Ok(())
}

const SSL_VERSIONS: &[(&str, u16)] = &[
    ("sslv2", 0x0002),
    ("sslv3", 0x0300),
    ("tls1.0", 0x0301),
    ("tls1.1", 0x0302),
    ("tls1.2", 0x0303),
    ("tls1.3", 0x0304),
];

fn versions(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let (negated, any) = words(arg, b',', SSL_VERSIONS)?;
    push(draft, arg, TlsTest::Versions { any: any.into(), negated });
    Ok(())
}

const MESSAGES: &[(&str, TlsMessage)] = &[
    ("client_hello", TlsMessage::CLIENT_HELLO),
    ("server_hello", TlsMessage::SERVER_HELLO),
    ("client_keyx", TlsMessage::CLIENT_KEY_EXCHANGE),
    ("server_keyx", TlsMessage::SERVER_KEY_EXCHANGE),
];

fn state(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let separator = if arg.text().contains('|') { b'|' } else { b',' };
    let (negated, messages) = words(arg, separator, MESSAGES)?;
    let any = messages.into_iter().fold(TlsMessage::default(), TlsMessage::or);
    push(draft, arg, TlsTest::Said { any, negated });
    Ok(())
}

/// A list of words with their meanings: all of them negated, or none.
fn words<T: Copy>(arg: &Arg<'_>, separator: u8, table: &[(&str, T)]) -> Result<(bool, Vec<T>), Mistake> {
    let mut meanings = Vec::new();
    let mut negations = Vec::new();
    for span in super::super::lex::split(arg.rule, arg.unquoted(), separator) {
        let word = arg.at(span).trim();
        let name = word.strip_prefix('!').unwrap_or(word).trim_start();
        negations.push(name.len() != word.len());
        let Some((_, meaning)) = table.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) else {
            let mistake = Mistake::new(Code::Value, span, format!("`{name}` is not known"));
            return Err(match nearest(name, table.iter().map(|(known, _)| *known)) {
                Some(near) => mistake.help(format!("did you mean `{near}`?")),
                None => mistake,
            });
        };
        meanings.push(*meaning);
    }
    match negations.split_first() {
        // A `!` in front negates the list, whether the others have one or not.
        Some((true, _)) => Ok((true, meanings)),
        Some((false, others)) if !others.contains(&true) => Ok((false, meanings)),
        Some(_) => Err(arg.wrong("some are negated, and others are not")),
        None => Err(arg.wrong("nothing is listed")),
    }
}

fn subject(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    within_buffer(draft, arg, Buffer::TLS_CERT_SUBJECT)
}

fn issuer(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    within_buffer(draft, arg, Buffer::TLS_CERT_ISSUER)
}

fn fingerprint(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    whole_buffer(draft, arg, Buffer::TLS_CERT_FINGERPRINT)
}

fn notbefore(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    date_test(draft, arg, Field::TlsNotBefore)
}

fn notafter(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    date_test(draft, arg, Field::TlsNotAfter)
}

fn expired(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    push(draft, arg, TlsTest::Expired);
    Ok(())
}

fn valid(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    push(draft, arg, TlsTest::Valid);
    Ok(())
}

fn chain_length(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let test = comparison(arg.rule, arg.unquoted(), u32::MAX)?;
    draft.app.push((AppTest::Number { field: Field::TlsChainLength, test }, arg.option()));
    Ok(())
}

fn date_test(draft: &mut Draft<'_>, arg: &Arg<'_>, field: Field) -> Result<(), Mistake> {
    let span = arg.unquoted();
    let text = arg.at(span).trim();
    let test = if let Some(date) = text.strip_prefix('<') {
        NumberTest::Less(seconds(date, span)?)
    } else if let Some(date) = text.strip_prefix('>') {
        NumberTest::Greater(seconds(date, span)?)
    } else if let Some((from, to)) = text.split_once("<>") {
        NumberTest::Between(seconds(from, span)?, seconds(to, span)?)
    } else {
        NumberTest::Equal(seconds(text, span)?)
    };
    draft.app.push((AppTest::Number { field, test }, arg.option()));
    Ok(())
}

/// `2016`, `2016-10`, `2016-10-22T15:30:05` and what lies between, in UTC, as seconds since 1970.
fn seconds(date: &str, span: Span) -> Result<u64, Mistake> {
    let date = date.trim();
    let wrong = || {
        Mistake::new(Code::Value, span, format!("`{date}` is no date"))
            .help("dates are written 2016, 2016-10, 2016-10-22 or 2016-10-22T15:30:05")
    };
    let (day, time) = date.split_once('T').unwrap_or((date, "0"));
    let numbers = |text: &str, separator| -> Option<Vec<i8>> {
        text.split(separator).map(|part| part.parse::<i8>().ok()).collect()
    };
    let (year, rest) = day.split_once('-').unwrap_or((day, ""));
    let year = year.parse::<i16>().ok().filter(|year| *year >= 1970).ok_or_else(wrong)?;
    let month_day = if rest.is_empty() { Vec::new() } else { numbers(rest, '-').ok_or_else(wrong)? };
    let clock = numbers(time, ':').ok_or_else(wrong)?;
    let (month, day) = match *month_day {
        [] => (1, 1),
        [month] => (month, 1),
        [month, day] => (month, day),
        _ => return Err(wrong()),
    };
    let (hour, minute, second) = match *clock {
        [hour] => (hour, 0, 0),
        [hour, minute] => (hour, minute, 0),
        [hour, minute, second] => (hour, minute, second),
        _ => return Err(wrong()),
    };
    let moment = jiff::civil::DateTime::new(year, month, day, hour, minute, second, 0);
    let moment = moment.and_then(|moment| moment.to_zoned(jiff::tz::TimeZone::UTC));
    u64::try_from(moment.map_err(|_| wrong())?.timestamp().as_second()).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_may_end_early() {
        let cases = [
            ("1970", Some(0)),
            ("2016-10", Some(1_475_280_000)),
            ("2016-10-22", Some(1_477_094_400)),
            ("2016-10-22T15", Some(1_477_148_400)),
            ("2016-10-22T15:30:05", Some(1_477_150_205)),
            ("2016-13", None),
            ("1969", None),
            ("soon", None),
            ("2016-10-22T25", None),
            ("2016-1-2-3", None),
        ];
        for (text, expected) in cases {
            assert_eq!(seconds(text, Span::default()).ok(), expected, "{text}");
        }
    }
}
