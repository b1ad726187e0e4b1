//! What the prefilter looks for on behalf of a rule.

use super::keyword::BufferDraft;
use super::keyword::buffers::Buffer;
use super::plan::{Absence, Amount, BufferTest, Content, FastPattern, Transform};
use super::prefilter::{LITERAL_BYTES_MAX, literal_of};

/// Without one of these in the buffer the rule cannot match.
#[derive(Clone, Debug)]
pub struct Literal {
    /// In lower case; never empty.
    pub any_of: Box<[Vec<u8>]>,
    pub buffer: Buffer,
    pub transforms: Box<[Transform]>,
    /// It is met so often that another way to the rule is better, if there is one.
    pub poor: bool,
    /// It must stand here, counted from the beginning of the payload.
    pub at: Option<u16>,
}

/// Literals that are worth less than this stand in every other packet: single bytes, two of which one is zero, zeros.
const WORTH_MIN: u32 = 14;

impl Literal {
    /// The author's choice, else the rarest content, else what an expression asks for; this before a content that stands
    /// everywhere, too, and so is one that has a place of its own. A rule about transactions is found through their buffers
    /// only.
    pub(super) fn of(buffers: &[BufferDraft], on_transactions: bool) -> Option<Literal> {
        let searchable = |buffer: &&BufferDraft| match on_transactions {
            _ if buffer.absence != Absence::Fails => false,
            true => buffer.buffer.is_app(),
            false => buffer.is_payload(),
        };
        let tests = || {
            buffers
                .iter()
                .filter(searchable)
                .flat_map(|buffer| buffer.tests.iter().map(move |(test, _)| (buffer, test)))
        };
        let contents = || {
            tests().filter_map(|(buffer, test)| match test {
                BufferTest::Content(content) if !content.negated => Some((buffer, content)),
                _ => None,
            })
        };
        let content = contents()
            .map(|(buffer, content)| {
                let (bytes, worth) = literal_of(searched(content));
                (content.fast_pattern != FastPattern::Unsaid, worth, bytes, buffer, content)
            })
            .max_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)))
            .map(|(_, worth, bytes, buffer, content)| match placed(content).filter(|_| !on_transactions) {
                Some((at, bytes)) => Literal { at: Some(at), ..Literal::new(vec![bytes], false, buffer) },
                None => Literal::new(vec![bytes], worth < WORTH_MIN, buffer),
            });
        let placed = || {
            let payload = contents().filter(|_| !on_transactions);
            let placed = payload.filter_map(|(buffer, content)| Some((placed(content)?, buffer)));
            let best = placed.max_by_key(|((_, bytes), _)| literal_of(bytes).1);
            best.map(|((at, bytes), buffer)| Literal { at: Some(at), ..Literal::new(vec![bytes], false, buffer) })
        };
        let needles = || {
            tests().find_map(|(buffer, test)| match test {
                BufferTest::Pcre(pcre) if !pcre.negated && !pcre.hint.needles.is_empty() => {
                    Some(Literal::new(pcre.hint.needles.to_vec(), false, buffer))
                }
                _ => None,
            })
        };
        match content {
            Some(content) if !content.poor => Some(content),
            poor => placed().or_else(needles).or(poor),
        }
    }

    fn new(any_of: Vec<Vec<u8>>, poor: bool, buffer: &BufferDraft) -> Literal {
        Literal {
            any_of: any_of.into(),
            buffer: buffer.buffer,
            transforms: buffer.transforms.clone().into(),
            poor,
            at: None,
        }
    }
}

/// Where a content stands that can stand at one place only, and its first bytes in lower case.
fn placed(content: &Content) -> Option<(u16, Vec<u8>)> {
    let number = |amount: Amount| match amount {
        Amount::Number(number) => u16::try_from(number).ok(),
        Amount::Variable(_) => None,
    };
    if content.is_relative() || content.negated {
        return None;
    }
    let bytes = content.pattern.bytes();
    let fills_depth = || content.depth.and_then(number).map(usize::from) == Some(bytes.len());
    let at = match (content.startswith, content.offset) {
        (true, _) => 0,
        (false, None) if fills_depth() => 0,
        (false, Some(offset)) if fills_depth() => number(offset)?,
        (false, _) => return None,
    };
    Some((at, bytes.get(..LITERAL_BYTES_MAX).unwrap_or(bytes).to_ascii_lowercase()))
}

fn searched(content: &Content) -> &[u8] {
    let whole = content.pattern.bytes();
    match content.fast_pattern {
        FastPattern::Chop { offset, length } => {
            let from = usize::from(offset);
            whole.get(from..from + usize::from(length)).unwrap_or(whole)
        }
        _ => whole,
    }
}
