//! The objects of a DNP3 message: each header says how many points follow; how long these are, the kind of object says.

use super::record::Object;
use crate::packet::app::reader::Reader;

/// Objects of one message that are told.
const OBJECT_COUNT_MAX: usize = 128;

/// Bytes of a point by group and variation (0: any variation), as far as they are fixed; a bit each: [`PACKED`].
const POINTS: &[(u8, u8, usize)] = &[
    (1, 2, 1),
    (2, 1, 1),
    (2, 2, 7),
    (2, 3, 3),
    (3, 2, 1),
    (4, 1, 1),
    (4, 2, 7),
    (4, 3, 3),
    (10, 2, 1),
    (11, 1, 1),
    (11, 2, 7),
    (12, 1, 11),
    (12, 2, 11),
    (13, 1, 1),
    (13, 2, 7),
    (20, 1, 5),
    (20, 2, 3),
    (20, 5, 4),
    (20, 6, 2),
    (21, 1, 5),
    (21, 2, 3),
    (21, 5, 11),
    (21, 6, 9),
    (21, 9, 4),
    (21, 10, 2),
    (22, 1, 5),
    (22, 2, 3),
    (22, 5, 11),
    (22, 6, 9),
    (23, 1, 5),
    (23, 2, 3),
    (23, 5, 11),
    (23, 6, 9),
    (30, 1, 5),
    (30, 2, 3),
    (30, 3, 4),
    (30, 4, 2),
    (30, 5, 5),
    (30, 6, 9),
    (31, 1, 5),
    (31, 2, 3),
    (32, 1, 5),
    (32, 2, 3),
    (32, 3, 11),
    (32, 4, 9),
    (32, 5, 5),
    (32, 6, 9),
    (32, 7, 11),
    (32, 8, 15),
    (40, 1, 5),
    (40, 2, 3),
    (40, 3, 5),
    (40, 4, 9),
    (41, 1, 5),
    (41, 2, 3),
    (41, 3, 5),
    (41, 4, 9),
    (42, 1, 5),
    (42, 2, 3),
    (42, 3, 11),
    (42, 4, 9),
    (42, 5, 5),
    (42, 6, 9),
    (42, 7, 11),
    (42, 8, 15),
    (43, 1, 5),
    (43, 2, 3),
    (50, 1, 6),
    (50, 2, 10),
    (50, 3, 6),
    (51, 1, 6),
    (51, 2, 6),
    (52, 1, 2),
    (52, 2, 2),
    (60, 1, 0),
    (60, 2, 0),
    (60, 3, 0),
    (60, 4, 0),
];

/// Groups whose variation 1 has a bit a point.
const PACKED: [u8; 4] = [1, 3, 10, 80];

/// The objects, and whether all could be told apart. Requests to read name points without their values.
pub fn read(bytes: &[u8], with_values: bool) -> (Vec<Object>, bool) {
    let mut reader = Reader::little_endian(bytes);
    let mut objects = Vec::new();
    while !reader.is_empty() {
        if objects.len() >= OBJECT_COUNT_MAX {
            return (objects, false);
        }
        let Some(object) = header(&mut reader) else { return (objects, false) };
        let skipped = body_bytes(&object, with_values).and_then(|count| reader.skip(count));
        objects.push(object);
        if skipped.is_none() {
            return (objects, false);
        }
    }
    (objects, true)
}

fn header(reader: &mut Reader<'_>) -> Option<Object> {
    let (group, variation, qualifier) = (reader.u8()?, reader.u8()?, reader.u8()?);
    let (prefix_code, range_code) = (qualifier >> 4 & 7, qualifier & 0x0f);
    let (start, stop, count) = match range_code {
        0 => pair(reader.u8()?.into(), reader.u8()?.into()),
        1 => pair(reader.u16()?.into(), reader.u16()?.into()),
        2 => pair(reader.u32()?, reader.u32()?),
        6 => (0, 0, 0),
        7 => (0, 0, reader.u8()?.into()),
        8 => (0, 0, reader.u16()?.into()),
        9 => (0, 0, reader.u32()?),
        0x0b => (0, 0, reader.u8()?.into()),
        _ => return None,
    };
    Some(Object { group, variation, qualifier, prefix_code, range_code, start, stop, count })
}

fn pair(start: u32, stop: u32) -> (u32, u32, u32) {
    (start, stop, stop.saturating_sub(start).saturating_add(1))
}

/// Bytes between this header and the next; `None` if nobody knows.
fn body_bytes(object: &Object, with_values: bool) -> Option<usize> {
    let count = usize::try_from(object.count).ok()?;
    let prefix = match object.prefix_code {
        0 => 0,
        1 => 1,
        2 => 2,
        3 => 4,
        _ => return None,
    };
    let point = match with_values {
        false => 0,
        true if object.variation == 1 && PACKED.contains(&object.group) && prefix == 0 => return Some(count.div_ceil(8)),
        true => POINTS.iter().find(|(group, variation, _)| (*group, *variation) == (object.group, object.variation))?.2,
    };
    count.checked_mul(prefix + point)
}
