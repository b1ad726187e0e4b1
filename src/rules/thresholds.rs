//! `threshold.config`: thresholds and suppressions that the administrator lays over rules of others.
//!
//! ```text
//!  suppress gen_id 1, sig_id 2100498, track by_src, ip [10.0.0.0/8,!10.1.0.0/16]
//!  event_filter gen_id 1, sig_id 0, type limit, track by_src, count 1, seconds 60
//! ```
//!
//! `sig_id 0` means every rule of the group, `gen_id 0` every rule. What names a rule itself goes before what names
//! many, and a threshold that stands in the rule before those that name many.

use std::sync::Arc;

use super::config::Source;
use super::error::{Code, Diagnostic, Mistake, Span};
use super::lex::{RuleText, rule_texts, split, trim};
use super::meta::RuleAction;
use super::plan::{RateFilter, Suppression, Threshold, ThresholdKind, Track};
use super::vars::{Sets, Vars};

/// What `threshold.config` says, in the order of the file.
#[derive(Clone, Debug, Default)]
pub struct Thresholds {
    filters: Vec<(Target, Threshold)>,
    rates: Vec<(Target, RateFilter)>,
    suppressions: Vec<(Target, Suppression)>,
}

/// The rules that a line is about; 0 is any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Target {
    gid: u32,
    sid: u32,
}

impl Target {
    fn covers(self, gid: u32, sid: u32) -> bool {
        (self.gid == 0 || self.gid == gid) && (self.sid == 0 || self.sid == sid)
    }

    fn is_one(self) -> bool {
        self.gid != 0 && self.sid != 0
    }
}

impl Thresholds {
    /// Reads a file. Lines that are not understood are told and left out; the others stand.
    pub fn read(&mut self, source: &Source, vars: &Vars, diagnostics: &mut Vec<Diagnostic>) {
        let mut sets = Sets::new(vars);
        for line in rule_texts(&source.text) {
            if let Err(mistake) = self.line(&line, &mut sets) {
                diagnostics.push(line.locate(mistake, &source.name, &source.text, None));
            }
        }
    }

    /// The threshold for a rule that says `own` itself.
    #[must_use]
    pub fn threshold(&self, gid: u32, sid: u32, own: Option<Threshold>) -> Option<Threshold> {
        let mut of_rule = self.filters.iter().filter(|(target, _)| target.covers(gid, sid));
        // A detection_filter is a condition of the rule, not a matter of taste.
        if own.is_some_and(|own| matches!(own.kind, ThresholdKind::DetectionFilter { .. })) {
            return own;
        }
        let exact = of_rule.clone().find(|(target, _)| target.is_one());
        exact.map(|(_, threshold)| *threshold).or(own).or(of_rule.next().map(|(_, threshold)| *threshold))
    }

    /// What changes a rule's action; what names the rule itself goes first.
    #[must_use]
    pub fn rate(&self, gid: u32, sid: u32) -> Option<RateFilter> {
        let mut of_rule = self.rates.iter().filter(|(target, _)| target.covers(gid, sid));
        let exact = of_rule.clone().find(|(target, _)| target.is_one());
        exact.or_else(|| of_rule.next()).map(|(_, rate)| *rate)
    }

    /// What keeps a rule's alerts back.
    #[must_use]
    pub fn suppressions(&self, gid: u32, sid: u32) -> Box<[Suppression]> {
        let of_rule = self.suppressions.iter().filter(|(target, _)| target.covers(gid, sid));
        of_rule.map(|(_, suppression)| suppression.clone()).collect()
    }

    fn line(&mut self, line: &RuleText<'_>, sets: &mut Sets<'_>) -> Result<(), Mistake> {
        let text = &*line.text;
        let word_len = text.find(char::is_whitespace).unwrap_or(text.len());
        let (word, rest) = (Span::new(0, word_len), Span::new(word_len, text.len()));
        let fields = Fields::read(text, rest)?;
        match word.of(text) {
            "suppress" => self.suppressions.push((fields.target()?, fields.suppression(sets)?)),
            "threshold" | "event_filter" => self.filters.push((fields.target()?, fields.threshold()?)),
            "rate_filter" => self.rates.push((fields.target()?, fields.rate()?)),
            other => {
                return Err(Mistake::new(Code::Config, word, format!("`{other}` is not known"))
                    .help("lines begin with suppress, threshold, event_filter or rate_filter"));
            }
        }
        Ok(())
    }
}

/// `name value, name value, ...`
struct Fields<'t> {
    text: &'t str,
    whole: Span,
    fields: Vec<(&'t str, Span)>,
}

impl<'t> Fields<'t> {
    fn read(text: &'t str, whole: Span) -> Result<Fields<'t>, Mistake> {
        const KNOWN: [&str; 8] = ["gen_id", "sig_id", "type", "track", "count", "seconds", "ip", "new_action"];
        let mut fields = Vec::new();
        for span in split(text, whole, b',') {
            let field = span.of(text);
            let (name, value) = field.split_once(char::is_whitespace).unwrap_or((field, ""));
            if !KNOWN.contains(&name) && name != "timeout" {
                return Err(Mistake::new(Code::Config, span, format!("`{name}` is not known"))
                    .help(format!("fields are {}", KNOWN.join(", "))));
            }
            fields.push((name, trim(text, Span::new(span.end - value.len(), span.end))));
        }
        Ok(Fields { text, whole, fields })
    }

    fn optional(&self, name: &str) -> Option<Span> {
        self.fields.iter().find(|(known, _)| *known == name).map(|(_, span)| *span)
    }

    fn required(&self, name: &str) -> Result<Span, Mistake> {
        self.optional(name).ok_or_else(|| Mistake::new(Code::Config, self.whole, format!("`{name}` is missing")))
    }

    fn number(&self, name: &str) -> Result<u32, Mistake> {
        let span = self.required(name)?;
        let wrong = |_| Mistake::new(Code::Config, span, format!("`{}` is no number", span.of(self.text)));
        span.of(self.text).parse().map_err(wrong)
    }

    fn target(&self) -> Result<Target, Mistake> {
        let target = Target { gid: self.number("gen_id")?, sid: self.number("sig_id")? };
        if target.gid == 0 && target.sid != 0 {
            return Err(Mistake::new(Code::Config, self.whole, "`gen_id 0` goes with `sig_id 0` only")
                .help("rules without a `gid` have gen_id 1"));
        }
        Ok(target)
    }

    fn threshold(&self) -> Result<Threshold, Mistake> {
        let kind = self.required("type")?;
        Ok(Threshold {
            kind: match kind.of(self.text) {
                "limit" => ThresholdKind::Limit,
                "threshold" => ThresholdKind::Threshold,
                "both" => ThresholdKind::Both,
                other => return Err(Mistake::new(Code::Config, kind, format!("`{other}` is no type"))),
            },
            track: self.track()?,
            count: self.positive("count")?,
            seconds: self.positive("seconds")?,
        })
    }

    fn rate(&self) -> Result<RateFilter, Mistake> {
        let action = self.required("new_action")?;
        Ok(RateFilter {
            track: self.track()?,
            count: self.positive("count")?,
            seconds: self.positive("seconds")?,
            new_action: match action.of(self.text) {
                "alert" => RuleAction::Alert,
                "drop" => RuleAction::Drop,
                "pass" => RuleAction::Pass,
                "reject" => RuleAction::Reject,
                other => {
                    return Err(Mistake::new(Code::Config, action, format!("`{other}` is no action"))
                        .help("actions are alert, drop, pass and reject"));
                }
            },
            timeout: self.number("timeout")?,
        })
    }

    fn track(&self) -> Result<Track, Mistake> {
        let track = self.required("track")?;
        Ok(match track.of(self.text) {
            "by_src" => Track::Source,
            "by_dst" => Track::Destination,
            "by_both" => Track::Both,
            "by_rule" => Track::Rule,
            "by_flow" => Track::Flow,
            other => return Err(Mistake::new(Code::Config, track, format!("`{other}` cannot be tracked"))),
        })
    }

    fn positive(&self, name: &str) -> Result<u32, Mistake> {
        match self.number(name)? {
            0 => Err(Mistake::new(Code::Config, self.required(name)?, format!("`{name}` is at least 1"))),
            number => Ok(number),
        }
    }

    fn suppression(&self, sets: &mut Sets<'_>) -> Result<Suppression, Mistake> {
        let (Some(track), Some(ip)) = (self.optional("track"), self.optional("ip")) else {
            return match self.optional("track").or(self.optional("ip")) {
                None => Ok(Suppression::Always),
                Some(one) => Err(Mistake::new(Code::Config, one, "`track` and `ip` go together")),
            };
        };
        let set: Arc<_> = sets.addresses(self.text, ip)?;
        Ok(match track.of(self.text) {
            "by_src" => Suppression::Source(set),
            "by_dst" => Suppression::Destination(set),
            "by_either" => Suppression::Either(set),
            other => return Err(Mistake::new(Code::Config, track, format!("`{other}` cannot be tracked"))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Thresholds, Vec<Diagnostic>) {
        let (mut thresholds, mut wrong) = (Thresholds::default(), Vec::new());
        thresholds.read(&Source::new("threshold.config", text), &Vars::standard(), &mut wrong);
        (thresholds, wrong)
    }

    #[test]
    fn what_names_one_rule_goes_before_what_names_many() {
        let (thresholds, wrong) = read(
            "# comment\n\
             event_filter gen_id 1, sig_id 0, type limit, track by_src, count 1, seconds 60\n\
             threshold gen_id 1, sig_id 7, type both, track by_dst, count 5, \\\n  seconds 10\n",
        );
        assert!(wrong.is_empty(), "{wrong:?}");
        let own = Threshold { kind: ThresholdKind::Limit, track: Track::Rule, count: 9, seconds: 9 };
        assert_eq!(thresholds.threshold(1, 7, Some(own)).unwrap().kind, ThresholdKind::Both);
        assert_eq!(thresholds.threshold(1, 8, Some(own)), Some(own));
        assert_eq!(thresholds.threshold(1, 8, None).unwrap().seconds, 60);
        assert_eq!(thresholds.threshold(2, 8, None), None);
        let filter = Threshold { kind: ThresholdKind::DetectionFilter { distinct: None }, ..own };
        assert_eq!(thresholds.threshold(1, 7, Some(filter)), Some(filter));
    }

    #[test]
    fn suppressions_are_read_and_mistakes_told() {
        let (thresholds, wrong) = read(
            "suppress gen_id 1, sig_id 7\n\
             suppress gen_id 1, sig_id 8, track by_src, ip $HOME_NET\n\
             suppress gen_id 1, sig_id 8, track by_src\n\
             suppress gen_id 0, sig_id 8\n\
             supress gen_id 1, sig_id 8\n\
             rate_filter gen_id 1, sig_id 8, track by_src, count 1, seconds 1, new_action drop, timeout 3\n\
             event_filter gen_id 1, sig_id 8, type limit, track by_src, count 0, seconds 60\n",
        );
        assert!(matches!(&*thresholds.suppressions(1, 7), [Suppression::Always]));
        assert!(matches!(&*thresholds.suppressions(1, 8), [Suppression::Source(_)]));
        let lines: Vec<u32> = wrong.iter().map(|diagnostic| diagnostic.line).collect();
        assert_eq!(lines, [3, 4, 5, 7]);
        let rate = thresholds.rate(1, 8).unwrap();
        assert_eq!((rate.new_action, rate.timeout), (RuleAction::Drop, 3));
        assert_eq!(thresholds.rate(1, 9), None);
    }
}
