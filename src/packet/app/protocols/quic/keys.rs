//! Initial packets are encrypted with keys that everybody can make: from the client's first connection id and a salt
//! that the version chooses (RFC 9001, 5.2). So this is no secret, and no TLS.

use aes_gcm::aead::{AeadInOut, KeyInit, Tag};
use aes_gcm::aes::Aes128;
use aes_gcm::aes::cipher::BlockCipherEncrypt;
use aes_gcm::{Aes128Gcm, Nonce};
use hkdf::Hkdf;
use sha2::Sha256;

use super::header::{Packet, Version};

const KEY_BYTES: usize = 16;
const TAG_BYTES: usize = 16;
const NONCE_BYTES: usize = 12;
/// A packet number is no longer, and the sample for the mask begins so far behind its begin (RFC 9001, 5.4.2).
const NUMBER_BYTES_MAX: usize = 4;
const SAMPLE_BYTES: usize = 16;

/// Of both sides.
pub struct Keys {
    client: SideKeys,
    server: SideKeys,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys")
    }
}

struct SideKeys {
    mask: Aes128,
    packet: Aes128Gcm,
    nonce: [u8; NONCE_BYTES],
}

/// Whose packet it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    Client,
    Server,
}

impl Keys {
    /// `None`: the version does not encrypt its first packets, or we do not know how.
    #[must_use]
    pub fn of(version: Version, client_destination: &[u8]) -> Option<Keys> {
        let secret = Hkdf::<Sha256>::new(Some(salt(version)?), client_destination);
        let side = |label: &[u8]| {
            let mut secret_of_side = [0; 32];
            expand(&secret, label, &mut secret_of_side)?;
            SideKeys::of(version, &Hkdf::<Sha256>::from_prk(&secret_of_side).ok()?)
        };
        Some(Keys { client: side(b"client in")?, server: side(b"server in")? })
    }

    /// The payload of an Initial packet; `None`: it is not encrypted with these keys.
    #[must_use]
    pub fn open(&self, from: From, packet: &Packet<'_>) -> Option<Vec<u8>> {
        match from {
            From::Client => self.client.open(packet),
            From::Server => self.server.open(packet),
        }
    }
}

impl SideKeys {
    fn of(version: Version, secret: &Hkdf<Sha256>) -> Option<SideKeys> {
        let [key_label, nonce_label, mask_label]: [&[u8]; 3] = match version {
            Version::V2 => [b"quicv2 key", b"quicv2 iv", b"quicv2 hp"],
            _ => [b"quic key", b"quic iv", b"quic hp"],
        };
        let (mut key, mut nonce, mut mask) = ([0; KEY_BYTES], [0; NONCE_BYTES], [0; KEY_BYTES]);
        expand(secret, key_label, &mut key)?;
        expand(secret, nonce_label, &mut nonce)?;
        expand(secret, mask_label, &mut mask)?;
        Some(SideKeys { mask: Aes128::new(&mask.into()), packet: Aes128Gcm::new(&key.into()), nonce })
    }

    fn open(&self, packet: &Packet<'_>) -> Option<Vec<u8>> {
        let (header, protected) = packet.bytes.split_at_checked(packet.payload_at)?;
        let sample = protected.get(NUMBER_BYTES_MAX..NUMBER_BYTES_MAX + SAMPLE_BYTES)?;
        let mut mask: [u8; SAMPLE_BYTES] = sample.try_into().ok()?;
        self.mask.encrypt_block((&mut mask).into());
        let (first_mask, number_mask) = mask.split_first()?;

        let mut header = header.to_vec();
        let first = header.first_mut()?;
        *first ^= first_mask & 0x0f;
        let number_bytes = 1 + usize::from(*first & 3);
        let (number, body) = protected.split_at_checked(number_bytes)?;
        header.extend(number.iter().zip(number_mask).map(|(byte, mask)| byte ^ mask));
        let mut nonce = self.nonce;
        let number = header.iter().rev().take(number_bytes);
        nonce.iter_mut().rev().zip(number).for_each(|(byte, number)| *byte ^= number);

        let (body, tag) = body.split_at_checked(body.len().checked_sub(TAG_BYTES)?)?;
        let mut payload = body.to_vec();
        let tag = Tag::<Aes128Gcm>::try_from(tag).ok()?;
        let nonce = Nonce::from(nonce);
        self.packet.decrypt_inout_detached(&nonce, &header, payload.as_mut_slice().into(), &tag).ok()?;
        Some(payload)
    }
}

#[cfg(test)]
impl Keys {
    /// An Initial packet: `header` up to the packet number, which has two bytes.
    pub fn seal(&self, from: From, header: &[u8], number: u16, payload: &[u8]) -> Vec<u8> {
        let side = if from == From::Client { &self.client } else { &self.server };
        let payload_at = header.len();
        let number = number.to_be_bytes();
        let header = [header, &number].concat();
        let mut nonce = side.nonce;
        nonce.iter_mut().rev().zip(number.iter().rev()).for_each(|(byte, number)| *byte ^= number);
        let mut body = payload.to_vec();
        let sealed = side.packet.encrypt_inout_detached(&Nonce::from(nonce), &header, body.as_mut_slice().into());
        let mut packet = [&header[..], &body, &sealed.unwrap()].concat();
        let sample_at = payload_at + NUMBER_BYTES_MAX;
        let mut mask: [u8; SAMPLE_BYTES] = packet[sample_at..sample_at + SAMPLE_BYTES].try_into().unwrap();
        side.mask.encrypt_block((&mut mask).into());
        packet[0] ^= mask[0] & 0x0f;
        packet[payload_at..payload_at + 2].iter_mut().zip(&mask[1..]).for_each(|(byte, mask)| *byte ^= mask);
        packet
    }
}

/// Whether Initial packets of this version are encrypted, in a way that we know.
#[must_use]
pub fn is_protected(version: Version) -> bool {
    salt(version).is_some()
}

/// `HKDF-Expand-Label` of TLS 1.3 with an empty context.
fn expand(secret: &Hkdf<Sha256>, label: &[u8], out: &mut [u8]) -> Option<()> {
    const PREFIX: &[u8] = b"tls13 ";
    let length = u16::try_from(out.len()).ok()?.to_be_bytes();
    let label_length = [u8::try_from(PREFIX.len() + label.len()).ok()?];
    secret.expand_multi_info(&[&length, &label_length, PREFIX, label, &[0]], out).ok()
}

fn salt(version: Version) -> Option<&'static [u8]> {
    Some(match version.0 {
        1 | 0xff00_0021..=0xff00_0022 => {
            b"\x38\x76\x2c\xf7\xf5\x59\x34\xb3\x4d\x17\x9a\xe6\xa4\xc8\x0c\xad\xcc\xbb\x7f\x0a"
        }
        0x6b33_43cf => b"\x0d\xed\xe3\xde\xf7\x00\xa6\xdb\x81\x93\x81\xbe\x6e\x26\x9d\xcb\xf9\xbd\x2e\xd9",
        // Drafts 29 to 32, then 23 to 28, which Facebook's mvfst began with.
        0xff00_001d..=0xff00_0020 => {
            b"\xaf\xbf\xec\x28\x99\x93\xd2\x4c\x9e\x97\x86\xf1\x9c\x61\x11\xe0\x43\x90\xa8\x99"
        }
        0xface_b002 | 0xff00_0017..=0xff00_001c => {
            b"\xc3\xee\xf7\x12\xc7\x2e\xbb\x5a\x11\xa7\xd2\x43\x2b\xb4\x63\x65\xbe\xf9\xf5\x02"
        }
        _ if version == Version::Q050 => {
            b"\x50\x45\x74\xef\xd0\x66\xfe\x2f\x9d\x94\x5c\xfc\xdb\xd3\xa7\xf0\xd3\xb5\x6b\x45"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        hex.as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    /// RFC 9001, appendix A.3: the server's Initial.
    #[test]
    fn the_packet_of_the_standard_opens_and_a_changed_one_does_not() {
        let sent = "cf000000010008f067a5502a4262b5004075c0d95a482cd0991cd25b0aac406a5816b6394100f37a1c69797554780bb38cc5a99f5\
                    ede4cf73c3ec2493a1839b3dbcba3f6ea46c5b7684df3548e7ddeb9c3bf9c73cc3f3bded74b562bfb19fb84022f8ef4cdd93795d\
                    77d06edbb7aaf2f58891850abbdca3d20398c276456cbc42158407dd074ee";
        let mut sent = bytes(&sent.replace(' ', ""));
        let keys = Keys::of(Version::V1, &bytes("8394c8f03e515708")).unwrap();
        let (packet, rest) = Packet::read(&sent).unwrap();
        assert!(rest.is_empty());
        let payload = keys.open(From::Server, &packet).unwrap();
        assert_eq!(payload.get(..9), Some(&bytes("02000000000600405a")[..]));
        assert_eq!(keys.open(From::Client, &packet), None);
        *sent.last_mut().unwrap() ^= 1;
        let (packet, _) = Packet::read(&sent).unwrap();
        assert_eq!(keys.open(From::Server, &packet), None);
        assert!(Keys::of(Version::Q043, b"12345678").is_none());
    }
}
