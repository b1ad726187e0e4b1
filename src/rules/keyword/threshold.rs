//! `threshold` and `detection_filter`: how often a rule speaks; `tag`: what it records afterwards.

use super::number::{integer, unsigned};
use super::{Arg, Draft, Keyword, once, option};
use crate::rules::error::{Code, Mistake, Span};
use crate::rules::lex::{split, trim};
use crate::rules::plan::{PortSide, TAG_PACKET_COUNT_MAX, Tag, TagEnd, TagScope, Threshold, ThresholdKind, Track};

pub(super) static KEYWORDS: &[Keyword] = &[
    option(
        "threshold",
        "threshold",
        "type limit|threshold|both|backoff, track by_src|by_dst|by_both|by_rule|by_flow, count n, seconds n | multiplier n",
        "How often a match is told.",
        threshold,
    ),
    option(
        "detection_filter",
        "threshold",
        "track by_src|by_dst|by_both|by_rule|by_flow, count n, seconds n[, unique_on src_port|dst_port]",
        "The rule matches only after more than so many hits in the interval, or hits on so many ports.",
        detection_filter,
    ),
    option(
        "tag",
        "threshold",
        "session|host[,count,packets|bytes|seconds[,src|dst]]",
        "Packets that follow a match are recorded; 256 packets if nothing is said.",
        tag,
    ),
];

#[derive(Default)]
struct Parts {
    kind: Option<ThresholdKind>,
    track: Option<Track>,
    count: Option<u32>,
    seconds: Option<u32>,
    multiplier: Option<u32>,
    distinct: Option<PortSide>,
}

fn parts(arg: &Arg<'_>) -> Result<Parts, Mistake> {
    let mut parts = Parts::default();
    for span in split(arg.rule, arg.unquoted(), b',') {
        let text = arg.at(span);
        let (word, value) = text.split_once([' ', '\t']).unwrap_or((text, ""));
        let value_span = trim(arg.rule, Span::new(span.end - value.len(), span.end));
        match (word, arg.at(value_span)) {
            ("type", "limit") => once(&mut parts.kind, ThresholdKind::Limit, arg)?,
            ("type", "threshold") => once(&mut parts.kind, ThresholdKind::Threshold, arg)?,
            ("type", "both") => once(&mut parts.kind, ThresholdKind::Both, arg)?,
            ("type", "backoff") => once(&mut parts.kind, ThresholdKind::Backoff { multiplier: 0 }, arg)?,
            ("track", "by_src") => once(&mut parts.track, Track::Source, arg)?,
            ("track", "by_dst") => once(&mut parts.track, Track::Destination, arg)?,
            ("track", "by_both") => once(&mut parts.track, Track::Both, arg)?,
            ("track", "by_rule") => once(&mut parts.track, Track::Rule, arg)?,
            ("track", "by_flow") => once(&mut parts.track, Track::Flow, arg)?,
            ("multiplier", number) => once(&mut parts.multiplier, positive(number, value_span)?, arg)?,
            ("unique_on", "src_port") => once(&mut parts.distinct, PortSide::Source, arg)?,
            ("unique_on", "dst_port") => once(&mut parts.distinct, PortSide::Destination, arg)?,
            ("count", number) => once(&mut parts.count, positive(number, value_span)?, arg)?,
            ("seconds", number) => once(&mut parts.seconds, positive(number, value_span)?, arg)?,
            _ => return Err(Mistake::new(Code::Value, span, format!("`{text}` is not understood here"))),
        }
    }
    Ok(parts)
}

fn positive(text: &str, span: Span) -> Result<u32, Mistake> {
    integer(text, span, 1, i64::from(u32::MAX)).map(|value| u32::try_from(value).unwrap_or(u32::MAX))
}

fn threshold(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let threshold = match parts(arg)? {
        Parts {
            kind: Some(ThresholdKind::Backoff { .. }),
            track,
            count: Some(count),
            seconds: None,
            multiplier,
            distinct: None,
        } => {
            let (Some(Track::Flow), Some(multiplier @ 2..)) = (track, multiplier) else {
                return Err(arg
                    .wrong("`backoff` wants `track by_flow` and a multiplier above 1")
                    .help("for example `threshold:type backoff, track by_flow, count 1, multiplier 10;`"));
            };
            Threshold { kind: ThresholdKind::Backoff { multiplier }, track: Track::Flow, count, seconds: u32::MAX }
        }
        Parts {
            kind: Some(kind),
            track: Some(track),
            count: Some(count),
            seconds: Some(seconds),
            multiplier: None,
            distinct: None,
        } if !matches!(kind, ThresholdKind::Backoff { .. }) => Threshold { kind, track, count, seconds },
        _ => {
            return Err(arg
                .wrong("type, track, count and seconds are all needed")
                .help("for example `threshold:type limit, track by_src, count 1, seconds 60;`"));
        }
    };
    set(draft, arg, threshold)
}

fn detection_filter(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let Parts { kind: None, track: Some(track), count: Some(count), seconds: Some(seconds), multiplier: None, distinct } =
        parts(arg)?
    else {
        return Err(arg
            .wrong("track, count and seconds are all needed, and nothing else but `unique_on`")
            .help("for example `detection_filter:track by_src, count 30, seconds 60;`"));
    };
    if distinct.is_some() && track == Track::Flow {
        return Err(arg.wrong("a flow's ports are always the same").help("leave out `unique_on`"));
    }
    set(draft, arg, Threshold { kind: ThresholdKind::DetectionFilter { distinct }, track, count, seconds })
}

fn set(draft: &mut Draft<'_>, arg: &Arg<'_>, threshold: Threshold) -> Result<(), Mistake> {
    if draft.threshold.is_some() {
        return Err(Mistake::new(Code::Conflict, arg.option(), "a second threshold in one rule")
            .help("keep one; `type both` waits for the count and then speaks once an interval"));
    }
    draft.threshold = Some(threshold);
    Ok(())
}

fn tag(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let parts = split(arg.rule, arg.unquoted(), b',');
    let (scope, count, side) = match parts.as_slice() {
        [scope] => (*scope, None, None),
        [scope, count, unit] => (*scope, Some((*count, *unit)), None),
        [scope, count, unit, side] => (*scope, Some((*count, *unit)), Some(*side)),
        _ => return Err(arg.wrong("a number needs its unit").help("for example `tag:session,20,packets;`")),
    };
    let session = match arg.at(scope).to_ascii_lowercase().as_str() {
        "session" => true,
        "host" => false,
        other => return Err(Mistake::new(Code::Value, scope, format!("`{other}` is neither `session` nor `host`"))),
    };
    let side_word = side.map(|span| (arg.at(span).to_ascii_lowercase(), span));
    let scope = match side_word.as_ref().map(|(word, span)| (word.as_str(), *span)) {
        // A session has no side, but Suricata lets one be named.
        None | Some(("src" | "dst", _)) if session => TagScope::Session,
        None | Some(("dst", _)) => TagScope::DestinationHost,
        Some(("src", _)) => TagScope::SourceHost,
        Some((other, span)) => {
            return Err(Mistake::new(Code::Value, span, format!("`{other}` is neither `src` nor `dst`")));
        }
    };
    let until = match count {
        None => TagEnd::Packets(TAG_PACKET_COUNT_MAX),
        Some((count, unit)) => {
            let number: u32 = unsigned(arg.at(count), count, u32::MAX)?;
            match arg.at(unit).to_ascii_lowercase().as_str() {
                "packets" => TagEnd::Packets(number.min(TAG_PACKET_COUNT_MAX)),
                "bytes" => TagEnd::Bytes(number),
                "seconds" => TagEnd::Seconds(number),
                other => {
                    let label = format!("`{other}` is none of packets, bytes and seconds");
                    return Err(Mistake::new(Code::Value, unit, label));
                }
            }
        }
    };
    draft.tags.push(Tag { scope, until });
    Ok(())
}
