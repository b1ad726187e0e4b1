//! A connection that a helper expects as a line like those of `conntrack -L expect`, or as JSON.

use std::fmt::{self, Display, Formatter};

use serde_json::{Value, json};

use super::filter::protocol_name;
use crate::kernel::conntrack::Expectation;
use crate::packet::conntrack::{Conntrack, Fate, Tuple};

/// An expectation beside the fate that the connection would inherit.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    pub of: Expectation,
    pub fate: Fate,
}

impl Expected {
    /// What filters are asked about: the connection as it would begin.
    #[must_use]
    pub fn entry(&self) -> Conntrack {
        Conntrack::of_tuples(self.of.master.zone, self.of.tuple, self.of.tuple.inverted())
    }

    #[must_use]
    pub fn json(&self) -> Value {
        let tuple = |tuple: &Tuple| {
            json!({
                "src_ip": tuple.src, "src_port": Some(tuple.src_port).filter(|port| *port != 0),
                "dest_ip": tuple.dst, "dest_port": tuple.dst_port, "proto": protocol_name(tuple.protocol).to_uppercase(),
            })
        };
        json!({
            "expected": tuple(&self.of.tuple),
            "master": tuple(&self.of.master.orig),
            "zone": self.of.master.zone,
            "helper": self.of.helper.map(|helper| helper.as_str().to_owned()),
            "tidegate": { "fate": self.fate.name(), "timeout": self.of.timeout_s },
        })
    }
}

impl Display for Expected {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let (tuple, master) = (&self.of.tuple, &self.of.master.orig);
        write!(out, "{:<8} {} ", protocol_name(tuple.protocol), tuple.protocol)?;
        if let Some(seconds) = self.of.timeout_s {
            write!(out, "{seconds} ")?;
        }
        write!(out, "[EXPECTED] src={} dst={} ", tuple.src, tuple.dst)?;
        match tuple.src_port {
            0 => write!(out, "sport=any dport={} ", tuple.dst_port)?,
            port => write!(out, "sport={port} dport={} ", tuple.dst_port)?,
        }
        if let Some(helper) = self.of.helper {
            write!(out, "helper={} ", helper.as_str())?;
        }
        if self.of.master.zone != 0 {
            write!(out, "zone={} ", self.of.master.zone)?;
        }
        write_master(out, master)?;
        write!(out, " fate={}", self.fate.name())
    }
}

/// The connection that announced another, in one word.
pub fn write_master(out: &mut Formatter<'_>, master: &Tuple) -> fmt::Result {
    write!(out, "master={},{},{},{}", master.src, master.src_port, master.dst, master.dst_port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::conntrack::{FlowKey, HelperName};

    #[test]
    fn an_expectation_is_a_line_or_an_object() {
        let tuple = |src_port, dst_port| Tuple {
            src: [10, 0, 0, 1].into(),
            dst: [10, 0, 0, 2].into(),
            protocol: 6,
            src_port,
            dst_port,
        };
        let of = Expectation {
            tuple: tuple(0, 2000),
            master: FlowKey { zone: 0, orig: tuple(4000, 21) },
            timeout_s: Some(299),
            helper: Some(HelperName::from_bytes(b"ftp")),
        };
        let expected = Expected { of, fate: Fate::Drop };
        assert_eq!(
            expected.to_string(),
            "tcp      6 299 [EXPECTED] src=10.0.0.1 dst=10.0.0.2 sport=any dport=2000 helper=ftp \
             master=10.0.0.1,4000,10.0.0.2,21 fate=drop"
        );
        assert_eq!(expected.json()["master"]["src_port"], 4000);
        assert_eq!(expected.json()["expected"]["src_port"], Value::Null);
        assert_eq!(expected.entry().orig, tuple(0, 2000));
    }
}
