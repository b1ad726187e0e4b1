//! Who logs on: the NTLMSSP or Kerberos token of a session setup.

use memchr::memmem;

use crate::packet::app::reader::Reader;

const SIGNATURE: &[u8] = b"NTLMSSP\0";
const AUTHENTICATE: u32 = 3;
/// Flag: the sender tells its version.
const VERSION: u32 = 0x0200_0000;

/// What an NTLM AUTHENTICATE message says in clear.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ntlmssp {
    /// Without the zero bytes of UTF-16.
    pub domain: Vec<u8>,
    pub user: Vec<u8>,
    pub host: Vec<u8>,
    /// Major, minor, build, revision.
    pub version: Option<(u8, u8, u16, u8)>,
}

/// What a security blob holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Token {
    pub ntlmssp: Option<Ntlmssp>,
    /// An NTLM message was there, but cannot be read.
    pub malformed: bool,
}

/// The token of a security blob, wherever its wrapping puts it.
#[must_use]
pub fn token(blob: &[u8]) -> Token {
    let Some(at) = memmem::find(blob, SIGNATURE) else { return Token::default() };
    let message = blob.get(at..).unwrap_or_default();
    let mut reader = Reader::little_endian(message);
    let kind = reader.skip(SIGNATURE.len()).and_then(|()| reader.u32());
    if kind != Some(AUTHENTICATE) {
        return Token { ntlmssp: None, malformed: kind.is_none() };
    }
    let ntlmssp = authenticate(message);
    Token { malformed: ntlmssp.is_none(), ntlmssp }
}

fn authenticate(message: &[u8]) -> Option<Ntlmssp> {
    let mut reader = Reader::little_endian(message);
    reader.skip(SIGNATURE.len() + 4 + 8 + 8)?;
    let mut field = || -> Option<Vec<u8>> {
        let length = reader.length16()?;
        reader.skip(2)?;
        let offset = reader.length32()?;
        let bytes = message.get(offset..)?.get(..length)?;
        Some(narrow(bytes))
    };
    let (domain, user, host) = (field()?, field()?, field()?);
    reader.skip(8)?;
    let flags = reader.u32()?;
    let mut version = None;
    if flags & VERSION != 0 {
        let (major, minor, build) = (reader.u8()?, reader.u8()?, reader.u16()?);
        reader.skip(3)?;
        version = Some((major, minor, build, reader.u8()?));
    }
    Some(Ntlmssp { domain, user, host, version })
}

/// UTF-16 as Suricata's buffers have it: the zero bytes are left out.
#[must_use]
pub fn narrow(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().copied().filter(|byte| *byte != 0).collect()
}
