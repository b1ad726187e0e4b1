//! Address and port lists as sets: nesting, negation, ranges and variables all become sorted ranges.
//!
//! A list is the union of its positive members (everything, if it has none) less the union of its negated ones. That
//! reading makes `[10.0.0.0/8,!10.1.0.0/16]`, `!$HOME_NET` and `![!10.0.0.0/8]` mean what they say.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::error::{Code, Mistake, Span, nearest};
use super::lex::{split, trim};

/// Nesting of lists and variables.
const DEPTH_MAX: usize = 16;

/// The values behind `$NAME`: `vars.address-groups` and `vars.port-groups`, as text in the language of lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vars {
    pub address_groups: BTreeMap<String, String>,
    pub port_groups: BTreeMap<String, String>,
}

impl Vars {
    /// The groups that Suricata's own configuration file defines, with its values.
    #[must_use]
    pub fn standard() -> Vars {
        const ADDRESSES: [(&str, &str); 16] = [
            ("HOME_NET", "[192.168.0.0/16,10.0.0.0/8,172.16.0.0/12]"),
            ("EXTERNAL_NET", "!$HOME_NET"),
            ("HTTP_SERVERS", "$HOME_NET"),
            ("SMTP_SERVERS", "$HOME_NET"),
            ("SQL_SERVERS", "$HOME_NET"),
            ("DNS_SERVERS", "$HOME_NET"),
            ("TELNET_SERVERS", "$HOME_NET"),
            ("AIM_SERVERS", "$EXTERNAL_NET"),
            ("DC_SERVERS", "$HOME_NET"),
            ("DNP3_SERVER", "$HOME_NET"),
            ("DNP3_CLIENT", "$HOME_NET"),
            ("MODBUS_CLIENT", "$HOME_NET"),
            ("MODBUS_SERVER", "$HOME_NET"),
            ("ENIP_CLIENT", "$HOME_NET"),
            ("ENIP_SERVER", "$HOME_NET"),
            ("SIP_SERVERS", "$HOME_NET"),
        ];
        const PORTS: [(&str, &str); 12] = [
            ("HTTP_PORTS", "80"),
            ("SHELLCODE_PORTS", "!80"),
            ("ORACLE_PORTS", "1521"),
            ("SSH_PORTS", "22"),
            ("DNP3_PORTS", "20000"),
            ("MODBUS_PORTS", "502"),
            ("FILE_DATA_PORTS", "[$HTTP_PORTS,110,143]"),
            ("FTP_PORTS", "21"),
            ("GENEVE_PORTS", "6081"),
            ("VXLAN_PORTS", "4789"),
            ("TEREDO_PORTS", "3544"),
            ("SIP_PORTS", "[5060,5061]"),
        ];
        let owned = |groups: &[(&str, &str)]| {
            groups.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        Vars { address_groups: owned(&ADDRESSES), port_groups: owned(&PORTS) }
    }
}

/// Sorted, disjoint, inclusive ranges of numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Ranges<T>(Vec<(T, T)>);

trait Number: Copy + Ord {
    const MIN: Self;
    const MAX: Self;
    fn next(self) -> Option<Self>;
    fn previous(self) -> Option<Self>;
}

macro_rules! number {
    ($($type:ty)*) => {$(
        impl Number for $type {
            const MIN: Self = <$type>::MIN;
            const MAX: Self = <$type>::MAX;
            fn next(self) -> Option<Self> { self.checked_add(1) }
            fn previous(self) -> Option<Self> { self.checked_sub(1) }
        }
    )*};
}
number!(u16 u32 u128);

impl<T: Number> Ranges<T> {
    fn all() -> Ranges<T> {
        Ranges(vec![(T::MIN, T::MAX)])
    }

    fn normalise(mut self) -> Ranges<T> {
        self.0.sort_unstable();
        let mut merged: Vec<(T, T)> = Vec::with_capacity(self.0.len());
        for (low, high) in self.0 {
            match merged.last_mut() {
                Some(last) if last.1.next().is_none_or(|next| low <= next) => last.1 = last.1.max(high),
                _ => merged.push((low, high)),
            }
        }
        Ranges(merged)
    }

    /// What is not in `self`, which must be normalised.
    fn complement(&self) -> Ranges<T> {
        let mut gaps = Vec::with_capacity(self.0.len() + 1);
        let mut from = Some(T::MIN);
        for (low, high) in &self.0 {
            if let (Some(from), Some(to)) = (from, low.previous())
                && from <= to
            {
                gaps.push((from, to));
            }
            from = high.next();
        }
        gaps.extend(from.map(|from| (from, T::MAX)));
        Ranges(gaps)
    }

    fn intersection(&self, other: &Ranges<T>) -> Ranges<T> {
        let mut common = Vec::new();
        let (mut left, mut right) = (self.0.iter().peekable(), other.0.iter().peekable());
        while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
            let (low, high) = (a.0.max(b.0), a.1.min(b.1));
            if low <= high {
                common.push((low, high));
            }
            if a.1 < b.1 {
                left.next();
            } else {
                right.next();
            }
        }
        Ranges(common)
    }

    fn contains(&self, value: T) -> bool {
        let at = self.0.partition_point(|(_, high)| *high < value);
        self.0.get(at).is_some_and(|(low, _)| *low <= value)
    }

    fn is_all(&self) -> bool {
        matches!(self.0.as_slice(), [(low, high)] if *low == T::MIN && *high == T::MAX)
    }
}

/// A set of IPv4 and IPv6 addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressSet {
    v4: Ranges<u32>,
    v6: Ranges<u128>,
}

impl AddressSet {
    #[must_use]
    pub fn any() -> AddressSet {
        AddressSet { v4: Ranges::all(), v6: Ranges::all() }
    }

    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => self.v4.contains(v4.to_bits()),
            IpAddr::V6(v6) => self.v6.contains(v6.to_bits()),
        }
    }

    #[must_use]
    pub fn is_any(&self) -> bool {
        self.v4.is_all() && self.v6.is_all()
    }

    /// Sorted, disjoint, inclusive ranges, host byte order.
    #[must_use]
    pub fn v4_ranges(&self) -> &[(u32, u32)] {
        &self.v4.0
    }

    /// Sorted, disjoint, inclusive ranges, host byte order.
    #[must_use]
    pub fn v6_ranges(&self) -> &[(u128, u128)] {
        &self.v6.0
    }

    /// How much of the address space it holds: IPv4 addresses, and IPv6 in units of a /64, together.
    #[must_use]
    pub fn size(&self) -> u64 {
        let v4: u64 = self.v4.0.iter().map(|(low, high)| u64::from(high - low) + 1).sum();
        let v6 = self.v6.0.iter().map(|(low, high)| u64::try_from((high - low) >> 64).unwrap_or(u64::MAX));
        v6.fold(v4, u64::saturating_add)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.v4.0.is_empty() && self.v6.0.is_empty()
    }
}

/// A set of ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortSet(Ranges<u16>);

impl PortSet {
    #[must_use]
    pub fn any() -> PortSet {
        PortSet(Ranges::all())
    }

    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        self.0.contains(port)
    }

    #[must_use]
    pub fn is_any(&self) -> bool {
        self.0.is_all()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.0.is_empty()
    }

    /// The lowest and the highest port; of the empty set a range that holds nothing.
    #[must_use]
    pub fn hull(&self) -> (u16, u16) {
        match (self.0.0.first(), self.0.0.last()) {
            (Some((low, _)), Some((_, high))) => (*low, *high),
            _ => (u16::MAX, 0),
        }
    }

    /// The ports one by one if they are at most `count_max`.
    #[must_use]
    pub fn enumerated(&self, count_max: usize) -> Option<Vec<u16>> {
        let count: usize = self.0.0.iter().map(|(low, high)| usize::from(high - low) + 1).sum();
        (count <= count_max).then(|| self.0.0.iter().flat_map(|(low, high)| *low..=*high).collect())
    }
}

/// What lists of addresses and lists of ports have in common.
trait Set: Clone + Sized {
    const ANY_CODE: Code;
    const KIND: &'static str;
    fn any() -> Self;
    fn none() -> Self;
    fn add(&mut self, other: &Self);
    fn normalised(self) -> Self;
    fn complement(&self) -> Self;
    fn intersection(&self, other: &Self) -> Self;
    fn is_empty(&self) -> bool;
    fn groups(vars: &Vars) -> &BTreeMap<String, String>;
    fn member(text: &str) -> Result<Self, String>;
}

impl Set for AddressSet {
    const ANY_CODE: Code = Code::Address;
    const KIND: &'static str = "address";

    fn any() -> Self {
        AddressSet::any()
    }
    fn none() -> Self {
        AddressSet::default()
    }
    fn add(&mut self, other: &Self) {
        self.v4.0.extend_from_slice(&other.v4.0);
        self.v6.0.extend_from_slice(&other.v6.0);
    }
    fn normalised(self) -> Self {
        AddressSet { v4: self.v4.normalise(), v6: self.v6.normalise() }
    }
    fn complement(&self) -> Self {
        AddressSet { v4: self.v4.complement(), v6: self.v6.complement() }
    }
    fn intersection(&self, other: &Self) -> Self {
        AddressSet { v4: self.v4.intersection(&other.v4), v6: self.v6.intersection(&other.v6) }
    }
    fn is_empty(&self) -> bool {
        AddressSet::is_empty(self)
    }
    fn groups(vars: &Vars) -> &BTreeMap<String, String> {
        &vars.address_groups
    }
    fn member(text: &str) -> Result<Self, String> {
        address_member(text)
    }
}

impl Set for PortSet {
    const ANY_CODE: Code = Code::Port;
    const KIND: &'static str = "port";

    fn any() -> Self {
        PortSet::any()
    }
    fn none() -> Self {
        PortSet::default()
    }
    fn add(&mut self, other: &Self) {
        self.0.0.extend_from_slice(&other.0.0);
    }
    fn normalised(self) -> Self {
        PortSet(self.0.normalise())
    }
    fn complement(&self) -> Self {
        PortSet(self.0.complement())
    }
    fn intersection(&self, other: &Self) -> Self {
        PortSet(self.0.intersection(&other.0))
    }
    fn is_empty(&self) -> bool {
        PortSet::is_empty(self)
    }
    fn groups(vars: &Vars) -> &BTreeMap<String, String> {
        &vars.port_groups
    }
    fn member(text: &str) -> Result<Self, String> {
        port_member(text)
    }
}

fn address_member(text: &str) -> Result<AddressSet, String> {
    if let Some((low, high)) = text.split_once('-') {
        return address_range(text, low.trim(), high.trim());
    }
    let Some((address, mask)) = text.split_once('/') else {
        return match parse_address(text)? {
            IpAddr::V4(v4) => Ok(v4_range(v4.to_bits(), v4.to_bits())),
            IpAddr::V6(v6) => Ok(v6_range(v6.to_bits(), v6.to_bits())),
        };
    };
    let address = parse_address(address.trim())?;
    let bits = prefix_length(mask.trim(), address).ok_or_else(|| format!("`{mask}` is no prefix length or netmask"))?;
    Ok(match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            v4_range(v4.to_bits() & mask, v4.to_bits() | !mask)
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            v6_range(v6.to_bits() & mask, v6.to_bits() | !mask)
        }
    })
}

fn address_range(text: &str, low: &str, high: &str) -> Result<AddressSet, String> {
    match (parse_address(low)?, parse_address(high)?) {
        (IpAddr::V4(low), IpAddr::V4(high)) if low <= high => Ok(v4_range(low.to_bits(), high.to_bits())),
        (IpAddr::V6(low), IpAddr::V6(high)) if low <= high => Ok(v6_range(low.to_bits(), high.to_bits())),
        _ => Err(format!("`{text}` is no range: the first address must be the lower one of the same family")),
    }
}

fn parse_address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("`{text}` is no address"))
}

fn prefix_length(text: &str, address: IpAddr) -> Option<u32> {
    let width = if address.is_ipv4() { 32 } else { 128 };
    if let Ok(bits) = text.parse::<u32>() {
        return (bits <= width).then_some(bits);
    }
    let mask = text.parse::<Ipv4Addr>().ok().filter(|_| address.is_ipv4())?.to_bits();
    (mask.leading_ones() == mask.count_ones()).then(|| mask.count_ones())
}

fn v4_range(low: u32, high: u32) -> AddressSet {
    AddressSet { v4: Ranges(vec![(low, high)]), v6: Ranges(Vec::new()) }
}

fn v6_range(low: u128, high: u128) -> AddressSet {
    AddressSet { v4: Ranges(Vec::new()), v6: Ranges(vec![(low, high)]) }
}

fn port_member(text: &str) -> Result<PortSet, String> {
    let number = |text: &str| text.parse::<u16>().map_err(|_| format!("`{text}` is no port (0 to 65535)"));
    let (low, high) = match text.split_once(':') {
        None => {
            let port = number(text)?;
            (port, port)
        }
        Some((low, "")) => (number(low.trim())?, u16::MAX),
        Some(("", high)) => (0, number(high.trim())?),
        Some((low, high)) => (number(low.trim())?, number(high.trim())?),
    };
    if low > high {
        return Err(format!("`{text}` runs backwards"));
    }
    Ok(PortSet(Ranges(vec![(low, high)])))
}

/// Where the sets of a whole rule set are kept: each different text is read once, each different set stored once.
#[derive(Debug)]
pub struct Sets<'v> {
    vars: &'v Vars,
    addresses: Interned<AddressSet>,
    ports: Interned<PortSet>,
}

#[derive(Debug)]
struct Interned<S> {
    by_text: HashMap<String, Arc<S>>,
}

impl<'v> Sets<'v> {
    #[must_use]
    pub fn new(vars: &'v Vars) -> Sets<'v> {
        Sets { vars, addresses: Interned { by_text: HashMap::new() }, ports: Interned { by_text: HashMap::new() } }
    }

    /// Reads the address list at `span`.
    pub fn addresses(&mut self, text: &str, span: Span) -> Result<Arc<AddressSet>, Mistake> {
        intern(&mut self.addresses, self.vars, text, span)
    }

    /// Reads the port list at `span`.
    pub fn ports(&mut self, text: &str, span: Span) -> Result<Arc<PortSet>, Mistake> {
        intern(&mut self.ports, self.vars, text, span)
    }
}

fn intern<S: Set>(known: &mut Interned<S>, vars: &Vars, text: &str, span: Span) -> Result<Arc<S>, Mistake> {
    let wanted = span.of(text);
    if let Some(set) = known.by_text.get(wanted) {
        return Ok(Arc::clone(set));
    }
    let set = read_list::<S>(vars, text, span, 0)?;
    if set.is_empty() {
        return Err(Mistake::new(Code::EmptySet, span, format!("every {} is excluded", S::KIND))
            .help("a negated member takes away from what the other members allow"));
    }
    let set = Arc::new(set);
    known.by_text.insert(wanted.to_owned(), Arc::clone(&set));
    Ok(set)
}

/// One member or a bracketed list, possibly negated.
fn read_list<S: Set>(vars: &Vars, text: &str, span: Span, depth: usize) -> Result<S, Mistake> {
    let span = trim(text, span);
    let item = span.of(text);
    if depth > DEPTH_MAX {
        return Err(Mistake::new(S::ANY_CODE, span, "lists or variables are nested too deeply")
            .help("does a variable contain itself?"));
    }
    if item.contains(',') && split(text, span, b',').len() > 1 {
        // `!80,!443` without brackets is a list too, as in Suricata.
        return read_members(vars, text, span, depth);
    }
    if let Some(rest) = item.strip_prefix('!') {
        let inner = Span::new(span.end - rest.len(), span.end);
        return Ok(read_list::<S>(vars, text, inner, depth + 1)?.complement());
    }
    if item.starts_with('[') {
        if !item.ends_with(']') {
            return Err(Mistake::new(S::ANY_CODE, span, "this `[` is never closed"));
        }
        return read_members(vars, text, Span::new(span.start + 1, span.end - 1), depth);
    }
    if let Some(name) = item.strip_prefix('$') {
        return read_variable(vars, name, span, depth);
    }
    if item.eq_ignore_ascii_case("any") {
        return Ok(S::any());
    }
    if item.is_empty() {
        return Err(Mistake::new(S::ANY_CODE, span, format!("an {} is missing here", S::KIND)));
    }
    S::member(item).map_err(|label| Mistake::new(S::ANY_CODE, span, label))
}

/// Members between brackets, or without them.
fn read_members<S: Set>(vars: &Vars, text: &str, span: Span, depth: usize) -> Result<S, Mistake> {
    let (mut wanted, mut excluded, mut positive) = (S::none(), S::none(), false);
    for member in split(text, span, b',') {
        match member.of(text).strip_prefix('!') {
            Some(rest) => {
                let inner = Span::new(member.end - rest.len(), member.end);
                excluded.add(&read_list::<S>(vars, text, inner, depth + 1)?);
            }
            None => {
                positive = true;
                wanted.add(&read_list::<S>(vars, text, member, depth + 1)?);
            }
        }
    }
    let wanted = if positive { wanted.normalised() } else { S::any() };
    Ok(wanted.intersection(&excluded.normalised().complement()))
}

fn read_variable<S: Set>(vars: &Vars, name: &str, span: Span, depth: usize) -> Result<S, Mistake> {
    let groups = S::groups(vars);
    let Some(value) = groups.get(name) else {
        let help = match nearest(name, groups.keys().map(String::as_str)) {
            Some(near) => format!("did you mean `${near}`?"),
            None => format!("define it under `vars.{}-groups`", S::KIND),
        };
        return Err(Mistake::new(Code::Variable, span, format!("`${name}` is not defined")).help(help));
    };
    read_list(vars, value, Span::new(0, value.len()), depth + 1).map_err(|inner: Mistake| {
        Mistake::new(inner.code, span, format!("in the value of `${name}`, `{value}`: {}", inner.label))
            .help(format!("mend `vars.{}-groups.{name}`", S::KIND))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(text: &str) -> Result<Arc<AddressSet>, Mistake> {
        Sets::new(&Vars::standard()).addresses(text, Span::new(0, text.len()))
    }

    fn ports(text: &str) -> Result<Arc<PortSet>, Mistake> {
        Sets::new(&Vars::standard()).ports(text, Span::new(0, text.len()))
    }

    #[test]
    fn address_lists_mean_what_they_say() {
        let cases = [
            ("any", "1.2.3.4", true),
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/255.0.0.0", "11.0.0.0", false),
            ("[10.0.0.0/8,!10.1.0.0/16]", "10.1.2.3", false),
            ("[10.0.0.0/8,!10.1.0.0/16]", "10.2.2.3", true),
            ("![!10.0.0.0/8]", "10.2.2.3", true),
            ("![!10.0.0.0/8]", "9.2.2.3", false),
            ("[!10.0.0.0/8, 9.0.0.0/8]", "8.0.0.1", false),
            ("!$HOME_NET", "10.0.0.1", false),
            ("!$HOME_NET", "2001:db8::1", true),
            ("$EXTERNAL_NET", "8.8.8.8", true),
            ("1.1.1.1 - 1.1.1.9", "1.1.1.5", true),
            ("2001:db8::/32", "2001:db8:1::9", true),
            ("0.0.0.0/0", "2001:db8::", false),
            ("::/0", "2001:db8::", true),
            ("[[1.1.1.1,[2.2.2.2]],3.3.3.3]", "2.2.2.2", true),
            ("1.1.1.1,2.2.2.2", "2.2.2.2", true),
            ("!1.1.1.1,!2.2.2.2", "2.2.2.2", false),
        ];
        for (list, address, inside) in cases {
            assert_eq!(addresses(list).unwrap().contains(address.parse().unwrap()), inside, "{list} {address}");
        }
    }

    #[test]
    fn port_lists_mean_what_they_say() {
        let cases = [
            ("80", 80, true),
            ("!80", 80, false),
            ("1024:", 65535, true),
            (":1023", 0, true),
            ("[80,100:200,!150]", 150, false),
            ("[80,100:200,![150,160]]", 151, true),
            ("$HTTP_PORTS", 80, true),
            ("$FILE_DATA_PORTS", 143, true),
        ];
        for (list, port, inside) in cases {
            assert_eq!(ports(list).unwrap().contains(port), inside, "{list} {port}");
        }
    }

    #[test]
    fn what_is_wrong_is_told() {
        let cases = [
            ("1.2.3.400", Code::Address),
            ("1.2.3.4/40", Code::Address),
            ("[1.2.3.4", Code::Address),
            ("$HOME_NETT", Code::Variable),
            ("[!any]", Code::EmptySet),
            ("[10.0.0.0/8,!10.0.0.0/8]", Code::EmptySet),
            ("[1.1.1.1,,2.2.2.2]", Code::Address),
        ];
        for (list, code) in cases {
            assert_eq!(addresses(list).map_err(|mistake| mistake.code), Err(code), "{list}");
        }
        for (list, code) in [("70000", Code::Port), ("9:1", Code::Port), ("$NOPE", Code::Variable)] {
            assert_eq!(ports(list).map_err(|mistake| mistake.code), Err(code), "{list}");
        }
        assert!(addresses("$HOME_NETT").unwrap_err().help.unwrap().contains("$HOME_NET"));
    }

    #[test]
    fn a_variable_that_contains_itself_is_refused() {
        let mut vars = Vars::default();
        vars.address_groups.insert("A".into(), "[$A]".into());
        let found = Sets::new(&vars).addresses("$A", Span::new(0, 2));
        assert!(found.is_err());
    }
}
