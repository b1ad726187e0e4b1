//! Files become rule texts, rule texts become header fields and options.
//!
//! A rule may go on after a backslash at the end of the line. The parser sees the joined text; [`RuleText`] leads each
//! byte of it back to where it stands in the file.

use std::borrow::Cow;
use std::sync::Arc;

use super::error::{Diagnostic, Mistake, Span};

/// One rule as one piece of text, and the way back to the file.
#[derive(Clone, Debug)]
pub struct RuleText<'s> {
    pub text: Cow<'s, str>,
    /// Pieces of the joined text in order: where each begins in `text` and in the file, and its line (from 1).
    pieces: Vec<Piece>,
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    text_start: usize,
    file_start: usize,
    line: u32,
}

impl RuleText<'_> {
    #[must_use]
    pub fn line(&self) -> u32 {
        self.pieces.first().map_or(1, |piece| piece.line)
    }

    /// Gives a mistake its place in `source`, the file that this text was read from.
    #[must_use]
    pub fn locate(&self, mistake: Mistake, file: &Arc<str>, source: &str, sid: Option<u32>) -> Diagnostic {
        let Mistake { code, span, label, help } = mistake;
        let piece = self.pieces.iter().rev().find(|piece| piece.text_start <= span.start);
        let (file_start, line) = match piece {
            Some(piece) => (piece.file_start.saturating_add(span.start.saturating_sub(piece.text_start)), piece.line),
            None => (0, 1),
        };
        // A mistake may be about one byte of a longer character.
        let file_start = source.floor_char_boundary(file_start);
        let line_start = source.get(..file_start).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
        let rest = source.get(line_start..).unwrap_or_default();
        let excerpt = rest.lines().next().unwrap_or_default();
        let start = excerpt.floor_char_boundary(file_start.saturating_sub(line_start));
        let length = span.end.saturating_sub(span.start).max(1);
        let end = excerpt.ceil_char_boundary(start.saturating_add(length));
        let column = excerpt.get(..start).map_or(0, |before| before.chars().count());
        Diagnostic {
            code,
            file: Arc::clone(file),
            line,
            column: u32::try_from(column).unwrap_or(u32::MAX).saturating_add(1),
            sid,
            label,
            help,
            excerpt: excerpt.to_owned(),
            span: Span::new(start, end),
        }
    }
}

/// The rules of a file: comments and empty lines left out, continued lines joined.
#[must_use]
pub fn rule_texts(source: &str) -> Vec<RuleText<'_>> {
    let mut texts = Vec::new();
    let mut lines = Lines { rest: source, offset: 0, number: 0 };
    while let Some((line, start, number)) = lines.advance() {
        let trimmed = line.trim_start();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        let start = start + (line.len() - trimmed.len());
        let first = Piece { text_start: 0, file_start: start, line: number };
        let Some(head) = trimmed.strip_suffix('\\') else {
            texts.push(RuleText { text: Cow::Borrowed(trimmed.trim_end()), pieces: vec![first] });
            continue;
        };
        texts.push(joined(head, first, &mut lines));
    }
    texts
}

fn joined<'s>(head: &str, first: Piece, lines: &mut Lines<'s>) -> RuleText<'s> {
    let mut text = head.to_owned();
    let mut pieces = vec![first];
    while let Some((line, start, number)) = lines.advance() {
        pieces.push(Piece { text_start: text.len(), file_start: start, line: number });
        match line.strip_suffix('\\') {
            Some(more) => text.push_str(more),
            None => {
                text.push_str(line);
                break;
            }
        }
    }
    text.truncate(text.trim_end().len());
    RuleText { text: Cow::Owned(text), pieces }
}

/// Lines without their end, with byte offset and number.
struct Lines<'s> {
    rest: &'s str,
    offset: usize,
    number: u32,
}

impl<'s> Lines<'s> {
    fn advance(&mut self) -> Option<(&'s str, usize, u32)> {
        if self.rest.is_empty() {
            return None;
        }
        let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
        let start = self.offset;
        self.offset = self.offset.saturating_add(self.rest.len() - rest.len());
        self.rest = rest;
        self.number = self.number.saturating_add(1);
        Some((line.strip_suffix('\r').unwrap_or(line), start, self.number))
    }
}

/// The part of `text` inside `span` without surrounding whitespace, as a span.
#[must_use]
pub fn trim(text: &str, span: Span) -> Span {
    let inner = span.of(text);
    let start = span.start + (inner.len() - inner.trim_start().len());
    Span::new(start, start + inner.trim().len())
}

/// Splits at `separator` outside of brackets; the pieces are trimmed and may be empty.
#[must_use]
pub fn split(text: &str, span: Span, separator: u8) -> Vec<Span> {
    let mut pieces = Vec::new();
    let mut depth = 0usize;
    let mut start = span.start;
    for (at, byte) in span.of(text).bytes().enumerate() {
        match byte {
            b'[' => depth += 1,
            b']' => depth = depth.saturating_sub(1),
            _ if byte == separator && depth == 0 => {
                pieces.push(trim(text, Span::new(start, span.start + at)));
                start = span.start + at + 1;
            }
            _ => {}
        }
    }
    pieces.push(trim(text, Span::new(start, span.end)));
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::error::Code;

    #[test]
    fn comments_and_blank_lines_are_no_rules() {
        let texts = rule_texts("# a\n\n  # b\nalert one\r\n\talert two \n");
        let found: Vec<(&str, u32)> = texts.iter().map(|text| (text.text.as_ref(), text.line())).collect();
        assert_eq!(found, [("alert one", 4), ("alert two", 5)]);
    }

    #[test]
    fn a_continued_rule_knows_where_each_byte_came_from() {
        let source = "# c\nalert tcp \\\n  any any \\\n-> bad\nalert next";
        let texts = rule_texts(source);
        assert_eq!(texts[0].text, "alert tcp   any any -> bad");
        let at = texts[0].text.find("bad").unwrap();
        let place = texts[0].locate(Mistake::new(Code::Address, Span::new(at, at + 3), ""), &"f".into(), source, None);
        assert_eq!((place.line, place.column, place.excerpt.as_str()), (4, 4, "-> bad"));
        assert_eq!(texts[1].line(), 5);
    }

    #[test]
    fn brackets_protect_separators() {
        let text = "[a,b], c ,";
        let pieces: Vec<&str> = split(text, Span::new(0, text.len()), b',').iter().map(|s| s.of(text)).collect();
        assert_eq!(pieces, ["[a,b]", "c", ""]);
    }
}
