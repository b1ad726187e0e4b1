//! CIP: what service is asked of which object, or answered.

use crate::packet::app::reader::Reader;
use crate::rules::industrial::CipTest;

/// Services of one message, those inside of others included.
const SERVICE_COUNT_MAX: usize = 64;
/// Segments of a path that are kept.
const SEGMENT_COUNT_MAX: usize = 16;
const RESPONSE: u8 = 0x80;
const SET_ATTRIBUTE_LIST: u8 = 0x04;
const GET_ATTRIBUTE_LIST: u8 = 0x03;
const MULTIPLE: u8 = 0x0a;

/// One service with its path.
#[derive(Debug)]
pub struct Service {
    /// Without the bit that tells responses.
    code: u8,
    classes: Vec<u16>,
    attributes: Vec<u16>,
}

impl Service {
    pub fn heap_bytes(&self) -> usize {
        size_of_val(self) + 2 * (self.classes.len() + self.attributes.len())
    }

    pub fn satisfies(&self, test: &CipTest) -> bool {
        self.code == test.service
            && test.class.is_none_or(|class| self.classes.contains(&class))
            && test.attribute.is_none_or(|(attribute, there)| self.attributes.contains(&attribute) == there)
    }
}

/// The services of a message; what cannot be read is left out.
pub fn read(bytes: &[u8], services: &mut Vec<Service>) {
    let Some((code, rest)) = bytes.split_first() else { return };
    let service = Service { code: code & !RESPONSE, classes: Vec::new(), attributes: Vec::new() };
    let is_response = code & RESPONSE != 0;
    if is_response || services.len() >= SERVICE_COUNT_MAX {
        services.extend((services.len() < SERVICE_COUNT_MAX).then_some(service));
        return;
    }
    services.push(service);
    let at = services.len() - 1;
    let Some((words, rest)) = rest.split_first() else { return };
    let Some((path, data)) = rest.split_at_checked(usize::from(*words) * 2) else { return };
    if let Some(service) = services.get_mut(at) {
        let _ = segments(path, service);
        if [GET_ATTRIBUTE_LIST, SET_ATTRIBUTE_LIST].contains(&service.code) {
            let _ = attribute_list(data, service);
        }
    }
    if code & !RESPONSE == MULTIPLE {
        let _ = several(data, services);
    }
}

/// Classes and attributes of a path.
fn segments(path: &[u8], service: &mut Service) -> Option<()> {
    let mut reader = Reader::little_endian(path);
    for _ in 0..SEGMENT_COUNT_MAX {
        let kind = reader.u8()?;
        // Logical segments; their lowest bits say how long they are.
        let value = match kind & 0x03 {
            0 => u16::from(reader.u8()?),
            1 => {
                reader.skip(1)?;
                reader.u16()?
            }
            _ => return None,
        };
        match kind & 0xfc {
            0x20 => service.classes.push(value),
            0x30 => service.attributes.push(value),
            0x24 | 0x28 | 0x2c => {}
            _ => return None,
        }
    }
    Some(())
}

fn attribute_list(data: &[u8], service: &mut Service) -> Option<()> {
    let mut reader = Reader::little_endian(data);
    let count = reader.length16()?;
    for _ in 0..count.min(SEGMENT_COUNT_MAX) {
        service.attributes.push(reader.u16()?);
        if service.code == SET_ATTRIBUTE_LIST {
            // How long its value is, only the object knows.
            return None;
        }
    }
    Some(())
}

/// Services in one: their number, where each begins, then they. One inside of another is not opened again.
fn several(data: &[u8], services: &mut Vec<Service>) -> Option<()> {
    let mut reader = Reader::little_endian(data);
    let count = reader.length16()?;
    for _ in 0..count.min(SERVICE_COUNT_MAX) {
        let offset = reader.length16()?;
        let inner = data.get(offset..)?;
        if inner.first().is_some_and(|code| code & !RESPONSE != MULTIPLE) {
            read(inner, services);
        }
    }
    Some(())
}
