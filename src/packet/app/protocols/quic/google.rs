//! What a client of Google's QUIC says first: a message of tags and values, in the clear.

use md5::{Digest, Md5};

use super::header::{Version, number};
use crate::packet::app::protocols::tls::fingerprint::{Fingerprint, hex};
use crate::packet::app::reader::Reader;

/// Tags of one message: Google's own cap.
const TAG_COUNT_MAX: u16 = 128;
/// Bytes of a value that are kept.
const VALUE_BYTES_MAX: usize = 1024;

const CLIENT_HELLO: [u8; 4] = *b"CHLO";
const SERVER_NAME: [u8; 4] = *b"SNI\0";
const USER_AGENT: [u8; 4] = *b"UAID";

/// A frame with its stream, and the same for handshakes alone, from Q047 on.
const STREAM: u8 = 0x80;
const CRYPTO: u8 = 0x08;

/// A client's hello.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GoogleHello {
    pub sni: Option<Box<[u8]>>,
    pub user_agent: Option<Box<[u8]>>,
    /// The tags, in order.
    tags: Vec<[u8; 4]>,
}

impl GoogleHello {
    /// The first hello in a payload of frames.
    #[must_use]
    pub fn find(payload: &[u8]) -> Option<GoogleHello> {
        let mut reader = Reader::big_endian(payload);
        loop {
            let data = match reader.u8()? {
                0 => continue,
                kind if kind & STREAM != 0 => stream(kind, &mut reader)?,
                CRYPTO => {
                    number(&mut reader)?;
                    let length = usize::try_from(number(&mut reader)?).ok()?;
                    reader.take(length)?
                }
                _ => return None,
            };
            if let Some(hello) = GoogleHello::read(data) {
                return Some(hello);
            }
        }
    }

    fn read(data: &[u8]) -> Option<GoogleHello> {
        let mut reader = Reader::little_endian(data);
        if reader.array::<4>()? != CLIENT_HELLO {
            return None;
        }
        let count = reader.u16()?;
        reader.skip(2)?;
        if count > TAG_COUNT_MAX {
            return None;
        }
        let mut hello = GoogleHello::default();
        let mut places = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            places.push((reader.array::<4>()?, reader.length32()?));
        }
        let values = reader.rest();
        let mut begin = 0;
        for (tag, end) in places {
            // A value that is cut off hides nothing of the others.
            let value = values.get(begin..end).map(|value| value.get(..VALUE_BYTES_MAX).unwrap_or(value));
            match tag {
                SERVER_NAME => hello.sni = value.map(Into::into),
                USER_AGENT => hello.user_agent = value.map(Into::into),
                _ => {}
            }
            hello.tags.push(tag);
            begin = end;
        }
        Some(hello)
    }

    /// The CYU fingerprint: version and tags. Made of the versions that it was defined for.
    #[must_use]
    pub fn fingerprint(&self, version: Version) -> Option<Fingerprint> {
        let number = match version {
            Version::Q043 => "43",
            // As its authors have it.
            Version::Q044 | Version::Q045 => "44",
            Version::Q046 => "46",
            _ => return None,
        };
        let names = self.tags.iter().map(|tag| {
            let end = tag.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            String::from_utf8_lossy(tag.get(..end).unwrap_or_default()).into_owned()
        });
        let string = format!("{number},{}", names.collect::<Vec<_>>().join("-"));
        let hash = hex(&Md5::digest(string.as_bytes()));
        Some(Fingerprint { string, hash })
    }

    /// Heap that it holds, roughly.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let texts = [&self.sni, &self.user_agent].into_iter().flatten().map(|text| text.len()).sum::<usize>();
        texts + self.tags.capacity() * 4
    }
}

/// `1fdooossB`: whether it ends the stream, whether its length is there, and the lengths of offset and stream id.
fn stream<'p>(kind: u8, reader: &mut Reader<'p>) -> Option<&'p [u8]> {
    let offset_bytes = match (kind >> 2) & 7 {
        0 => 0,
        more => usize::from(more) + 1,
    };
    reader.skip(1 + usize::from(kind & 3) + offset_bytes)?;
    let length = if kind & 0x20 != 0 { reader.length16()? } else { reader.remaining() };
    reader.take(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(tags: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
        let mut bytes = b"CHLO".to_vec();
        bytes.extend(u16::try_from(tags.len()).unwrap().to_le_bytes());
        bytes.extend([0, 0]);
        let mut end = 0_u32;
        for (tag, value) in tags {
            end += u32::try_from(value.len()).unwrap();
            bytes.extend(*tag);
            bytes.extend(end.to_le_bytes());
        }
        tags.iter().for_each(|(_, value)| bytes.extend(*value));
        bytes
    }

    /// Versions and hashes as Salesforce published them.
    #[test]
    fn the_fingerprint_is_as_published() {
        let tags = [*b"PAD\0", *b"SNI\0", *b"VER\0", *b"CCS\0", *b"PDMD", *b"ICSL", *b"MIDS", *b"CFCW", *b"SFCW"];
        let hello = GoogleHello { tags: tags.to_vec(), ..GoogleHello::default() };
        let found = hello.fingerprint(Version::Q043).unwrap();
        assert_eq!(found.string, "43,PAD-SNI-VER-CCS-PDMD-ICSL-MIDS-CFCW-SFCW");
        assert_eq!(found.hash, "e030dea1f2eea44ac7db5fe4de792acd");
        assert_eq!(hello.fingerprint(Version::Q050), None);
    }

    #[test]
    fn a_hello_is_found_behind_padding_and_cut_values_hide_nothing() {
        let message = message(&[(b"PAD\0", b"---"), (b"SNI\0", b"example.com"), (b"UAID", b"agent")]);
        let length = u16::try_from(message.len()).unwrap().to_be_bytes();
        let framed = [&[0, 0, 0xa0, 1][..], &length, &message, &[0, 0]].concat();
        let hello = GoogleHello::find(&framed).unwrap();
        assert_eq!(hello.sni.as_deref(), Some(&b"example.com"[..]));
        assert_eq!(hello.user_agent.as_deref(), Some(&b"agent"[..]));
        let cut = GoogleHello::read(message.get(..message.len() - 2).unwrap()).unwrap();
        assert_eq!((cut.sni.as_deref(), cut.user_agent), (Some(&b"example.com"[..]), None));
        assert_eq!(GoogleHello::find(&[0, 0, 0x20]), None);
    }
}
