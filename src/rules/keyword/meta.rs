//! What a rule says about itself.

use crate::rules::block::{self, BlockOrder};
use super::number::{integer, unsigned};
use super::{Arg, Draft, Keyword, once, option};
use crate::rules::error::{Code, Mistake};
use crate::rules::meta::AlertTarget;

const FAMILY: &str = "meta";

pub(super) static KEYWORDS: &[Keyword] = &[
    option("msg", FAMILY, "\"text\"", "What an alert says.", msg),
    option("sid", FAMILY, "number", "The rule's number, at least 1.", sid),
    option("rev", FAMILY, "number", "The rule's revision; of two rules with one sid the higher stands.", rev),
    option("gid", FAMILY, "number", "The group of the sid; 1 if absent.", gid),
    option("classtype", FAMILY, "name", "A class of classification.config; gives category and priority.", classtype),
    option("reference", FAMILY, "type,value", "Where to read more; may be repeated.", reference),
    option("metadata", FAMILY, "key value[, key value...]", "Any further facts; may be repeated. `tidegate_block src|dst [TIME]` has that address of the packet blocked when the rule drops or rejects.", metadata),
    option("priority", FAMILY, "1 to 255", "Overrides the priority of the classtype; 1 is worst.", priority),
    option(
        "requires",
        FAMILY,
        "feature name, version >= 7.0.3 [< 8], keyword name",
        "Without these the rule is left out; the version is that of Suricata whose language this is.",
        requires,
    ),
    option("target", FAMILY, "src_ip | dest_ip", "Which side of a match is the target of the attack.", target),
];

/// Takes the backslash from `\"`, `\;`, `\:` and `\\`.
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(next) = rest.next() {
        match (next, rest.peek()) {
            ('\\', Some('"' | ';' | ':' | '\\')) => plain.extend(rest.next()),
            _ => plain.push(next),
        }
    }
    plain
}

fn msg(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let text = unescaped(arg.at(arg.quoted()?));
    once(&mut draft.msg, text, arg)
}

fn sid(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let span = arg.unquoted();
    let value: u32 = unsigned(arg.at(span), span, u32::MAX)?;
    if value == 0 {
        return Err(Mistake::new(Code::Sid, span, "a sid is at least 1")
            .help("use a number from 1,000,000 to 1,999,999 for rules of your own"));
    }
    once(&mut draft.sid, value, arg)
}

fn rev(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let span = arg.unquoted();
    once(&mut draft.rev, unsigned(arg.at(span), span, u32::MAX)?, arg)
}

fn gid(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let span = arg.unquoted();
    once(&mut draft.gid, unsigned(arg.at(span), span, u32::MAX)?, arg)
}

fn classtype<'t>(draft: &mut Draft<'t>, arg: &Arg<'t>) -> Result<(), Mistake> {
    let span = arg.unquoted();
    once(&mut draft.classtype, (arg.at(span), span), arg)
}

fn reference(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let span = arg.unquoted();
    let Some((kind, value)) = arg.at(span).split_once(',') else {
        return Err(arg.wrong("a reference is a type and a value").help("for example `reference:cve,2021-44228;`"));
    };
    draft.references.push((kind.trim().to_owned(), unescaped(value.trim()), span));
    Ok(())
}

fn metadata(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    for part in arg.at(arg.unquoted()).split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (key, value) = part.split_once(char::is_whitespace).unwrap_or((part, ""));
        let value = value.trim();
        if key == block::KEY {
            let order = BlockOrder::parse(value);
            draft.block = Some(order.ok_or_else(|| arg.wrong("this says nobody to block").help(block::EXPECTED))?);
        }
        let at = match draft.metadata.iter().position(|(known, _)| known == key) {
            Some(at) => at,
            None => {
                draft.metadata.push((key.to_owned(), Vec::new()));
                draft.metadata.len() - 1
            }
        };
        if let Some((_, values)) = draft.metadata.get_mut(at)
            && !value.is_empty()
        {
            values.push(value.to_owned());
        }
    }
    Ok(())
}

fn priority(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let span = arg.unquoted();
    let value = integer(arg.at(span), span, 1, 255)?;
    once(&mut draft.priority, u8::try_from(value).unwrap_or(u8::MAX), arg)
}

fn target(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    draft.target = Some(match arg.at(arg.unquoted()) {
        "src_ip" => AlertTarget::Source,
        "dest_ip" | "dst_ip" => AlertTarget::Destination,
        _ => return Err(arg.wrong("neither `src_ip` nor `dest_ip`")),
    });
    Ok(())
}

/// The Suricata whose rules mean the same here.
const VERSION: [u32; 3] = [7, 0, 10];
/// Much of what came into the language up to this one is here, too. A rule that requires it is tried, and left out if it
/// asks for something unknown.
const VERSION_TRIED: [u32; 3] = [9, 0, 0];

fn requires(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let (ja3, ja4) = draft.around.map_or((true, true), |around| around.fingerprints);
    for part in arg.parts() {
        let text = arg.at(part);
        let (word, value) = text.split_once([' ', '\t']).unwrap_or((text, ""));
        let met = match (word, value.trim()) {
            ("feature", name) => name == "ja3" && ja3 || name == "ja4" && ja4,
            ("keyword", name) => super::table().find(name).is_some_and(|keyword| keyword.need.is_none()),
            ("version", versions) => {
                let holds = |version| {
                    is_version(version, versions).ok_or_else(|| {
                        Mistake::new(Code::Value, part, "versions are compared as `>= 7.0.3` or `< 8`")
                    })
                };
                let tried = !holds(VERSION)? && holds(VERSION_TRIED)?;
                if tried {
                    draft.tried = Some((text.to_owned(), part));
                }
                tried || holds(VERSION)?
            }
            // What a newer Suricata may ask for is not here.
            _ => false,
        };
        if !met {
            draft.unmet = Some((text.to_owned(), part));
        }
    }
    Ok(())
}

/// `>= 7.0.3 < 8`, alternatives after `|`; `None` if it is not understood.
fn is_version(version: [u32; 3], text: &str) -> Option<bool> {
    let mut any = false;
    for alternative in text.split('|') {
        let mut words = alternative.split_whitespace();
        let mut all = true;
        while let Some(word) = words.next() {
            let (operator, other) = match word.trim_start_matches(['<', '>', '=']) {
                "" => (word, words.next()?),
                other => (word.get(..word.len() - other.len())?, other),
            };
            let mut wanted = [0u32; 3];
            for (slot, digits) in wanted.iter_mut().zip(other.split('.')) {
                *slot = digits.parse().ok()?;
            }
            all &= match operator {
                ">=" => version >= wanted,
                ">" => version > wanted,
                "<=" => version <= wanted,
                "<" => version < wanted,
                _ => return None,
            };
        }
        any |= all;
    }
    Some(any)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{Context, Options, Source, compile};

    #[test]
    fn versions_are_compared_number_by_number() {
        let cases = [
            (">= 7.0.3", Some(true)),
            (">= 7.0.3 < 8", Some(true)),
            (">= 7.0.11", Some(false)),
            ("< 7", Some(false)),
            (">= 9 | <8.0.0", Some(true)),
            ("7", None),
            (">= seven", None),
            (">=", None),
        ];
        for (text, met) in cases {
            assert_eq!(is_version([7, 0, 10], text), met, "{text}");
        }
    }

    #[test]
    fn what_a_newer_version_brings_is_tried() {
        let text = "alert tcp any any -> any any (requires:version >= 9; content:\"a\"; sid:1;)\n\
                    alert tcp any any -> any any (requires:version >= 9; brand.new:1; sid:2;)\n\
                    alert tcp any any -> any any (requires:version >= 10; content:\"a\"; sid:3;)\n\
                    alert tcp any any -> any any (requires:version < 8; content:\"a\"; sid:4;)\n\
                    alert tcp any any -> any any (requires:feature ja4; content:\"a\"; sid:5;)";
        let options = Options { fingerprints: (true, false), ..Options::default() };
        let compiled = compile(&[Source::new("r", text)], &Context::default(), &options);
        let sids: Vec<u32> = compiled.set.rules().iter().map(|rule| rule.meta.sid).collect();
        assert_eq!((sids, compiled.left_out, compiled.rejected.len()), (vec![1, 4], 3, 0));
    }
}
