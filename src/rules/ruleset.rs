//! The immutable result: rules in the order in which they are judged, and groups that say which can match a packet.

use std::net::IpAddr;

use hashbrown::HashMap;

use super::addresses::{AddressIndex, AddressLists, Side};
use super::app::{AppTest, Hashes, ProtocolOf};
use super::common_sets::CommonSets;
use super::events::PacketEvent;
use super::heads::{Entry, Heads};
use super::keyword::buffers::FRAME;
use super::lens::Lenses;
use super::literal::Literal;
use super::odd;
use super::plan::{Header, HeaderProtocol, PacketTest, Rule, Toward};
use super::prefilter::{Length, Prefilter};
use super::reputation::Reputation;
use super::sieve::{Mention, Sieve, Sifted};
use super::sieve_list::SieveList;
use super::vars::{AddressSet, PortSet};

/// Ports that a rule may be filed under one by one; more, and it is looked at on every port.
const RULE_PORT_COUNT_MAX: usize = 32;

/// A rule with so few addresses is filed under them before its ports are considered, and after.
const FEW_ADDRESS_COUNT_MAX: u64 = 1 << 16;
const MANY_ADDRESS_COUNT_MAX: u64 = 1 << 22;

/// What a packet is, as far as groups go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Tcp,
    Udp,
    Icmpv4,
    Icmpv6,
    Sctp,
    Other,
}

impl Class {
    pub const ALL: [Class; 6] = [Class::Tcp, Class::Udp, Class::Icmpv4, Class::Icmpv6, Class::Sctp, Class::Other];

    /// The number that each packet of this class has in its IP header.
    fn ip_protocol(self) -> Option<u8> {
        match self {
            Class::Tcp => Some(6),
            Class::Udp => Some(17),
            Class::Icmpv4 => Some(1),
            Class::Icmpv6 => Some(58),
            Class::Sctp => Some(132),
            Class::Other => None,
        }
    }
}

/// Compiled rules, shared by all threads and never changed.
#[derive(Debug)]
pub struct RuleSet {
    generation: u64,
    hash: u64,
    rules: Box<[Rule]>,
    /// By rule.
    sieves: Box<[Sieve]>,
    groups: Box<[Group]>,
    /// Rules without a literal that want few addresses: of every class and direction.
    addresses: AddressIndex,
    common_sets: CommonSets,
    /// Rules about oddities that have names; ascending.
    events: Box<[u32]>,
    /// Rules about headers that few packets have ([`odd`]); ascending.
    odd: Box<[u32]>,
    /// Rules about transactions.
    lenses: Lenses,
    reputation: Reputation,
    hashes: Hashes,
    asks_for_frames: bool,
    literal_count_max: usize,
    asks_for_sides: bool,
    empty: Group,
}

/// What the rules of one set say of one address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddressFacts {
    /// [`CommonSets::around`].
    pub sets: u16,
    lists: AddressLists,
}

/// The rules that can match packets of one class going one way.
#[derive(Debug, Default)]
pub struct Group {
    /// Rules that need a literal in the payload.
    pub payload: Prefilter,
    /// Beside [`Prefilter::all_rules`].
    mentions: Box<[Mention]>,
    /// Rules that need a literal at one place of the payload.
    pub heads: Heads,
    /// Beside [`Heads::all_rules`].
    head_mentions: Box<[Mention]>,
    /// Rules that do not.
    always: PortIndex,
}

impl RuleSet {
    /// `rules` must stand in the order in which they are judged; `literals` holds each rule's choice for the prefilter.
    #[must_use]
    pub fn new(generation: u64, rules: Vec<Rule>, literals: &[Option<Literal>]) -> RuleSet {
        let filed: Vec<Filed> = (rules.iter().enumerate())
            .map(|(at, rule)| Filed::new(rule, literals.get(at).and_then(Option::as_ref)))
            .collect();
        let common_sets = CommonSets::of(&rules);
        let sieves: Box<[Sieve]> = rules.iter().map(|rule| Sieve::new(rule, &common_sets)).collect();
        let mut groups = Vec::with_capacity(Class::ALL.len() * WAYS.len());
        for class in Class::ALL {
            for way in WAYS {
                groups.push(group(&rules, &sieves, literals, &filed, class, way));
            }
        }
        let addresses = address_index(&rules, &filed);
        let lenses = Lenses::new(&rules, literals);
        let hashes = rules.iter().flat_map(|rule| &rule.app).fold(Hashes::default(), |all, test| all.or(test.hashes()));
        let mut buffers = rules.iter().flat_map(|rule| &rule.buffers);
        let asks_for_frames = buffers.any(|plan| plan.buffer.info().name.starts_with(FRAME));
        let in_payload = groups.iter().map(|group| group.payload.literal_count()).max().unwrap_or(0);
        let literal_count_max = in_payload.max(lenses.literal_count_max());
        let asks_for_sides = rules.iter().any(asks_for_sides);
        let (rules, groups) = (rules.into(), groups.into());
        let all_filed = |wanted: Filed| {
            let filed = filed.iter().enumerate().filter(move |(_, filed)| **filed == wanted);
            filed.filter_map(|(at, _)| u32::try_from(at).ok()).collect()
        };
        let (events, odd) = (all_filed(Filed::Event), all_filed(Filed::Odd));
        RuleSet {
            generation,
            hash: 0,
            rules,
            sieves,
            groups,
            addresses,
            common_sets,
            events,
            odd,
            lenses,
            reputation: Reputation::default(),
            hashes,
            asks_for_frames,
            literal_count_max,
            asks_for_sides,
            empty: Group::default(),
        }
    }

    /// The same rules with scores for their `iprep`.
    #[must_use]
    pub fn with_reputation(mut self, reputation: Reputation) -> RuleSet {
        self.reputation = reputation;
        self
    }

    #[must_use]
    pub fn reputation(&self) -> &Reputation {
        &self.reputation
    }

    /// Digests of files that some rule asks for.
    #[must_use]
    pub fn hashes(&self) -> Hashes {
        self.hashes
    }

    /// Some rule looks into frames.
    #[must_use]
    pub fn asks_for_frames(&self) -> bool {
        self.asks_for_frames
    }

    /// Some rule asks what each side of a connection speaks by itself.
    #[must_use]
    pub fn asks_for_sides(&self) -> bool {
        self.asks_for_sides
    }

    /// A set that matches nothing.
    #[must_use]
    pub fn empty() -> RuleSet {
        RuleSet::new(0, Vec::new(), &[])
    }

    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The same rules, called by what they were made of.
    #[must_use]
    pub fn with_hash(mut self, hash: u64) -> RuleSet {
        self.hash = hash;
        self
    }

    /// Of the text that the rules were made of; 0 if nobody said.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    #[must_use]
    pub fn rule(&self, number: u32) -> Option<&Rule> {
        self.rules.get(usize::try_from(number).ok()?)
    }

    /// The rules of a literal that are worth judging.
    pub fn found<'s>(&'s self, group: &'s Group, literal: usize, packet: &'s Sifted) -> impl Iterator<Item = u32> + 's {
        let mentions = group.mentions.get(group.payload.list(literal)).unwrap_or_default();
        self.sift(mentions, packet)
    }

    /// Calls `found` with the rules worth judging whose literal stands at its place in `payload`; places in front of `from`
    /// are not asked.
    #[inline]
    pub fn look_at_places(
        &self,
        group: &Group,
        payload: &[u8],
        from: usize,
        packet: &Sifted,
        mut found: impl FnMut(u32),
    ) {
        group.heads.look(payload, from, |list| {
            let mentions = group.head_mentions.get(list).unwrap_or_default();
            self.sift(mentions, packet).for_each(&mut found);
        });
    }

    /// Calls `found` with the rules without a literal that are worth judging.
    #[inline]
    pub fn always(&self, group: &Group, packet: &Sifted, mut found: impl FnMut(u32)) {
        group.always.any.sift(packet, &mut found);
        for mentions in group.always.by_port(packet) {
            self.sift(mentions, packet).for_each(&mut found);
        }
    }

    #[inline]
    fn sift<'s>(&'s self, mentions: &'s [Mention], packet: &'s Sifted) -> impl Iterator<Item = u32> + 's {
        let through = mentions.iter().filter(|mention| mention.lets_through(packet));
        through.map(|mention| mention.rule).filter(|rule| self.lets_through(*rule, packet))
    }

    /// Whether a rule is worth fetching for this packet.
    #[inline]
    #[must_use]
    pub fn lets_through(&self, number: u32, packet: &Sifted) -> bool {
        sieve(&self.sieves, number).is_some_and(|sieve| sieve.lets_through(packet))
    }

    /// The rules for a packet; `toward` is `None` where no flow is known.
    #[must_use]
    pub fn group(&self, class: Class, toward: Option<Toward>) -> &Group {
        let way = match toward {
            Some(Toward::Server) => 0,
            Some(Toward::Client) => 1,
            None => 2,
        };
        self.groups.get(class as usize * WAYS.len() + way).unwrap_or(&self.empty)
    }

    /// What rules say of an address. Worth keeping for the next packet: it takes several searches.
    #[must_use]
    pub fn about(&self, address: IpAddr) -> AddressFacts {
        AddressFacts { sets: self.common_sets.around(address), lists: self.addresses.lists(address) }
    }

    /// Rules that want one of these addresses, of any class and direction; ascending lists.
    #[must_use]
    pub fn by_address(&self, is_v4: bool, src: AddressFacts, dst: AddressFacts) -> [&[u32]; 2] {
        self.addresses.rules(is_v4, src.lists, dst.lists)
    }

    /// Rules that ask for an oddity, of any class and direction; ascending.
    #[must_use]
    pub fn by_event(&self) -> &[u32] {
        &self.events
    }

    /// Rules that ask for a header that few packets have, of any class and direction; ascending.
    #[must_use]
    pub fn by_odd_header(&self) -> &[u32] {
        &self.odd
    }

    /// The rules about transactions.
    #[must_use]
    pub fn lenses(&self) -> &Lenses {
        &self.lenses
    }

    /// The largest number of literals in one prefilter: how much scratch a thread needs.
    #[must_use]
    pub fn literal_count_max(&self) -> usize {
        self.literal_count_max
    }

    /// Heap that the prefilters hold.
    #[must_use]
    pub fn prefilter_bytes(&self) -> usize {
        let group = |group: &Group| group.payload.memory_bytes() + group.heads.memory_bytes();
        self.groups.iter().map(group).sum::<usize>() + self.lenses.memory_bytes()
    }
}

const WAYS: [Option<Toward>; 3] = [Some(Toward::Server), Some(Toward::Client), None];

/// Where a rule is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filed {
    /// In the transactions' lenses, not in the packets' groups.
    Transactions,
    /// Judged only on packets that are odd.
    Event,
    /// Judged only on packets whose header is odd.
    Odd,
    Literal,
    Head,
    DstPort,
    SrcPort,
    /// Both ways, by the ports of one side.
    EitherPort(Side),
    Address(Side),
    Everywhere,
}

impl Filed {
    /// The narrowest of what the rule has.
    fn new(rule: &Rule, literal: Option<&Literal>) -> Filed {
        let header = &rule.header;
        if rule.on_transactions {
            return Filed::Transactions;
        }
        if rule.packet.iter().any(|test| matches!(test, PacketTest::Event(_))) {
            return Filed::Event;
        }
        if odd::is_wanted_by(rule) {
            return Filed::Odd;
        }
        let by_port = Filed::by_port(header);
        match literal {
            Some(literal) if literal.at.is_some() => return Filed::Head,
            Some(literal) if !literal.poor || by_port.is_none() => return Filed::Literal,
            _ => {}
        }
        if header.both_ways {
            return by_port.unwrap_or(Filed::Everywhere);
        }
        let (src, dst) = (header.src.size(), header.dst.size());
        let side = if src <= dst { Side::Source } else { Side::Destination };
        match src.min(dst) {
            size if size <= FEW_ADDRESS_COUNT_MAX => Filed::Address(side),
            size => match by_port {
                Some(by_port) => by_port,
                None if size <= MANY_ADDRESS_COUNT_MAX => Filed::Address(side),
                None => Filed::Everywhere,
            },
        }
    }

    /// Under its ports, if they are few.
    fn by_port(header: &Header) -> Option<Filed> {
        let few = |ports: &PortSet| ports.enumerated(RULE_PORT_COUNT_MAX).is_some();
        match (few(&header.dst_ports), few(&header.src_ports), header.both_ways) {
            (true, _, true) => Some(Filed::EitherPort(Side::Destination)),
            (false, true, true) => Some(Filed::EitherPort(Side::Source)),
            (true, _, false) => Some(Filed::DstPort),
            (false, true, false) => Some(Filed::SrcPort),
            (false, false, _) => None,
        }
    }
}

fn address_index(rules: &[Rule], filed: &[Filed]) -> AddressIndex {
    let entries: Vec<(u32, Side, &AddressSet)> = (rules.iter().zip(filed).enumerate())
        .filter_map(|(at, (rule, filed))| {
            let number = u32::try_from(at).ok()?;
            match filed {
                Filed::Address(Side::Source) => Some((number, Side::Source, &*rule.header.src)),
                Filed::Address(Side::Destination) => Some((number, Side::Destination, &*rule.header.dst)),
                _ => None,
            }
        })
        .collect();
    AddressIndex::new(&entries)
}

fn group(
    rules: &[Rule],
    sieves: &[Sieve],
    literals: &[Option<Literal>],
    filed: &[Filed],
    class: Class,
    way: Option<Toward>,
) -> Group {
    let (mut entries, mut heads) = (Vec::new(), Vec::new());
    let mut always = Vec::new();
    for ((at, rule), filed) in rules.iter().enumerate().zip(filed) {
        let number = u32::try_from(at).unwrap_or(u32::MAX);
        if !concerns(rule, class, way) {
            continue;
        }
        match (filed, literals.get(at).and_then(Option::as_ref)) {
            (Filed::Literal, Some(literal)) => {
                entries.extend(literal.any_of.iter().map(|bytes| (bytes.clone(), number)))
            }
            (Filed::Head, Some(Literal { any_of, at: Some(at), .. })) => {
                heads.extend(any_of.iter().map(|bytes| Entry { at: *at, literal: bytes.clone(), rule: number }))
            }
            (Filed::Address(_) | Filed::Transactions | Filed::Event | Filed::Odd, _) => {}
            _ => always.push((number, *filed)),
        }
    }
    let (payload, refused) = Prefilter::build(&entries, Length::Long);
    always.extend(refused.into_iter().map(|number| (number, Filed::Everywhere)));
    always.sort_unstable_by_key(|(number, _)| *number);
    let heads = Heads::build(heads);
    let mentions = |rules: &[u32]| rules.iter().filter_map(|rule| mention(sieves, *rule)).collect();
    let (mentions, head_mentions) = (mentions(payload.all_rules()), mentions(heads.all_rules()));
    Group { payload, mentions, heads, head_mentions, always: PortIndex::new(rules, sieves, &always) }
}

fn sieve(sieves: &[Sieve], rule: u32) -> Option<&Sieve> {
    sieves.get(usize::try_from(rule).ok()?)
}

fn mention(sieves: &[Sieve], rule: u32) -> Option<Mention> {
    sieve(sieves, rule).map(|sieve| Mention::new(rule, sieve))
}

fn concerns(rule: &Rule, class: Class, way: Option<Toward>) -> bool {
    let flow_fits = match way {
        Some(toward) => rule.flow.toward.is_none_or(|wanted| wanted == toward),
        None => !rule.flow.needs_flow(),
    };
    flow_fits && rule.header.protocol.concerns(class) && protocol_fits(rule, class)
}

/// Whether the rule's `ip_proto` leaves room for packets of this class.
fn protocol_fits(rule: &Rule, class: Class) -> bool {
    let Some(protocol) = class.ip_protocol() else { return true };
    rule.packet.iter().all(|test| match test {
        PacketTest::IpProto(test) => test.accepts(protocol),
        _ => true,
    })
}

impl HeaderProtocol {
    /// Whether packets of this class can be meant; IPv4 and IPv6 are told apart elsewhere.
    #[must_use]
    pub fn concerns(self, class: Class) -> bool {
        match self {
            HeaderProtocol::Ether => true,
            HeaderProtocol::Arp => class == Class::Other,
            HeaderProtocol::Ip | HeaderProtocol::PktHdr | HeaderProtocol::Ipv4 | HeaderProtocol::Ipv6 => true,
            HeaderProtocol::Tcp | HeaderProtocol::TcpPkt | HeaderProtocol::TcpStream => class == Class::Tcp,
            HeaderProtocol::Udp => class == Class::Udp,
            HeaderProtocol::Icmp => matches!(class, Class::Icmpv4 | Class::Icmpv6),
            HeaderProtocol::Icmpv4 => class == Class::Icmpv4,
            HeaderProtocol::Icmpv6 => class == Class::Icmpv6,
            HeaderProtocol::Sctp => class == Class::Sctp,
            HeaderProtocol::Igmp => class == Class::Other,
        }
    }
}

/// Rules by the ports they want, so that a packet meets few of those that have no literal.
#[derive(Debug, Default)]
struct PortIndex {
    /// Those for all ports.
    any: SieveList,
    by_dst: HashMap<u16, Vec<Mention>>,
    by_src: HashMap<u16, Vec<Mention>>,
}

impl PortIndex {
    fn new(rules: &[Rule], sieves: &[Sieve], numbers: &[(u32, Filed)]) -> PortIndex {
        let mut any = Vec::new();
        let mut index = PortIndex::default();
        for (number, filed) in numbers {
            let Some(rule) = usize::try_from(*number).ok().and_then(|at| rules.get(at)) else { continue };
            let Some(mention) = mention(sieves, *number) else { continue };
            let header = &rule.header;
            let (by_dst, by_src, ports) = match filed {
                Filed::DstPort => (true, false, &header.dst_ports),
                Filed::SrcPort => (false, true, &header.src_ports),
                Filed::EitherPort(Side::Destination) => (true, true, &header.dst_ports),
                Filed::EitherPort(Side::Source) => (true, true, &header.src_ports),
                _ => {
                    any.extend(sieve(sieves, *number).map(|sieve| (*number, *sieve)));
                    continue;
                }
            };
            for port in ports.enumerated(RULE_PORT_COUNT_MAX).unwrap_or_default() {
                if by_dst {
                    index.by_dst.entry(port).or_default().push(mention);
                }
                if by_src {
                    index.by_src.entry(port).or_default().push(mention);
                }
            }
        }
        index.any = SieveList::new(&any);
        index
    }

    /// The rules for the packet's ports, in up to two ascending lists.
    fn by_port(&self, packet: &Sifted) -> [&[Mention]; 2] {
        [
            self.by_dst.get(&packet.dst_port).map_or(&[], Vec::as_slice),
            self.by_src.get(&packet.src_port).map_or(&[], Vec::as_slice),
        ]
    }
}
/// A side by itself, or both because they do not fit.
fn asks_for_sides(rule: &Rule) -> bool {
    let mismatch = PacketEvent::named("applayer_mismatch_protocol_both_directions").map(PacketTest::Event);
    let one_side = |test: &AppTest| matches!(test, AppTest::Protocol { of: ProtocolOf::Side(_), .. });
    rule.app.iter().any(one_side) || rule.packet.iter().any(|test| Some(test) == mismatch.as_ref())
}
