//! `metadata: tidegate_block SIDE TIME`: whom a rule has the gate refuse from then on.
//!
//! It stands in `metadata` so that the rule means the same everywhere else, and loads there.

use std::time::Duration;

/// The metadata key.
pub const KEY: &str = "tidegate_block";
/// What is meant, for the error.
pub const EXPECTED: &str = "write `src` or `dst`, then a time such as 90s, 10m, 2h, 1d or `forever`; 10m without one";

const DEFAULT: Duration = Duration::from_secs(600);

/// Whom to block, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockOrder {
    pub side: BlockSide,
    /// `None`: until somebody takes it back.
    pub time: Option<Duration>,
}

/// Of the packet that completed the match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockSide {
    Source,
    Destination,
}

impl BlockOrder {
    /// `src`, `dst 10m`, `src forever`.
    #[must_use]
    pub fn parse(text: &str) -> Option<BlockOrder> {
        let mut words = text.split_whitespace();
        let side = match words.next()? {
            "src" => BlockSide::Source,
            "dst" => BlockSide::Destination,
            _ => return None,
        };
        let time = match words.next() {
            None => Some(DEFAULT),
            Some("forever") => None,
            Some(time) => Some(duration(time)?),
        };
        words.next().is_none().then_some(BlockOrder { side, time })
    }
}

/// A number with `s`, `m`, `h` or `d`; seconds without a unit. Not 0.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let (number, scale) = match text.char_indices().last()? {
        (at, unit @ ('s' | 'm' | 'h' | 'd')) => (text.get(..at)?, unit),
        _ => (text, 's'),
    };
    let scale = match scale {
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => 1,
    };
    let seconds = number.parse::<u64>().ok()?.checked_mul(scale)?;
    (seconds > 0).then_some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, seconds) in [("90", 90), ("90s", 90), ("10m", 600), ("2h", 7200), ("1d", 86_400)] {
            assert_eq!(duration(text), Some(Duration::from_secs(seconds)));
        }
        for wrong in ["", "m", "0", "-1s", "1w", "1ü", "99999999999999999999d", "18446744073709551615d"] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn orders_name_a_side_and_perhaps_a_time() {
        let order = |side, seconds: u64| Some(BlockOrder { side, time: Some(Duration::from_secs(seconds)) });
        assert_eq!(BlockOrder::parse("src"), order(BlockSide::Source, 600));
        assert_eq!(BlockOrder::parse("dst 2h"), order(BlockSide::Destination, 7200));
        assert_eq!(BlockOrder::parse("src forever"), Some(BlockOrder { side: BlockSide::Source, time: None }));
        for wrong in ["", "both", "src 10x", "src 10m twice", "10m src"] {
            assert_eq!(BlockOrder::parse(wrong), None, "{wrong}");
        }
    }
}
