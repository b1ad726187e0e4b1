//! HPACK (RFC 7541): lists of headers, compressed against a table that both ends keep.

use std::collections::VecDeque;
use std::sync::Arc;

use super::huffman;

/// The table of one direction as it is before anybody changes its size (RFC 9113, 6.5.2).
const TABLE_BYTES_DEFAULT: usize = 4096;
/// Larger tables are cut to this; Suricata's `http2.max-table-size`.
const TABLE_BYTES_MAX: usize = 64 << 10;
/// What an entry costs beside its bytes (RFC 7541, 4.1).
const ENTRY_BYTES: usize = 32;
/// Bytes after the first that a number may have: enough for 32 bits.
const NUMBER_BYTES_MAX: usize = 5;

/// One header. Lists share the fields that the table gave them, so that a list of references stays small.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Field {
    pub name: Box<[u8]>,
    pub value: Box<[u8]>,
}

impl Field {
    fn table_bytes(&self) -> usize {
        self.name.len().saturating_add(self.value.len()).saturating_add(ENTRY_BYTES)
    }
}

/// What one step of a block gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    Field(Arc<Field>),
    SizeUpdate(u32),
    /// A reference to nothing.
    Invalid,
}

/// Why a block ends before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// A number with more digits than any honest one.
    Overflow,
    /// The block ends within a header.
    CutOff,
}

/// The table of one direction.
#[derive(Debug)]
pub struct Table {
    /// The newest first.
    entries: VecDeque<Arc<Field>>,
    bytes: usize,
    bytes_max: usize,
}

impl Default for Table {
    fn default() -> Self {
        Table { entries: VecDeque::new(), bytes: 0, bytes_max: TABLE_BYTES_DEFAULT }
    }
}

impl Table {
    /// Decodes a whole block; `each` gets what it holds.
    pub fn decode(&mut self, block: &[u8], each: &mut dyn FnMut(Item)) -> Result<(), Broken> {
        let mut rest = block;
        while let Some(first) = rest.split_off_first().copied() {
            each(self.step(first, &mut rest)?);
        }
        Ok(())
    }

    fn step(&mut self, first: u8, rest: &mut &[u8]) -> Result<Item, Broken> {
        Ok(match first {
            0x80.. => {
                let index = number(first, 7, rest)?;
                self.field(index).map_or(Item::Invalid, Item::Field)
            }
            0x40..=0x7f => {
                let index = number(first, 6, rest)?;
                match self.literal(index, rest)? {
                    Some(field) => {
                        let field = Arc::new(field);
                        self.insert(Arc::clone(&field));
                        Item::Field(field)
                    }
                    None => Item::Invalid,
                }
            }
            0x20..=0x3f => {
                let size = number(first, 5, rest)?;
                self.bytes_max = usize::try_from(size).map_or(TABLE_BYTES_MAX, |size| size.min(TABLE_BYTES_MAX));
                self.shrink(0);
                Item::SizeUpdate(size)
            }
            _ => {
                let index = number(first, 4, rest)?;
                self.literal(index, rest)?.map_or(Item::Invalid, |field| Item::Field(Arc::new(field)))
            }
        })
    }

    /// A header whose name may be known. `None`: its name is said to be known, and is not.
    fn literal(&self, index: u32, rest: &mut &[u8]) -> Result<Option<Field>, Broken> {
        let name = match index {
            0 => Some(string(rest)?),
            index => self.field(index).map(|field| field.name.clone()),
        };
        let value = string(rest)?;
        Ok(name.map(|name| Field { name, value }))
    }

    /// From 1 on; the dynamic table begins behind the static one.
    fn field(&self, index: u32) -> Option<Arc<Field>> {
        let at = usize::try_from(index).ok()?.checked_sub(1)?;
        match STATIC.get(at) {
            Some((name, value)) => {
                Some(Arc::new(Field { name: name.as_bytes().into(), value: value.as_bytes().into() }))
            }
            None => self.entries.get(at.checked_sub(STATIC.len())?).cloned(),
        }
    }

    /// An entry larger than the table empties it (RFC 7541, 4.4).
    fn insert(&mut self, field: Arc<Field>) {
        let bytes = field.table_bytes();
        self.shrink(bytes);
        if bytes <= self.bytes_max {
            self.bytes = self.bytes.saturating_add(bytes);
            self.entries.push_front(field);
        }
    }

    /// Makes room for an entry of so many bytes.
    fn shrink(&mut self, wanted: usize) {
        while self.bytes.saturating_add(wanted) > self.bytes_max {
            let Some(last) = self.entries.pop_back() else { break };
            self.bytes = self.bytes.saturating_sub(last.table_bytes());
        }
    }

    /// Heap that it holds, roughly.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.bytes.saturating_add(self.entries.capacity() * size_of::<Arc<Field>>())
    }
}

/// A number that begins in the low `bits` of a byte (RFC 7541, 5.1).
fn number(first: u8, bits: u32, rest: &mut &[u8]) -> Result<u32, Broken> {
    let mask = (1_u8 << bits).wrapping_sub(1);
    let mut number = u64::from(first & mask);
    if first & mask != mask {
        return u32::try_from(number).map_err(|_| Broken::Overflow);
    }
    for at in 0..NUMBER_BYTES_MAX {
        let byte = *rest.split_off_first().ok_or(Broken::CutOff)?;
        number += u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return u32::try_from(number).map_err(|_| Broken::Overflow);
        }
    }
    Err(Broken::Overflow)
}

fn string(rest: &mut &[u8]) -> Result<Box<[u8]>, Broken> {
    let first = *rest.split_off_first().ok_or(Broken::CutOff)?;
    let length = usize::try_from(number(first, 7, rest)?).map_err(|_| Broken::Overflow)?;
    let bytes = rest.split_off(..length).ok_or(Broken::CutOff)?;
    Ok(if first & 0x80 == 0 { bytes.into() } else { huffman::decode(bytes).into() })
}

/// RFC 7541, appendix A.
const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(table: &mut Table, block: &[u8]) -> (Vec<String>, Result<(), Broken>) {
        let mut seen = Vec::new();
        let result = table.decode(block, &mut |item| {
            seen.push(match item {
                Item::Field(field) => {
                    format!("{}: {}", String::from_utf8_lossy(&field.name), String::from_utf8_lossy(&field.value))
                }
                other => format!("{other:?}"),
            });
        });
        (seen, result)
    }

    /// RFC 7541, appendix C.4: three requests on one connection.
    #[test]
    fn the_examples_of_the_standard() {
        let mut table = Table::default();
        let first = b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff";
        let common = [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"];
        assert_eq!(decode(&mut table, first).0, common);
        let second = b"\x82\x86\x84\xbe\x58\x86\xa8\xeb\x10\x64\x9c\xbf";
        assert_eq!(decode(&mut table, second).0, [&common[..], &["cache-control: no-cache"]].concat());
        let third = b"\x82\x87\x85\xbf\x40\x88\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f\x89\x25\xa8\x49\xe9\x5b\xb8\xe8\xb4\xbf";
        let (seen, result) = decode(&mut table, third);
        assert_eq!(seen.last().map(String::as_str), Some("custom-key: custom-value"));
        assert_eq!((seen.len(), result, table.bytes), (5, Ok(()), 164));
    }

    #[test]
    fn the_table_has_a_size_and_forgets_the_oldest() {
        let mut table = Table::default();
        // Room for one entry of 34 bytes.
        let (seen, _) = decode(&mut table, b"\x3f\x09\x40\x01a\x01b\x40\x01c\x01d\xbe\xbf");
        assert_eq!(seen, ["SizeUpdate(40)", "a: b", "c: d", "c: d", "Invalid"]);
        assert_eq!(decode(&mut table, b"\x20\xbe").0, ["SizeUpdate(0)", "Invalid"]);
        assert_eq!(decode(&mut table, b"\x3f\xff\xff\xff\x0f").1, Ok(()));
        assert_eq!(table.bytes_max, TABLE_BYTES_MAX);
    }

    #[test]
    fn what_breaks_off_or_overflows_has_a_name() {
        let cases: [(&[u8], Result<(), Broken>); 5] = [
            (b"\x80", Ok(())),
            (b"\x40\x05ab", Err(Broken::CutOff)),
            (b"\xff", Err(Broken::CutOff)),
            (b"\xff\xff\xff\xff\xff\xff\x00", Err(Broken::Overflow)),
            (b"\xff\xff\xff\xff\xff\x7f", Err(Broken::Overflow)),
        ];
        for (block, expected) in cases {
            assert_eq!(decode(&mut Table::default(), block).1, expected, "{block:?}");
        }
    }
}
