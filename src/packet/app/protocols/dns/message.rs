//! A DNS message off the wire (RFC 1035), read as tolerantly as Suricata reads it.
//!
//! Why not a crate: the ones that resolvers use refuse what a name server, or an attacker's, still sends and receives
//! (unknown classes and opcodes, names beyond 255 bytes, record data of types that nobody looks into), and a message
//! that is refused is a message that no rule sees. `docs/decisions/0008-own-dns-reader.md` has the figures.

/// Bytes of one name in text form; Suricata cuts names there, too.
pub const NAME_BYTES_MAX: usize = 1025;
/// Labels and pointers of one name.
const NAME_STEP_COUNT_MAX: usize = 255;
/// Labels and pointers behind pointers in a whole message: beyond it names are cut where they point elsewhere. Without
/// it a message of 64 KiB could name a long name five thousand times.
const JUMP_COUNT_MAX: usize = 16_384;
/// Bytes of names and texts that one message may keep.
const KEPT_BYTES_MAX: usize = 256 << 10;

pub const HEADER_BYTES: usize = 12;

/// Record types that are read, or that EVE treats apart.
pub mod rrtype {
    pub const A: u16 = 1;
    pub const NS: u16 = 2;
    pub const CNAME: u16 = 5;
    pub const SOA: u16 = 6;
    pub const NULL: u16 = 10;
    pub const PTR: u16 = 12;
    pub const MX: u16 = 15;
    pub const TXT: u16 = 16;
    pub const AAAA: u16 = 28;
    pub const SRV: u16 = 33;
    pub const OPT: u16 = 41;
    pub const SSHFP: u16 = 44;
}

/// What a message says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    pub header: Header,
    pub queries: Vec<Query>,
    pub answers: Vec<Record>,
    pub authorities: Vec<Record>,
    pub additionals: Vec<Record>,
    pub oddities: Oddities,
}

/// The fixed part, in host byte order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    pub id: u16,
    pub flags: u16,
    /// Queries, answers, authorities, additionals.
    pub counts: [u16; 4],
}

impl Header {
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Header> {
        let (words, _) = bytes.get(..HEADER_BYTES)?.as_chunks::<2>();
        let [id, flags, queries, answers, authorities, additionals] = words else { return None };
        let counts = [queries, answers, authorities, additionals].map(|word| u16::from_be_bytes(*word));
        Some(Header { id: u16::from_be_bytes(*id), flags: u16::from_be_bytes(*flags), counts })
    }

    /// Whether a message of `bytes` bytes can hold what the counts promise.
    #[must_use]
    pub fn is_plausible(&self, bytes: usize) -> bool {
        2 * self.counts.iter().map(|count| usize::from(*count)).sum::<usize>() <= bytes
    }

    #[must_use]
    pub fn is_response(&self) -> bool {
        self.flags & 0x8000 != 0
    }

    #[must_use]
    pub fn has_z(&self) -> bool {
        self.flags & 0x0040 != 0
    }

    #[must_use]
    pub fn opcode(&self) -> u8 {
        u8::try_from(self.flags >> 11 & 0xf).unwrap_or(0)
    }

    #[must_use]
    pub fn rcode(&self) -> u8 {
        u8::try_from(self.flags & 0xf).unwrap_or(0)
    }
}

/// A question. Names are labels joined by dots, bytes as sent, without a dot at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    pub name: Vec<u8>,
    pub rrtype: u16,
    pub class: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub name: Vec<u8>,
    pub rrtype: u16,
    pub class: u16,
    /// Seconds.
    pub ttl: u32,
    pub data: Data,
}

/// What a record holds, as far as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// A and AAAA, normally of 4 or 16 bytes.
    Address(Vec<u8>),
    /// CNAME, NS, PTR, and MX without its preference.
    Name(Vec<u8>),
    Texts(Vec<Vec<u8>>),
    Null(Vec<u8>),
    Soa(Box<Soa>),
    Srv {
        priority: u16,
        weight: u16,
        port: u16,
        target: Vec<u8>,
    },
    Sshfp {
        algorithm: u8,
        kind: u8,
        fingerprint: Vec<u8>,
    },
    Other,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Soa {
    pub mname: Vec<u8>,
    pub rname: Vec<u8>,
    pub serial: u32,
    pub refresh: u32,
    pub retry: u32,
    pub expire: u32,
    pub minimum: u32,
}

/// What was wrong with a message that could be read all the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Oddities {
    /// Queries or answers end in the middle: what was read so far is there.
    pub cut_off: bool,
    /// The data of a record is not what its type wants.
    pub bad_data: bool,
    pub bad_authorities: bool,
    pub bad_additionals: bool,
    pub long_name: bool,
    pub name_loop: bool,
    pub many_labels: bool,
}

impl Message {
    /// Reads as much as can be read; `None` if not even the header can, or it promises more than there is room for.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Message> {
        let header = Header::read(bytes).filter(|header| header.is_plausible(bytes.len()))?;
        let mut reader = Reader {
            bytes,
            at: HEADER_BYTES,
            jumps: JUMP_COUNT_MAX,
            keep: KEPT_BYTES_MAX,
            oddities: Oddities::default(),
        };
        let mut message = Message { header, ..Message::default() };
        let whole = reader.body(&mut message);
        message.oddities = reader.oddities;
        message.oddities.cut_off = whole.is_none();
        Some(message)
    }

    /// Heap that it holds, roughly.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let records = self.answers.iter().chain(&self.authorities).chain(&self.additionals);
        let names: usize = records.map(|record| size_of::<Record>() + record.name.len() + record.data.len()).sum();
        names + self.queries.iter().map(|query| size_of::<Query>() + query.name.len()).sum::<usize>()
    }
}

impl Data {
    fn len(&self) -> usize {
        match self {
            Data::Address(bytes) | Data::Name(bytes) | Data::Null(bytes) => bytes.len(),
            Data::Texts(texts) => texts.iter().map(|text| size_of::<Vec<u8>>() + text.len()).sum(),
            Data::Soa(soa) => size_of::<Soa>() + soa.mname.len() + soa.rname.len(),
            Data::Srv { target, .. } => target.len(),
            Data::Sshfp { fingerprint, .. } => fingerprint.len(),
            Data::Other => 0,
        }
    }
}

/// A place in a message. Each step forward is checked; `None` means that the message ends too early.
struct Reader<'m> {
    bytes: &'m [u8],
    at: usize,
    /// Steps behind pointers that are left.
    jumps: usize,
    /// Bytes that may still be kept.
    keep: usize,
    oddities: Oddities,
}

impl<'m> Reader<'m> {
    fn body(&mut self, message: &mut Message) -> Option<()> {
        let [queries, answers, authorities, additionals] = message.header.counts;
        for _ in 0..queries {
            message.queries.push(Query { name: self.name()?, rrtype: self.u16()?, class: self.u16()? });
        }
        self.records(answers, &mut message.answers)?;
        // What Suricata forgives, too: the answers are whole.
        if self.records(authorities, &mut message.authorities).is_none() {
            self.oddities.bad_authorities = true;
        } else if self.records(additionals, &mut message.additionals).is_none() {
            self.oddities.bad_additionals = true;
        }
        Some(())
    }

    fn records(&mut self, count: u16, records: &mut Vec<Record>) -> Option<()> {
        for _ in 0..count {
            let (name, rrtype, class, ttl) = (self.name()?, self.u16()?, self.u16()?, self.u32()?);
            let length = usize::from(self.u16()?);
            let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len())?;
            let data = self.data(rrtype, end).unwrap_or_else(|| {
                self.oddities.bad_data = true;
                Data::Other
            });
            records.push(Record { name, rrtype, class, ttl, data });
            self.at = end;
        }
        Some(())
    }

    fn data(&mut self, rrtype: u16, end: usize) -> Option<Data> {
        let rest = self.bytes.get(self.at..end)?;
        Some(match rrtype {
            rrtype::A | rrtype::AAAA => Data::Address(self.kept(rest)),
            rrtype::NS | rrtype::CNAME | rrtype::PTR => Data::Name(self.name()?),
            rrtype::MX => {
                self.u16()?;
                Data::Name(self.name()?)
            }
            rrtype::TXT => Data::Texts(self.texts(rest)),
            rrtype::NULL => Data::Null(self.kept(rest)),
            rrtype::SOA => Data::Soa(Box::new(Soa {
                mname: self.name()?,
                rname: self.name()?,
                serial: self.u32()?,
                refresh: self.u32()?,
                retry: self.u32()?,
                expire: self.u32()?,
                minimum: self.u32()?,
            })),
            rrtype::SRV => {
                Data::Srv { priority: self.u16()?, weight: self.u16()?, port: self.u16()?, target: self.name()? }
            }
            rrtype::SSHFP => {
                let [algorithm, kind, fingerprint @ ..] = rest else { return None };
                Data::Sshfp { algorithm: *algorithm, kind: *kind, fingerprint: self.kept(fingerprint) }
            }
            _ => Data::Other,
        })
    }

    fn texts(&mut self, data: &[u8]) -> Vec<Vec<u8>> {
        let mut texts = Vec::new();
        let mut rest = data;
        while let Some((length, after)) = rest.split_first()
            && let Some((text, after)) = after.split_at_checked(usize::from(*length))
        {
            let cost = size_of::<Vec<u8>>();
            if self.keep < cost {
                break;
            }
            self.keep -= cost;
            texts.push(self.kept(text));
            rest = after;
        }
        self.oddities.bad_data |= texts.is_empty();
        texts
    }

    /// The name here. Behind it stands the next field, also when it pointed elsewhere.
    fn name(&mut self) -> Option<Vec<u8>> {
        let mut name = Vec::new();
        let mut at = self.at;
        // Where the field ends, once a pointer was followed.
        let mut end = None;
        for _ in 0..NAME_STEP_COUNT_MAX {
            let Some(length) = self.bytes.get(at).copied() else { break };
            match length {
                0 => {
                    at += 1;
                    self.at = end.unwrap_or(at);
                    return Some(name);
                }
                1..=0x3f => {
                    let label = self.bytes.get(at + 1..at + 1 + usize::from(length))?;
                    self.append(&mut name, label);
                    at += 1 + label.len();
                }
                0xc0..=0xff => {
                    let low = *self.bytes.get(at + 1)?;
                    let target = usize::from(u16::from_be_bytes([length & 0x3f, low]));
                    let after = *end.get_or_insert(at + 2);
                    if target == at || target > self.bytes.len() || self.jumps == 0 {
                        self.oddities.name_loop |= target == at;
                        self.oddities.many_labels |= self.jumps == 0;
                        self.at = after;
                        return (after != at + 2 || self.jumps == 0).then_some(name);
                    }
                    at = target;
                }
                _ => return None,
            }
            if end.is_some() {
                self.jumps = self.jumps.saturating_sub(1);
            }
            if let Some(end) = end
                && name.len() >= NAME_BYTES_MAX
            {
                self.at = end;
                return Some(name);
            }
        }
        let Some(end) = end else {
            // The message ends in the name: the fields behind it will say so.
            self.at = at;
            return (at >= self.bytes.len()).then_some(name);
        };
        self.oddities.many_labels |= at < self.bytes.len();
        self.at = end;
        Some(name)
    }

    fn append(&mut self, name: &mut Vec<u8>, label: &[u8]) {
        let room = NAME_BYTES_MAX.saturating_sub(name.len()).min(self.keep);
        let dot = usize::from(!name.is_empty());
        if dot + label.len() > room {
            self.oddities.long_name = true;
        }
        let before = name.len();
        let text = b".".iter().take(dot).chain(label).take(room);
        name.extend(text);
        self.keep -= name.len() - before;
    }

    /// A copy of `bytes`, cut where the message has had its share.
    fn kept(&mut self, bytes: &[u8]) -> Vec<u8> {
        let kept = bytes.get(..bytes.len().min(self.keep)).unwrap_or_default();
        self.keep -= kept.len();
        kept.to_vec()
    }

    fn u16(&mut self) -> Option<u16> {
        let (word, _) = self.bytes.get(self.at..)?.split_first_chunk()?;
        self.at += 2;
        Some(u16::from_be_bytes(*word))
    }

    fn u32(&mut self) -> Option<u32> {
        let (word, _) = self.bytes.get(self.at..)?.split_first_chunk()?;
        self.at += 4;
        Some(u32::from_be_bytes(*word))
    }
}
