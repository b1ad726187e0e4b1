//! Heartbeats (RFC 6520), whose lengths once made servers leak their memory.

use crate::rules::plan::Toward;

/// Type and length, before the payload.
const HEADER_BYTES: usize = 3;
const PADDING_BYTES_MIN: usize = 16;
const REQUEST: u8 = 1;
const RESPONSE: u8 = 2;

/// The first bytes of one side's heartbeat record.
#[derive(Debug, Default)]
pub struct Head {
    bytes: [u8; HEADER_BYTES],
    have: usize,
}

impl Head {
    /// Another record begins.
    pub fn clear(&mut self) {
        self.have = 0;
    }

    /// The whole head, once: when its last byte has come.
    pub fn take(&mut self, chunk: &[u8]) -> Option<[u8; HEADER_BYTES]> {
        if self.have >= HEADER_BYTES {
            return None;
        }
        for (slot, byte) in self.bytes.iter_mut().skip(self.have).zip(chunk) {
            *slot = *byte;
            self.have += 1;
        }
        (self.have >= HEADER_BYTES).then_some(self.bytes)
    }
}

/// A request that waits for its answer.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    from: Toward,
    /// Length of its record, if that was encrypted.
    encrypted_bytes: Option<usize>,
}

/// What is wrong with a heartbeat, as the name of an event.
pub fn judge(
    in_flight: &mut Option<Request>,
    from: Toward,
    head: [u8; HEADER_BYTES],
    record_bytes: usize,
    encrypted: bool,
) -> Option<&'static str> {
    let [kind, high, low] = head;
    if !encrypted && !matches!(kind, REQUEST | RESPONSE) {
        return Some("tls.invalid_heartbeat_message");
    }
    match *in_flight {
        None => {
            *in_flight = Some(Request { from, encrypted_bytes: encrypted.then_some(record_bytes) });
            let claimed = HEADER_BYTES + usize::from(u16::from_be_bytes([high, low]));
            match record_bytes.checked_sub(claimed) {
                _ if encrypted => None,
                None => Some("tls.overflow_heartbeat_message"),
                Some(padding) if padding < PADDING_BYTES_MIN => Some("tls.invalid_heartbeat_message"),
                Some(_) => None,
            }
        }
        Some(request) if request.from == from => Some("tls.invalid_heartbeat_message"),
        Some(request) => {
            *in_flight = None;
            let leaks = encrypted && request.encrypted_bytes.is_some_and(|asked| asked < record_bytes);
            leaks.then_some("tls.dataleak_heartbeat_mismatch")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_that_do_not_fit_are_named() {
        let request = |length: u16| [REQUEST, length.to_be_bytes()[0], length.to_be_bytes()[1]];
        let cases = [
            (request(4), 3 + 4 + 16, None),
            (request(0x4000), 3, Some("tls.overflow_heartbeat_message")),
            (request(4), 3 + 4 + 15, Some("tls.invalid_heartbeat_message")),
            ([9, 0, 0], 40, Some("tls.invalid_heartbeat_message")),
        ];
        for (head, record_bytes, event) in cases {
            assert_eq!(judge(&mut None, Toward::Server, head, record_bytes, false), event, "{head:?}");
        }
    }

    #[test]
    fn an_encrypted_answer_longer_than_its_request_is_a_leak() {
        for (answer, event) in [(30, None), (31, Some("tls.dataleak_heartbeat_mismatch"))] {
            let mut in_flight = None;
            assert_eq!(judge(&mut in_flight, Toward::Server, [0x17, 0, 0], 30, true), None);
            assert_eq!(judge(&mut in_flight, Toward::Client, [0x17, 0, 0], answer, true), event);
        }
        let mut in_flight = None;
        judge(&mut in_flight, Toward::Server, [REQUEST, 0, 0], 19, false);
        let again = judge(&mut in_flight, Toward::Server, [REQUEST, 0, 0], 19, false);
        assert_eq!(again, Some("tls.invalid_heartbeat_message"));
    }

    #[test]
    fn a_head_comes_in_any_pieces_and_once() {
        let mut head = Head::default();
        assert_eq!(head.take(&[1]), None);
        assert_eq!(head.take(&[2, 3, 4]), Some([1, 2, 3]));
        assert_eq!(head.take(&[5, 6, 7]), None);
    }
}
