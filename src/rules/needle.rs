//! Literals for rules that name none: what a regular expression cannot match without.
//!
//! `/ \d\d-\d{7} /` matches nowhere where none of `0-0`, `0-1` … `9-9` stands. The prefilter looks for these, and the
//! expression runs only where one was found. The expression is read by another parser than the one that runs it, so only
//! what both understand alike is read at all; and needles are taken for a hint: they say where an expression may match.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind, Look, Repetition};

use super::alphabet::{Alphabet, bytes_of};
use super::plan::rarity;
use super::prefilter::LITERAL_BYTES_MAX;

/// Needles of one expression.
const NEEDLE_COUNT_MAX: usize = 256;
/// Spellings of one stretch of an expression.
const SPELLING_COUNT_MAX: usize = 128;
/// Spellings of something that may be there or not.
const OPTIONAL_SPELLING_COUNT_MAX: usize = 16;
/// A stretch of one byte is met too often to say anything.
const NEEDLE_BYTES_MIN: usize = 2;
/// Steps of one expression that are looked at.
const STEP_COUNT_MAX: usize = 512;
/// Copies of what is repeated: longer than any needle.
const COPY_COUNT_MAX: u32 = 12;

/// What can be told of an expression without running it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hint {
    /// One of these, in lower case, stands in any case in whatever it matches; empty: nothing of the kind is known.
    pub needles: Box<[Vec<u8>]>,
    /// A match is no longer than this and does not depend on what stands around it.
    pub match_bytes_max: Option<usize>,
    /// A match is no longer than this, and depends on no more than the byte before and the byte behind it.
    pub reach_bytes_max: Option<usize>,
    /// It matches only where the search begins.
    pub begins_at_once: bool,
    /// No other bytes than these are in a match, and it depends on no more than the byte before and the byte behind it.
    pub alphabet: Option<Box<Alphabet>>,
    /// A match is no shorter than this.
    pub match_bytes_min: usize,
    /// A match begins with one of these bytes.
    pub first: Option<Box<Alphabet>>,
}

/// How an expression is to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mode {
    pub caseless: bool,
    /// `^` and `$` match at the ends of lines, too.
    pub multi_line: bool,
}

impl Hint {
    /// From where on it may match in `bytes`; `None`: nowhere.
    #[must_use]
    pub fn begin(&self, bytes: &[u8]) -> Option<usize> {
        let is_first = |first: &Alphabet| bytes.first().is_some_and(|byte| first.contains(*byte));
        match &self.alphabet {
            _ if self.begins_at_once => self.first.as_deref().is_none_or(is_first).then_some(0),
            Some(alphabet) if alphabet.is_narrow() => alphabet.first_run(bytes, self.match_bytes_min),
            _ => Some(0),
        }
    }

    #[must_use]
    pub fn of(expression: &str, mode: Mode) -> Hint {
        let Some((hir, looks_around)) = read(expression, mode) else { return Hint::default() };
        let alone = !looks_around && hir.properties().look_set().is_empty();
        Hint {
            needles: best(&hir).map(|found| found.needles).unwrap_or_default().into(),
            match_bytes_max: hir.properties().maximum_len().filter(|_| alone),
            ..shape(&hir, looks_around)
        }
    }

    /// What can be told where no needles are wanted.
    #[must_use]
    pub fn of_shape(expression: &str, mode: Mode) -> Hint {
        read(expression, mode).map(|(hir, looks_around)| shape(&hir, looks_around)).unwrap_or_default()
    }
}

/// The expression, and whether it looks around.
fn read(expression: &str, Mode { caseless, multi_line }: Mode) -> Option<(Hir, bool)> {
    let (common, looks_around) = common_syntax(expression)?;
    // Whether a dot takes the end of a line is said elsewhere: as if it did.
    let mut builder = ParserBuilder::new();
    builder.unicode(false).utf8(false).dot_matches_new_line(true).case_insensitive(caseless).multi_line(multi_line);
    builder.build().parse(&common).ok().map(|hir| (hir, looks_around))
}

fn shape(hir: &Hir, looks_around: bool) -> Hint {
    let (mut alphabet, mut first) = (Alphabet::default(), Alphabet::default());
    let begins_at_once = hir.properties().look_set_prefix().contains(Look::Start);
    // Where a search begins is no property of the bytes, and it is asked for in one of several choices.
    let looks_around = looks_around || !begins_at_once && hir.properties().look_set().contains(Look::Start);
    let is_known = !looks_around && alphabet.add_all(hir) && !alphabet.is_everything();
    Hint {
        reach_bytes_max: hir.properties().maximum_len().filter(|_| !looks_around),
        begins_at_once,
        alphabet: is_known.then(|| Box::new(alphabet)),
        match_bytes_min: hir.properties().minimum_len().unwrap_or(0),
        first: (first.add_first(hir) == Some(false)).then(|| Box::new(first)),
        ..Hint::default()
    }
}

/// Needles, and how little is to be expected of meeting one by chance: a negative binary logarithm.
struct Found {
    needles: Vec<Vec<u8>>,
    worth: f32,
}

/// What an expression asks for, one after the other.
enum Step<'h> {
    /// One of these, in lower case; one of them may be empty.
    One(Vec<Vec<u8>>),
    /// One of these expressions.
    Choice(&'h [Hir]),
    /// Anything.
    Gap,
}

fn best(hir: &Hir) -> Option<Found> {
    let mut steps = Vec::new();
    flatten(hir, &mut steps);
    let choices = steps.iter().filter_map(|step| match step {
        Step::Choice(branches) => any_of(branches),
        _ => None,
    });
    let stretches = steps.split(|step| !matches!(step, Step::One(_))).filter_map(best_of_stretch);
    choices.chain(stretches).max_by(|a, b| a.worth.total_cmp(&b.worth))
}

/// All branches must have needles: then one of all these is there.
fn any_of(branches: &[Hir]) -> Option<Found> {
    let mut all = Found { needles: Vec::new(), worth: 0.0 };
    let mut chance = 0.0;
    for branch in branches {
        let mut found = best(branch)?;
        chance += (-found.worth).exp2();
        all.needles.append(&mut found.needles);
        if all.needles.len() > NEEDLE_COUNT_MAX {
            return None;
        }
    }
    all.worth = -chance.log2();
    Some(all)
}

fn flatten<'h>(hir: &'h Hir, steps: &mut Vec<Step<'h>>) {
    if steps.len() >= STEP_COUNT_MAX {
        steps.push(Step::Gap);
        return;
    }
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => {
            steps.extend(literal.0.iter().map(|byte| Step::One(vec![vec![byte.to_ascii_lowercase()]])))
        }
        HirKind::Class(class) => steps.push(one_of(class).map_or(Step::Gap, Step::One)),
        HirKind::Concat(parts) => parts.iter().for_each(|part| flatten(part, steps)),
        HirKind::Capture(capture) => flatten(&capture.sub, steps),
        HirKind::Alternation(branches) => steps.push(Step::Choice(branches)),
        HirKind::Repetition(repetition) => repeat(repetition, steps),
    }
}

fn repeat<'h>(repetition: &'h Repetition, steps: &mut Vec<Step<'h>>) {
    if (repetition.min, repetition.max) == (0, Some(1)) {
        steps.push(optional(&repetition.sub));
        return;
    }
    for _ in 0..repetition.min.min(COPY_COUNT_MAX) {
        flatten(&repetition.sub, steps);
        if steps.len() >= STEP_COUNT_MAX {
            // Copies of copies would take time without end, and say nothing more.
            steps.push(Step::Gap);
            return;
        }
    }
    if repetition.max != Some(repetition.min) || repetition.min > COPY_COUNT_MAX {
        steps.push(Step::Gap);
    }
}

/// All spellings of what is short and may be there or not.
fn optional<'h>(hir: &Hir) -> Step<'h> {
    let Some(mut spelled) = spell(hir) else { return Step::Gap };
    spelled.push(Vec::new());
    Step::One(spelled)
}

/// In lower case, where there are few.
fn spell(hir: &Hir) -> Option<Vec<Vec<u8>>> {
    let spelled = match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => vec![Vec::new()],
        HirKind::Literal(literal) => vec![literal.0.to_ascii_lowercase()],
        HirKind::Class(class) => one_of(class)?,
        HirKind::Capture(capture) => spell(&capture.sub)?,
        HirKind::Concat(parts) => {
            parts.iter().try_fold(vec![Vec::new()], |begun, part| few(joined(&begun, &spell(part)?)))?
        }
        HirKind::Alternation(parts) => parts.iter().try_fold(Vec::new(), |mut all, part| {
            all.append(&mut spell(part)?);
            few(all)
        })?,
        HirKind::Repetition(_) => return None,
    };
    few(spelled)
}

fn few(spelled: Vec<Vec<u8>>) -> Option<Vec<Vec<u8>>> {
    let is_short = |spelling: &Vec<u8>| spelling.len() < LITERAL_BYTES_MAX;
    (spelled.len() <= OPTIONAL_SPELLING_COUNT_MAX && spelled.iter().all(is_short)).then_some(spelled)
}

fn joined(begun: &[Vec<u8>], next: &[Vec<u8>]) -> Vec<Vec<u8>> {
    begun.iter().flat_map(|begun| next.iter().map(move |next| [&begun[..], next].concat())).collect()
}

fn one_of(class: &Class) -> Option<Vec<Vec<u8>>> {
    let mut bytes: Vec<u8> = bytes_of(class)?.map(|byte| byte.to_ascii_lowercase()).collect();
    bytes.sort_unstable();
    bytes.dedup();
    (bytes.len() <= SPELLING_COUNT_MAX).then(|| bytes.into_iter().map(|byte| vec![byte]).collect())
}

/// The part of a stretch without gaps that is least likely to stand anywhere by chance.
fn best_of_stretch(stretch: &[Step<'_>]) -> Option<Found> {
    let mut best: Option<(f32, &[Step<'_>])> = None;
    for from in 0..stretch.len() {
        let (mut count, mut worth) = (1_usize, 0.0);
        let (mut shortest, mut longest) = (0, 0);
        let rest = stretch.get(from..).unwrap_or_default();
        for (steps, step) in (1..).zip(rest) {
            let Step::One(spelled) = step else { break };
            count = count.saturating_mul(spelled.len());
            shortest += spelled.iter().map(Vec::len).min().unwrap_or(0);
            longest += spelled.iter().map(Vec::len).max().unwrap_or(0);
            if count > SPELLING_COUNT_MAX || longest > LITERAL_BYTES_MAX {
                break;
            }
            worth -= spelled.iter().map(|spelling| chance(spelling)).sum::<f32>().log2();
            if shortest >= NEEDLE_BYTES_MIN && best.is_none_or(|(before, _)| worth > before) {
                best = rest.get(..steps).map(|part| (worth, part));
            }
        }
    }
    let (worth, part) = best?;
    Some(Found { needles: spellings(part), worth })
}

/// How likely it stands at one place.
fn chance(spelling: &[u8]) -> f32 {
    spelling.iter().map(|byte| (-1.0 - f32::from(rarity(*byte))).exp2()).product()
}

fn spellings(part: &[Step<'_>]) -> Vec<Vec<u8>> {
    let mut all = vec![Vec::new()];
    for step in part {
        let Step::One(spelled) = step else { continue };
        all = joined(&all, spelled);
    }
    all
}

/// The expression without what looks around, which only narrows it, and whether it had any; `None` where PCRE2 and the
/// parser would read it differently. What the parser refuses by itself (back-references, verbs, `\Q`) needs no care here.
fn common_syntax(expression: &str) -> Option<(String, bool)> {
    let mut common = String::with_capacity(expression.len());
    // For each open group: how long the text was before it, if it is to be taken out.
    let mut groups: Vec<Option<usize>> = Vec::new();
    let mut looks_around = false;
    let mut rest = expression;
    while let Some(next) = rest.chars().next() {
        let taken = match next {
            _ if !next.is_ascii() => return None,
            '\\' => escape(rest)?,
            '[' => class(rest)?,
            '(' => {
                let (opening, looks) = group(rest)?;
                looks_around |= looks;
                groups.push(looks.then_some(common.len()));
                common.push_str(if opening == "(?>" { "(?:" } else { opening });
                rest = rest.get(opening.len()..)?;
                continue;
            }
            ')' => {
                if let Some(before) = groups.pop()? {
                    common.truncate(before);
                    rest = rest.get(1..)?;
                    if rest.starts_with(['*', '+', '?', '{']) {
                        return None;
                    }
                    continue;
                }
                1
            }
            _ => 1,
        };
        common.push_str(rest.get(..taken)?);
        rest = rest.get(taken..)?;
    }
    Some((common, looks_around))
}

/// How long an escape is; `None` for those that mean another thing to the parser.
fn escape(rest: &str) -> Option<usize> {
    let differs = ["\\v", "\\<", "\\>", "\\b{"].iter().any(|escape| rest.starts_with(escape));
    (!differs && rest.len() >= 2 && rest.is_char_boundary(2)).then_some(2)
}

/// How long a class is. Within one PCRE2 knows no operators and no inner classes but `[:name:]`.
fn class(rest: &str) -> Option<usize> {
    let bytes = rest.as_bytes();
    let mut at = if rest.starts_with("[^") { 2 } else { 1 };
    let first = at;
    loop {
        match bytes.get(at..)? {
            [b']', ..] if at > first => return Some(at + 1),
            [b'\\', ..] => at += escape(rest.get(at..)?)?,
            [b'[', b':', ..] => at += rest.get(at..)?.find(":]")? + 2,
            [b'[', ..] | [b'&', b'&', ..] | [b'-', b'-', ..] | [b'~', b'~', ..] => return None,
            [_, ..] => at += 1,
            [] => return None,
        }
    }
}

/// How a group opens, and whether it looks around.
fn group(rest: &str) -> Option<(&str, bool)> {
    for opening in ["(?=", "(?!", "(?<=", "(?<!"] {
        if rest.starts_with(opening) {
            return rest.get(..opening.len()).map(|opening| (opening, true));
        }
    }
    let plain = ["(?:", "(?>", "(?P<", "(?<"].into_iter().find(|opening| rest.starts_with(opening));
    let length = match plain {
        Some(opening) => opening.len(),
        None if rest.starts_with("(?") => {
            let flags = rest.get(2..)?.bytes().take_while(|byte| b"imsU-".contains(byte)).count();
            // A parenthesis that closes at once is left to the next round.
            match rest.as_bytes().get(2 + flags)? {
                b':' => 3 + flags,
                b')' if flags > 0 => 2 + flags,
                _ => return None,
            }
        }
        None => 1,
    };
    rest.get(..length).map(|opening| (opening, false))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spelled(expression: &str) -> Vec<String> {
        let needles = Hint::of(expression, Mode::default()).needles;
        needles.iter().map(|needle| String::from_utf8_lossy(needle).into_owned()).collect()
    }

    #[test]
    fn the_least_likely_stretch_is_taken() {
        let cases: &[(&str, &[&str])] = &[
            ("GET /evil\\.php", &["get /evil.ph"]),
            ("\\d+abc[xy]def\\d*", &["abcxdef", "abcydef"]),
            ("a(foo|bar)b", &["foo", "bar"]),
            ("x{3}y+", &["xxxy"]),
            ("(?=abc)quux(?!d)", &["quux"]),
            ("^\\x00\\x01\\xff", &["\0\u{1}\u{fffd}"]),
            ("(?i)Ab(?-i)c?dE", &["abcde", "abde"]),
            ("\\Wd(ate)?-?ob[^a]", &["dob", "d-ob", "dateob", "date-ob"]),
            ("ab(c|\\d+)?de", &["ab", "de"]),
        ];
        for (expression, expected) in cases {
            let found = spelled(expression);
            assert!(
                found.iter().all(|needle| expected.contains(&needle.as_str())) && !found.is_empty(),
                "{expression}: {found:?}"
            );
        }
    }

    #[test]
    fn what_both_parsers_read_differently_is_not_read() {
        for expression in
            ["a\\vbc", "\\<abc", "[a&&b]cd", "[[a]b]cd", "(?R)abc", "(?x) a b c", "\\1abc", "(*FAIL)abc", "é+abc"]
        {
            assert!(spelled(expression).is_empty(), "{expression}");
        }
    }

    #[test]
    fn copies_of_copies_end() {
        let nested = (0..9).fold("ab".to_owned(), |inner, _| format!("({inner}){{12}}"));
        assert_eq!(spelled(&nested), ["abababababab"]);
    }

    #[test]
    fn an_expression_that_can_match_without_any_of_its_letters_has_none() {
        for expression in ["(abc)*", "a?b?", "(abc|.)", "[^a]{3}", "\\w+", ""] {
            assert!(spelled(expression).is_empty(), "{expression}");
        }
    }

    /// The parser makes a class of characters of such a choice, and once it was taken for something that can be empty.
    #[test]
    fn a_choice_between_single_characters_begins_with_each_of_them() {
        let hint = Hint::of("(\\d|C)(?>\\s)", Mode { caseless: true, multi_line: false });
        let first = hint.first.unwrap();
        assert!(b"019cC".iter().all(|byte| first.contains(*byte)) && !first.contains(b'\n'));
        assert!(hint.needles.contains(&b"c\n".to_vec()));
    }

    /// Small expressions over few letters, so that many of them match.
    fn expression() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            "[abC]{1,3}",
            Just("[ab]".to_owned()),
            Just("[^a]".to_owned()),
            Just("\\d".to_owned()),
            Just("\\s".to_owned()),
            Just(".".to_owned()),
            Just("\\b".to_owned()),
            Just("^".to_owned()),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
                prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| format!("({})", parts.join("|"))),
                (inner.clone(), prop_oneof![Just("*"), Just("+"), Just("?"), Just("{2}"), Just("{1,3}"), Just("*?")])
                    .prop_map(|(part, times)| format!("(?:{part}){times}")),
                inner.clone().prop_map(|part| format!("(?={part})")),
                inner.clone().prop_map(|part| format!("(?<!a)(?i:{part})")),
                inner.prop_map(|part| format!("(?>{part})")),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn nothing_matches_without_a_needle(expression in expression(), caseless: bool, multi_line: bool, subject in "[abcABC1 \n]{0,12}") {
            let hint = Hint::of(&expression, Mode { caseless, multi_line });
            let begin = hint.begin(subject.as_bytes());
            let Hint { needles, match_bytes_max, reach_bytes_max, begins_at_once, alphabet, first, .. } = hint;
            let mut builder = pcre2::bytes::RegexBuilder::new();
            let regex = builder.caseless(caseless).multi_line(multi_line).build(&expression).unwrap();
            if let Some(found) = regex.find(subject.as_bytes()).unwrap() {
                let lower = subject.to_ascii_lowercase().into_bytes();
                let stands = |needle: &Vec<u8>| lower.windows(needle.len()).any(|window| window == needle);
                let said = needles.is_empty() || needles.iter().any(stands);
                prop_assert!(said, "{expression:?} matches {subject:?} without {needles:?}");
                prop_assert!(begin.is_some_and(|begin| begin <= found.start()), "{expression:?} matches {subject:?}");
                let length = found.end() - found.start();
                prop_assert!(match_bytes_max.is_none_or(|most| length <= most), "{expression:?} matches {subject:?}");
                prop_assert!(reach_bytes_max.is_none_or(|most| length <= most), "{expression:?} matches {subject:?}");
                prop_assert!(!begins_at_once || found.start() == 0, "{expression:?} matches {subject:?}");
                let strange = found.as_bytes().iter().find(|byte| alphabet.as_ref().is_some_and(|all| !all.contains(**byte)));
                prop_assert!(strange.is_none(), "{expression:?} matches {subject:?} with {strange:?}");
                let begun = found.as_bytes().first().copied();
                let said = first.is_none_or(|first| begun.is_some_and(|byte| first.contains(byte)));
                prop_assert!(said, "{expression:?} matches {subject:?}");
                let alone = regex.is_match(found.as_bytes()).unwrap();
                prop_assert!(match_bytes_max.is_none() || alone, "{expression:?} matches {subject:?}");
            }
        }
    }
}
