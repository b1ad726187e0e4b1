//! Chains of tests in one buffer, with all the ways their contents may stand.
//!
//! A chain matches if some choice of places satisfies every test. Where a later test depends on a content's place, each
//! place is tried in turn; where none does, or the first place serves best, the first one is enough (see
//! `rules::compile`). The number of tries is bounded, as in Suricata, because a payload can be made to have very many.

use std::sync::Arc;

use super::encoded::{decode_base64, is_odd_ber};
use super::growth::FailedAt;
use crate::packet::event::Variable;
use crate::rules::plan::{
    Amount, Asn1, Base64, BufferTest, ByteExtract, ByteJump, ByteMath, ByteOperator, ByteTest, Chain, Content,
    DataOperation, IsDataAt, JumpFrom, MathOperator, Neighbour, Number, NumberForm, Pcre, Step, VARIABLE_COUNT_MAX,
    VariableScope,
};

/// Places tried for one rule and packet: Suricata's `inspection-recursion-limit`.
const TRY_COUNT_MAX: u32 = 3_000;

/// So much of what a group captures is kept.
const VARIABLE_BYTES_MAX: usize = 4_096;

/// What one `asn1` counts for among the tries.
const ASN1_TRY_COUNT: u32 = 50;

/// Digits read where the rule says no number of bytes.
const TEXT_BYTES_MAX: usize = 23;

/// The evaluation of one rule on one packet.
#[derive(Debug, Default)]
pub(super) struct Evaluation {
    variables: [u64; VARIABLE_COUNT_MAX],
    tries: u32,
    /// The byte order of numbers whose rule leaves it to the DCERPC call.
    pub(super) dce_is_little_endian: bool,
    /// What the last `base64_decode` has made.
    decoded: Vec<u8>,
    /// The chain that is judged is one that ascends, and a content that may stand anywhere behind stands nowhere: no
    /// other place for what comes before it is worth a try.
    hopeless: bool,
    ascends: bool,
    /// A boundless step of the chain that is judged was asked.
    pub(super) went_beyond: bool,
    /// Which chain of the last plan that failed it was.
    pub(super) failed_chain: usize,
    /// What the expressions of the present choice of places have captured.
    pub(super) captured: Vec<(VariableScope, Variable)>,
}

impl Evaluation {
    pub(super) fn matches(&mut self, chain: &Chain, buffer: &[u8]) -> bool {
        if chain.ending().is_some_and(|content| !content.is_at_end_of(buffer)) {
            self.went_beyond = true;
            return false;
        }
        let kept = self.captured.len();
        (self.ascends, self.hopeless, self.went_beyond) = (chain.ascends, false, false);
        let matched = self.run(&chain.steps, buffer, 0);
        if !matched {
            self.captured.truncate(kept);
        }
        matched
    }

    /// The same for a chain that begins with a content or an expression that may stand anywhere: it begins at `from` or
    /// behind it.
    pub(super) fn matches_from(&mut self, chain: &Chain, buffer: &[u8], from: usize) -> bool {
        let Some((first, rest)) = chain.steps.split_first() else { return true };
        (self.ascends, self.hopeless, self.went_beyond) = (chain.ascends, false, false);
        match &first.test {
            BufferTest::Content(content) => {
                let window = self.window(content, buffer.len(), 0);
                let window = (window.0.max(from), window.1);
                match first.anchors {
                    true => self.try_places(first, content, rest, buffer, window),
                    false => find(content, buffer, window)
                        .is_some_and(|start| self.run(rest, buffer, start + content.pattern.len())),
                }
            }
            BufferTest::Pcre(pcre) if rest.is_empty() => self.search(pcre, buffer, 0, from).is_some(),
            _ => self.run(&chain.steps, buffer, 0),
        }
    }

    /// Where the rule failed: in `plan`.
    pub(super) fn failed_at(&self, plan: usize) -> FailedAt {
        FailedAt { plan, chain: self.failed_chain, given_up: self.limit_reached(), went_beyond: self.went_beyond }
    }

    pub(super) fn limit_reached(&self) -> bool {
        self.tries > TRY_COUNT_MAX
    }

    /// Whether `steps` can be satisfied when the match before them ended at `position`.
    fn run(&mut self, steps: &[Step], buffer: &[u8], mut position: usize) -> bool {
        let mut steps = steps;
        while let Some((step, rest)) = steps.split_first() {
            if step.boundless {
                self.went_beyond |= may_begin(&step.test, buffer, position);
            }
            match (&step.test, step.anchors) {
                (BufferTest::Content(content), true) => {
                    let window = self.window(content, buffer.len(), position);
                    return self.try_places(step, content, rest, buffer, window);
                }
                (BufferTest::Pcre(pcre), true) => return self.try_matches(pcre, rest, buffer, position),
                _ => {}
            }
            match self.test(&step.test, buffer, position) {
                Some(moved) => position = moved,
                None => return false,
            }
            steps = rest;
        }
        true
    }

    /// Tries each place of an anchoring content, which is that of `step`, in `window`.
    fn try_places(
        &mut self,
        step: &Step,
        content: &Content,
        rest: &[Step],
        buffer: &[u8],
        mut window: (usize, usize),
    ) -> bool {
        if let Some(bytes) = step.end_bytes.and_then(|bytes| usize::try_from(bytes).ok()) {
            let near_end = (buffer.len() + 1).saturating_sub(content.pattern.len().saturating_add(bytes));
            window.0 = window.0.max(near_end);
        }
        let next = step.neighbour.zip(rest.first().and_then(|step| step.test.content()));
        while let Some(start) = match next {
            Some((neighbour, next)) => find_both(content, next, neighbour, buffer, window),
            None => find(content, buffer, window),
        } {
            self.tries = self.tries.saturating_add(1);
            if self.limit_reached() {
                return false;
            }
            let kept = self.captured.len();
            if self.run(rest, buffer, start + content.pattern.len()) {
                return true;
            }
            self.captured.truncate(kept);
            if self.hopeless {
                return false;
            }
            window.0 = start + 1;
        }
        false
    }

    /// Tries each match of an anchoring expression.
    fn try_matches(&mut self, pcre: &Pcre, rest: &[Step], buffer: &[u8], position: usize) -> bool {
        let base = if pcre.relative { position } else { 0 };
        let mut from = 0;
        while let Some((start, end)) = self.search(pcre, buffer, base, from) {
            self.tries = self.tries.saturating_add(1);
            if self.limit_reached() {
                return false;
            }
            let kept = self.captured.len();
            self.capture(pcre, buffer, base, from);
            if self.run(rest, buffer, base + end) {
                return true;
            }
            self.captured.truncate(kept);
            from = start + 1;
        }
        false
    }

    /// Start and end of the first match from `from` on, both counted from `base`, where the subject begins.
    fn search(&mut self, pcre: &Pcre, buffer: &[u8], base: usize, from: usize) -> Option<(usize, usize)> {
        let subject = buffer.get(base..)?;
        let from = from + pcre.hint.begin(subject.get(from..)?)?;
        match pcre.regex.find_at(subject, from) {
            Ok(found) => found.map(|found| (found.start(), found.end())),
            // A limit was reached: no match, and counted.
            Err(_) => {
                self.tries = u32::MAX;
                None
            }
        }
    }

    /// Keeps what the match from `from` on has captured.
    fn capture(&mut self, pcre: &Pcre, buffer: &[u8], base: usize, from: usize) {
        let Some(subject) = buffer.get(base..).filter(|_| !pcre.captures.is_empty()) else { return };
        let mut groups = pcre.regex.capture_locations();
        if !matches!(pcre.regex.captures_read_at(&mut groups, subject, from), Ok(Some(_))) {
            return;
        }
        for capture in &pcre.captures {
            let found = groups.get(capture.group).and_then(|(start, end)| subject.get(start..end));
            if let Some(found) = found {
                let value = found.get(..VARIABLE_BYTES_MAX).unwrap_or(found).into();
                self.captured.push((capture.scope, Variable { name: Arc::clone(&capture.name), value }));
            }
        }
    }

    fn pcre(&mut self, pcre: &Pcre, buffer: &[u8], position: usize) -> Option<usize> {
        let base = if pcre.relative { position } else { 0 };
        match (self.search(pcre, buffer, base, 0), pcre.negated) {
            (Some((_, end)), false) => {
                self.capture(pcre, buffer, base, 0);
                Some(base + end)
            }
            // What was given up is neither a match nor the absence of one.
            (None, true) if !self.limit_reached() => Some(position),
            _ => None,
        }
    }

    /// The position after a test that holds, or `None`.
    fn test(&mut self, test: &BufferTest, buffer: &[u8], position: usize) -> Option<usize> {
        match test {
            BufferTest::Content(content) => {
                let found = find(content, buffer, self.window(content, buffer.len(), position));
                match (found, content.negated) {
                    (Some(start), false) => Some(start + content.pattern.len()),
                    (None, true) => Some(position),
                    (None, false) => {
                        self.hopeless |= self.ascends && content.is_anywhere_behind();
                        None
                    }
                    (Some(_), true) => None,
                }
            }
            BufferTest::IsDataAt(test) => self.is_data_at(*test, buffer, position).then_some(position),
            BufferTest::Pcre(pcre) => self.pcre(pcre, buffer, position),
            BufferTest::ByteTest(test) => self.byte_test(test, buffer, position).then_some(position),
            BufferTest::ByteJump(jump) => self.byte_jump(jump, buffer, position),
            BufferTest::ByteExtract(extract) => self.byte_extract(extract, buffer, position),
            BufferTest::ByteMath(math) => self.byte_math(math, buffer, position),
            BufferTest::Size(test) => test.accepts(buffer.len() as u64).then_some(position),
            BufferTest::Base64(decode) => self.base64(decode, buffer, position).then_some(position),
            BufferTest::DataSet { set, operation } => {
                let holds = match operation {
                    DataOperation::IsIn => set.contains(buffer),
                    DataOperation::IsNotIn => !set.contains(buffer),
                    DataOperation::Add => set.add(buffer),
                    DataOperation::Remove => set.remove(buffer),
                };
                holds.then_some(position)
            }
            BufferTest::DataReputation { set, test } => {
                set.reputation(buffer).is_some_and(|score| test.accepts(u64::from(score))).then_some(position)
            }
            BufferTest::Asn1(test) => self.asn1(test, buffer, position).then_some(position),
        }
    }

    /// Whether something can be decoded, and what is asked of it holds.
    fn base64(&mut self, decode: &Base64, buffer: &[u8], position: usize) -> bool {
        let Some(at) = self.place(i64::from(decode.offset), decode.relative, position) else { return false };
        let rest = buffer.get(at..).unwrap_or_default();
        let text = rest.get(..usize::from(decode.bytes)).unwrap_or(rest);
        let mut decoded = std::mem::take(&mut self.decoded);
        decoded.clear();
        decode_base64(text, &mut decoded);
        let outer = (self.ascends, self.hopeless, self.went_beyond);
        let holds = !decoded.is_empty() && decode.data.iter().all(|chain| self.matches(chain, &decoded));
        (self.ascends, self.hopeless, self.went_beyond) = outer;
        self.decoded = decoded;
        holds
    }

    fn asn1(&mut self, test: &Asn1, buffer: &[u8], position: usize) -> bool {
        // Parsing a whole buffer costs more than trying a place does.
        self.tries = self.tries.saturating_add(ASN1_TRY_COUNT);
        let rest = self.place(test.offset, test.relative, position).and_then(|at| buffer.get(at..));
        !self.limit_reached() && rest.is_some_and(|rest| is_odd_ber(test, rest))
    }

    fn amount(&self, amount: Amount) -> i64 {
        match amount {
            Amount::Number(number) => number,
            Amount::Variable(at) => self.variable(at).try_into().unwrap_or(i64::MAX),
        }
    }

    fn variable(&self, at: u8) -> u64 {
        self.variables.get(usize::from(at)).copied().unwrap_or(0)
    }

    fn store(&mut self, at: u8, value: u64) {
        if let Some(variable) = self.variables.get_mut(usize::from(at)) {
            *variable = value;
        }
    }

    /// Where the content may begin and must end: `from..to` in the buffer, empty if nowhere.
    pub(super) fn window(&self, content: &Content, length: usize, position: usize) -> (usize, usize) {
        let end = i64::try_from(length).unwrap_or(i64::MAX);
        let position = i64::try_from(position).unwrap_or(i64::MAX);
        let (from, to) = if content.is_relative() {
            let from = position.saturating_add(content.distance.map_or(0, |amount| self.amount(amount)));
            (from, content.within.map_or(end, |within| from.saturating_add(self.amount(within))))
        } else if content.startswith {
            (0, i64::try_from(content.pattern.len()).unwrap_or(i64::MAX))
        } else {
            let from = content.offset.map_or(0, |amount| self.amount(amount));
            (from, content.depth.map_or(end, |depth| from.saturating_add(self.amount(depth))))
        };
        let clamp = |value: i64| usize::try_from(value.clamp(0, end)).unwrap_or(0);
        // Where the window begins beyond the end there is no place, not even for nothing.
        if from > end { (1, 0) } else { (clamp(from), clamp(to)) }
    }

    fn is_data_at(&self, test: IsDataAt, buffer: &[u8], position: usize) -> bool {
        let amount = self.amount(test.amount);
        let length = i64::try_from(buffer.len()).unwrap_or(i64::MAX);
        let found = if test.relative {
            i64::try_from(position).unwrap_or(i64::MAX).saturating_add(amount) <= length
        } else {
            amount < length
        };
        found != test.negated
    }

    /// Where a number begins, if that is inside of the buffer.
    fn place(&self, offset: i64, relative: bool, position: usize) -> Option<usize> {
        let base = if relative { i64::try_from(position).ok()? } else { 0 };
        usize::try_from(base.checked_add(offset)?).ok()
    }

    /// Reads a number: its value without the mask, and how many bytes it took.
    fn read(&self, number: &Number, buffer: &[u8], at: usize) -> Option<(u64, usize)> {
        let count = usize::try_from(self.amount(number.count)).ok()?;
        let rest = buffer.get(at..)?;
        let bytes = match number.form {
            NumberForm::Text(_) if count == 0 => rest.get(..TEXT_BYTES_MAX).unwrap_or(rest),
            _ => rest.get(..count)?,
        };
        match number.form {
            NumberForm::Text(base) => read_text(bytes, base),
            _ if count > 8 => None,
            NumberForm::LittleEndian | NumberForm::Dce
                if number.form != NumberForm::Dce || self.dce_is_little_endian =>
            {
                Some((bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)), count))
            }
            _ => Some((bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)), count)),
        }
    }

    fn byte_test(&self, test: &ByteTest, buffer: &[u8], position: usize) -> bool {
        let read = self
            .place(self.amount(test.offset), test.relative, position)
            .and_then(|at| self.read(&test.number, buffer, at));
        let Some((value, _)) = read else { return false };
        let value = masked(value, test.number.bitmask);
        let wanted = match test.value {
            Amount::Number(number) => u64::from_ne_bytes(number.to_ne_bytes()),
            Amount::Variable(at) => self.variable(at),
        };
        let holds = match test.operator {
            ByteOperator::Less => value < wanted,
            ByteOperator::Greater => value > wanted,
            ByteOperator::Equal => value == wanted,
            ByteOperator::LessOrEqual => value <= wanted,
            ByteOperator::GreaterOrEqual => value >= wanted,
            ByteOperator::And => value & wanted != 0,
            ByteOperator::Or => value ^ wanted != 0,
        };
        holds != test.negated
    }

    fn byte_jump(&self, jump: &ByteJump, buffer: &[u8], position: usize) -> Option<usize> {
        let at = self.place(self.amount(jump.offset), jump.relative, position)?;
        if at > buffer.len() || buffer.is_empty() {
            return None;
        }
        let (value, taken) = match jump.number.count {
            Amount::Number(0) => (0, 0),
            _ => self.read(&jump.number, buffer, at)?,
        };
        let mut value = masked(value, jump.number.bitmask).checked_mul(u64::from(jump.multiplier))?;
        if jump.align {
            value = value.checked_next_multiple_of(4)?;
        }
        let distance = i64::try_from(value).ok()?.checked_add(i64::from(jump.post_offset))?;
        let base = match jump.from {
            JumpFrom::Here => at + taken,
            JumpFrom::Beginning => 0,
            JumpFrom::End => buffer.len(),
        };
        let target = i64::try_from(base).ok()?.checked_add(distance)?;
        // Before the beginning is the beginning; at the end or beyond is nowhere.
        let target = usize::try_from(target.max(0)).ok()?;
        (target < buffer.len()).then_some(target)
    }

    /// The next test is relative to the end of what was read, as in Suricata.
    fn byte_extract(&mut self, extract: &ByteExtract, buffer: &[u8], position: usize) -> Option<usize> {
        let at = self.place(extract.offset, extract.relative, position)?;
        let (value, taken) = self.read(&extract.number, buffer, at)?;
        let mut value = masked(value, extract.number.bitmask).checked_mul(u64::from(extract.multiplier))?;
        if extract.align > 0 {
            value = value.checked_next_multiple_of(u64::from(extract.align))?;
        }
        self.store(extract.into, value);
        Some(at + taken)
    }

    fn byte_math(&mut self, math: &ByteMath, buffer: &[u8], position: usize) -> Option<usize> {
        let at = self.place(math.offset, math.relative, position)?;
        let (value, taken) = self.read(&math.number, buffer, at)?;
        let operand = match math.value {
            Amount::Number(number) => u64::from_ne_bytes(number.to_ne_bytes()),
            Amount::Variable(at) => self.variable(at),
        };
        let shift = u32::try_from(operand).unwrap_or(u32::MAX);
        let result = match math.operator {
            MathOperator::Add => value.wrapping_add(operand),
            MathOperator::Subtract => value.wrapping_sub(operand),
            MathOperator::Multiply => value.wrapping_mul(operand),
            MathOperator::Divide => value.checked_div(operand)?,
            MathOperator::ShiftLeft => value.checked_shl(shift).unwrap_or(0),
            MathOperator::ShiftRight => value.checked_shr(shift).unwrap_or(0),
        };
        self.store(math.into, masked(result, math.number.bitmask));
        Some(at + taken)
    }
}

/// Whether more is to be asked than the byte at `position`.
fn may_begin(test: &BufferTest, buffer: &[u8], position: usize) -> bool {
    match test {
        BufferTest::Pcre(pcre) if pcre.relative && pcre.hint.begins_at_once && !pcre.negated => {
            buffer.get(position..).and_then(|subject| pcre.hint.begin(subject)).is_some()
        }
        _ => true,
    }
}

/// The first place of the pattern inside of `window`.
fn find(content: &Content, buffer: &[u8], window: (usize, usize)) -> Option<usize> {
    let (from, to) = window;
    let searched = buffer.get(from..to)?;
    if content.endswith {
        let start = buffer.len().checked_sub(content.pattern.len())?;
        let fits = to == buffer.len() && start >= from && content.is_at_end_of(buffer);
        return fits.then_some(start);
    }
    content.pattern.find(searched).map(|at| from + at)
}

/// The first place of the pattern inside of `window` that has its neighbour with it.
fn find_both(
    content: &Content,
    next: &Content,
    neighbour: Neighbour,
    buffer: &[u8],
    (mut from, to): (usize, usize),
) -> Option<usize> {
    let distance = usize::from(neighbour.distance);
    if !neighbour.leads {
        loop {
            let start = find(content, buffer, (from, to))?;
            if next.pattern.is_at(buffer, start + distance) {
                return Some(start);
            }
            from = start + 1;
        }
    }
    let last = to.checked_sub(content.pattern.len())?;
    let searched = buffer.get(..last + distance + next.pattern.len()).unwrap_or(buffer);
    loop {
        let start = from + next.pattern.find(searched.get(from + distance..)?)?;
        if content.pattern.is_at(buffer, start) {
            return Some(start);
        }
        from = start + 1;
    }
}

fn masked(value: u64, mask: Option<u32>) -> u64 {
    match mask {
        Some(mask) => (value & u64::from(mask)).checked_shr(mask.trailing_zeros()).unwrap_or(0),
        None => value,
    }
}

/// As `strtoull`: space, a sign, `0x` before hexadecimal digits; then at least one digit.
fn read_text(bytes: &[u8], base: u32) -> Option<(u64, usize)> {
    let skipped = bytes.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let mut rest = bytes.get(skipped..)?;
    let negative = rest.first() == Some(&b'-');
    if matches!(rest.first(), Some(b'-' | b'+')) {
        rest = rest.get(1..)?;
    }
    if base == 16 && matches!(rest, [b'0', b'x' | b'X', digit, ..] if digit.is_ascii_hexdigit()) {
        rest = rest.get(2..)?;
    }
    let digits = rest.iter().map_while(|byte| char::from(*byte).to_digit(base));
    let (mut value, mut count) = (0u64, 0usize);
    for digit in digits {
        value = value.checked_mul(u64::from(base))?.checked_add(u64::from(digit))?;
        count += 1;
    }
    let taken = bytes.len() - rest.len() + count;
    (count > 0).then_some((if negative { value.wrapping_neg() } else { value }, taken))
}
