//! IP reputation: scores of addresses and networks by category, for `iprep`.
//!
//! ```text
//!  categories file   1,CnC,Known command and control
//!  reputation files  192.0.2.0/24,1,90
//! ```

use std::net::IpAddr;

use hashbrown::HashMap;

use super::config::Source;
use super::error::{Code, Diagnostic, Mistake, Span};
use super::lex::{RuleText, rule_texts, split};

/// Suricata's limits.
const CATEGORY_MAX: u8 = 60;
const SCORE_MAX: u8 = 127;

/// All categories and scores. What is more specific goes before what is less so.
#[derive(Clone, Debug, Default)]
pub struct Reputation {
    categories: HashMap<String, u8>,
    /// By category, family, prefix length and network.
    scores: HashMap<(u8, bool, u8, u128), u8>,
    /// Prefix lengths that occur, longest first: of IPv4 and of IPv6.
    lengths: [Vec<u8>; 2],
}

impl Reputation {
    #[must_use]
    pub fn category(&self, name: &str) -> Option<u8> {
        self.categories.get(name).copied()
    }

    pub fn category_names(&self) -> impl Iterator<Item = &str> {
        self.categories.keys().map(String::as_str)
    }

    /// The score of an address; `None` if it has none.
    #[must_use]
    pub fn score(&self, category: u8, address: IpAddr) -> Option<u8> {
        let (is_v6, bits, width) = bits_of(address);
        let [v4, v6] = &self.lengths;
        let lengths = if is_v6 { v6 } else { v4 };
        lengths.iter().find_map(|length| {
            let network = network_of(bits, width, *length);
            self.scores.get(&(category, is_v6, *length, network)).copied()
        })
    }

    /// Reads the categories. Lines that are not understood are told and left out, here and below.
    pub fn read_categories(&mut self, source: &Source, diagnostics: &mut Vec<Diagnostic>) {
        for line in rule_texts(&source.text) {
            match category(&line) {
                Ok((id, name)) => drop(self.categories.insert(name, id)),
                Err(mistake) => diagnostics.push(line.locate(mistake, &source.name, &source.text, None)),
            }
        }
    }

    /// Reads addresses and networks with their scores.
    pub fn read_scores(&mut self, source: &Source, diagnostics: &mut Vec<Diagnostic>) {
        for line in rule_texts(&source.text) {
            if let Err(mistake) = self.score_line(&line) {
                diagnostics.push(line.locate(mistake, &source.name, &source.text, None));
            }
        }
    }

    fn score_line(&mut self, line: &RuleText<'_>) -> Result<(), Mistake> {
        let text = &*line.text;
        let parts = split(text, Span::new(0, text.len()), b',');
        let [network, category, score] = parts.as_slice() else {
            return Err(wrong(Span::new(0, text.len()), "address, category and score are needed"));
        };
        let (address, length) = match network.of(text).split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (network.of(text), None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong(*network, "this is no address"))?;
        let (is_v6, bits, width) = bits_of(address);
        let length = match length {
            Some(length) => length.parse().ok().filter(|length| *length <= width),
            None => Some(width),
        };
        let length = length.ok_or_else(|| wrong(*network, "this is no prefix length"))?;
        let category = number(text, *category, CATEGORY_MAX)?;
        let score = number(text, *score, SCORE_MAX)?;
        self.scores.insert((category, is_v6, length, network_of(bits, width, length)), score);
        let [v4, v6] = &mut self.lengths;
        let lengths = if is_v6 { v6 } else { v4 };
        if let Err(at) = lengths.binary_search_by(|known| length.cmp(known)) {
            lengths.insert(at, length);
        }
        Ok(())
    }
}

fn category(line: &RuleText<'_>) -> Result<(u8, String), Mistake> {
    let text = &*line.text;
    let parts = split(text, Span::new(0, text.len()), b',');
    let [id, name, ..] = parts.as_slice() else {
        return Err(wrong(Span::new(0, text.len()), "a number and a name are needed"));
    };
    match number(text, *id, CATEGORY_MAX)? {
        0 => Err(wrong(*id, "categories are numbered from 1")),
        id => Ok((id, name.of(text).to_owned())),
    }
}

fn number(text: &str, span: Span, most: u8) -> Result<u8, Mistake> {
    let number = span.of(text).parse().ok().filter(|number| *number <= most);
    number.ok_or_else(|| wrong(span, format!("this is no number within 0 to {most}")))
}

fn wrong(span: Span, label: impl Into<String>) -> Mistake {
    Mistake::new(Code::Config, span, label)
}

fn bits_of(address: IpAddr) -> (bool, u128, u8) {
    match address.to_canonical() {
        IpAddr::V4(address) => (false, u128::from(address.to_bits()), 32),
        IpAddr::V6(address) => (true, address.to_bits(), 128),
    }
}

fn network_of(bits: u128, width: u8, length: u8) -> u128 {
    let host = u32::from(width.saturating_sub(length));
    bits.checked_shr(host).unwrap_or(0).checked_shl(host).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_score_stands() {
        let (mut reputation, mut told) = (Reputation::default(), Vec::new());
        reputation.read_categories(&Source::new("c", "1,CnC,Known\n2,Bad\n99,Far\nx\n"), &mut told);
        let scores = "# comment\n10.0.0.0/8,1,10\n10.1.0.0/16,1,20\n10.1.2.3,1,127\n2001:db8::/32,1,5\n0.0.0.0/0,2,1\n\
                      10.0.0.0/33,1,1\nnobody,1,1\n10.0.0.1,1,128\n10.0.0.1,1\n";
        reputation.read_scores(&Source::new("s", scores), &mut told);
        assert_eq!(told.iter().map(|told| told.line).collect::<Vec<_>>(), [3, 4, 7, 8, 9, 10]);
        let cnc = reputation.category("CnC").unwrap();
        let cases = [
            ("10.9.9.9", Some(10)),
            ("10.1.9.9", Some(20)),
            ("10.1.2.3", Some(127)),
            ("::ffff:10.1.2.3", Some(127)),
            ("11.0.0.1", None),
            ("2001:db8::1", Some(5)),
            ("2001:db9::1", None),
        ];
        for (address, score) in cases {
            assert_eq!(reputation.score(cnc, address.parse().unwrap()), score, "{address}");
        }
        assert_eq!(reputation.score(reputation.category("Bad").unwrap(), "11.0.0.1".parse().unwrap()), Some(1));
        assert_eq!(reputation.category("Far"), None);
    }
}
