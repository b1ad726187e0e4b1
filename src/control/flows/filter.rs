//! Which connections are meant.

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::packet::conntrack::{Conntrack, Fate};
use crate::packet::decode::protocol;
use crate::rules::Vars;
use crate::rules::error::{Mistake, Span};
use crate::rules::vars::{AddressSet, PortSet, Sets};

/// A filter as typed: how the command line takes it, and how it goes to a running gate.
#[derive(clap::Args, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FilterText {
    /// Connections from, to, or translated to these addresses: an address, a prefix, or a list as in rules, such as
    /// '[10.0.0.0/8,!10.1.0.0/16]'.
    #[arg(short, long, value_name = "LIST")]
    pub address: Option<String>,
    /// Opened by one of these addresses.
    #[arg(short, long, value_name = "LIST")]
    pub src: Option<String>,
    /// Opened toward one of these addresses, as the opener sees it: before any translation.
    #[arg(short, long, value_name = "LIST")]
    pub dst: Option<String>,
    /// With one of these ports on any side: 443, 6000:6063, or a list as in rules.
    #[arg(long, value_name = "LIST")]
    pub port: Option<String>,
    /// Of this protocol: tcp, udp, icmp, icmpv6, sctp, dccp, udplite, gre, or a number.
    #[arg(short, long, value_name = "NAME")]
    pub protocol: Option<String>,
    /// With this fate: inspect (or none), pass, drop or reject. May be repeated.
    #[arg(short, long, value_name = "FATE", value_delimiter = ',')]
    pub fate: Vec<String>,
}

impl FilterText {
    /// Nothing is asked for, so every connection is meant.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == FilterText::default()
    }
}

/// A filter that makes sense.
#[derive(Clone, Debug)]
pub struct Filter {
    address: Option<Arc<AddressSet>>,
    src: Option<Arc<AddressSet>>,
    dst: Option<Arc<AddressSet>>,
    port: Option<Arc<PortSet>>,
    protocol: Option<u8>,
    fates: Vec<Fate>,
}

impl Filter {
    /// Reads `text`; `vars` are what `$HOME_NET` and its like stand for. The error says what is wrong with which option.
    pub fn read(text: &FilterText, vars: &Vars) -> Result<Filter, String> {
        let mut sets = Sets::new(vars);
        let mut addresses = |option: &str, list: &Option<String>| {
            let list = list
                .as_deref()
                .map(|list| sets.addresses(list, whole(list)).map_err(|wrong| told(option, list, wrong)));
            list.transpose()
        };
        Ok(Filter {
            address: addresses("--address", &text.address)?,
            src: addresses("--src", &text.src)?,
            dst: addresses("--dst", &text.dst)?,
            port: match &text.port {
                Some(list) => Some(sets.ports(list, whole(list)).map_err(|wrong| told("--port", list, wrong))?),
                None => None,
            },
            protocol: text.protocol.as_deref().map(read_protocol).transpose()?,
            fates: text.fate.iter().map(|word| read_fate(word)).collect::<Result<_, _>>()?,
        })
    }

    /// Whether `entry`, whose fate is `fate`, is meant.
    #[must_use]
    pub fn wants(&self, entry: &Conntrack, fate: Fate) -> bool {
        let (orig, reply) = (&entry.orig, &entry.reply);
        let meets = |set: &Option<Arc<AddressSet>>, ends: &[IpAddr]| {
            set.as_ref().is_none_or(|set| ends.iter().any(|end| set.contains(*end)))
        };
        let ports = [orig.src_port, orig.dst_port, reply.src_port, reply.dst_port];
        meets(&self.address, &[orig.src, orig.dst, reply.src, reply.dst])
            && meets(&self.src, &[orig.src])
            && meets(&self.dst, &[orig.dst])
            && self
                .port
                .as_ref()
                .is_none_or(|set| has_ports(orig.protocol) && ports.iter().any(|port| set.contains(*port)))
            && self.protocol.is_none_or(|protocol| protocol == orig.protocol)
            && (self.fates.is_empty() || self.fates.contains(&fate))
    }
}

fn whole(text: &str) -> Span {
    Span::new(0, text.len())
}

fn told(option: &str, list: &str, wrong: Mistake) -> String {
    let help = wrong.help.map(|help| format!("; {help}")).unwrap_or_default();
    format!("{option} `{list}`: {}{help}", wrong.label)
}

fn read_fate(word: &str) -> Result<Fate, String> {
    let word = if word == "none" { Fate::Inspect.name() } else { word };
    let known = Fate::ALL.into_iter().find(|fate| fate.name() == word);
    known.ok_or_else(|| format!("--fate `{word}`: there are inspect (or none), pass, drop and reject"))
}

fn read_protocol(text: &str) -> Result<u8, String> {
    let named = PROTOCOLS.iter().find(|(_, name)| name.eq_ignore_ascii_case(text)).map(|(number, _)| *number);
    named.or_else(|| text.parse().ok()).ok_or_else(|| {
        let names: Vec<&str> = PROTOCOLS.iter().map(|(_, name)| *name).collect();
        format!("--protocol `{text}`: there are {}, or a number up to 255", names.join(", "))
    })
}

/// Whether the tuple's ports are ports.
#[must_use]
pub fn has_ports(protocol: u8) -> bool {
    matches!(protocol, protocol::TCP | protocol::UDP | 33 | 132 | 136)
}

/// The word for a protocol, as `conntrack -L` has it.
#[must_use]
pub fn protocol_name(number: u8) -> &'static str {
    PROTOCOLS.iter().find(|(known, _)| *known == number).map_or("unknown", |(_, name)| name)
}

/// Those that conntrack has a tracker for.
const PROTOCOLS: [(u8, &str); 8] =
    [(1, "icmp"), (6, "tcp"), (17, "udp"), (33, "dccp"), (47, "gre"), (58, "icmpv6"), (132, "sctp"), (136, "udplite")];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::conntrack::Tuple;

    fn entry(protocol: u8, dst_port: u16) -> Conntrack {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let orig = Tuple { src: address("10.0.0.1"), dst: address("192.0.2.1"), protocol, src_port: 4000, dst_port };
        // Both sides are translated.
        let reply = Tuple { src: address("10.9.0.1"), dst: address("203.0.113.1"), ..orig.inverted() };
        Conntrack::of_tuples(0, orig, reply)
    }

    fn text(options: &[(&str, &str)]) -> FilterText {
        let mut text = FilterText::default();
        for (option, value) in options {
            let value = (*value).to_owned();
            match *option {
                "address" => text.address = Some(value),
                "src" => text.src = Some(value),
                "dst" => text.dst = Some(value),
                "port" => text.port = Some(value),
                "protocol" => text.protocol = Some(value),
                _ => text.fate.push(value),
            }
        }
        text
    }

    #[test]
    fn each_option_narrows() {
        let vars = Vars::standard();
        let tcp = entry(6, 443);
        // (options, whether the TCP connection to port 443 with fate pass is meant)
        let cases: &[(&[(&str, &str)], bool)] = &[
            (&[], true),
            (&[("address", "10.0.0.0/24")], true),
            (&[("address", "203.0.113.1")], true),
            (&[("address", "10.9.0.1")], true),
            (&[("address", "[198.51.100.0/24,2001:db8::/32]")], false),
            (&[("src", "$HOME_NET")], true),
            (&[("src", "192.0.2.1")], false),
            (&[("dst", "192.0.2.0/24")], true),
            (&[("dst", "10.9.0.1")], false),
            (&[("port", "443")], true),
            (&[("port", "1:1023")], true),
            (&[("port", "[80,8080]")], false),
            (&[("protocol", "tcp")], true),
            (&[("protocol", "6")], true),
            (&[("protocol", "UDP")], false),
            (&[("fate", "pass")], true),
            (&[("fate", "drop"), ("fate", "pass")], true),
            (&[("fate", "none")], false),
            (&[("address", "10.0.0.1"), ("port", "80")], false),
        ];
        for (options, meant) in cases {
            let filter = Filter::read(&text(options), &vars).unwrap();
            assert_eq!(filter.wants(&tcp, Fate::Pass), *meant, "{options:?}");
        }
    }

    #[test]
    fn an_icmp_identifier_is_no_port() {
        let filter = Filter::read(&text(&[("port", "4000")]), &Vars::standard()).unwrap();
        assert!(filter.wants(&entry(17, 53), Fate::Inspect));
        assert!(!filter.wants(&entry(1, 8 << 8), Fate::Inspect));
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_option() {
        for (option, value) in [
            ("address", "10.0.0.300"),
            ("src", "$NOBODY"),
            ("dst", "10.0.0.0/33"),
            ("port", "http"),
            ("protocol", "tpc"),
            ("protocol", "256"),
            ("fate", "doomed"),
        ] {
            let error = Filter::read(&text(&[(option, value)]), &Vars::standard()).unwrap_err();
            assert!(error.contains(&format!("--{option}")) && error.contains(value), "{option} {value}: {error}");
        }
    }
}
