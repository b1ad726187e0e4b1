//! Connections that helpers expect: announced in another connection (FTP's data), and not there yet.

use super::attributes::parse_tuple;
use super::requests::ConntrackSocket;
use super::{ConntrackError, cta};
use crate::kernel::netlink::wire::{Attrs, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NfGen};
use crate::packet::conntrack::{FlowKey, HelperName, Tuple};

/// One expectation of the kernel's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// What is expected; a port of 0 stands for any.
    pub tuple: Tuple,
    /// The connection that announced it.
    pub master: FlowKey,
    /// Seconds until it is given up.
    pub timeout_s: Option<u32>,
    pub helper: Option<HelperName>,
}

impl ConntrackSocket {
    /// Every expectation of the namespace, each once unless the table changed meanwhile.
    pub fn expectations(&mut self) -> Result<Vec<Expectation>, ConntrackError> {
        const WHAT: &str = "dump of expectations";
        let seq = self.begin(1);
        let nfgen = NfGen { family: 0, version: 0, res_id: 0 };
        let message = self.request.begin(cta::MSG_EXPECT_GET, NLM_F_REQUEST | NLM_F_DUMP, seq, nfgen);
        self.request.end(message);
        self.send(WHAT)?;
        let mut found = Vec::new();
        self.answers(WHAT, |message| match message.kind {
            _ if message.seq != seq => None,
            NLMSG_DONE | NLMSG_ERROR => Some(match message.error_code() {
                Some(0) | None => Ok(()),
                Some(code) => Err(ConntrackError::refused(WHAT, code)),
            }),
            _ => {
                found.extend(message.netfilter().and_then(|(_, attrs)| parse(attrs)));
                None
            }
        })??;
        Ok(found)
    }
}

fn parse(attrs: Attrs<'_>) -> Option<Expectation> {
    let (mut tuple, mut master, mut zone, mut timeout_s, mut helper) = (None, None, 0, None, None);
    for attr in attrs {
        match attr.kind {
            cta::EXPECT_TUPLE => tuple = parse_tuple(attr.nested()),
            cta::EXPECT_MASTER => master = parse_tuple(attr.nested()),
            cta::EXPECT_ZONE => zone = attr.be16()?,
            cta::EXPECT_TIMEOUT => timeout_s = attr.be32(),
            cta::EXPECT_HELP_NAME => helper = Some(HelperName::from_bytes(attr.payload)),
            _ => {}
        }
    }
    Some(Expectation { tuple: tuple?, master: FlowKey { zone, orig: master? }, timeout_s, helper })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::conntrack::attributes::{put_tuple, put_zone};
    use crate::kernel::netlink::wire::Builder;
    use proptest::prelude::*;

    #[test]
    fn an_expectation_is_read_with_its_master() {
        let tuple = |src_port, dst_port| Tuple {
            src: [10, 0, 0, 1].into(),
            dst: [10, 0, 0, 2].into(),
            protocol: 6,
            src_port,
            dst_port,
        };
        let mut message = Builder::default();
        put_tuple(&mut message, cta::EXPECT_MASTER, &tuple(4000, 21));
        put_tuple(&mut message, cta::EXPECT_TUPLE, &tuple(0, 2000));
        message.attr_be32(cta::EXPECT_TIMEOUT, 299);
        message.attr(cta::EXPECT_HELP_NAME, b"ftp\0");
        let found = parse(Attrs::new(message.as_bytes())).unwrap();
        assert_eq!((found.tuple, found.master), (tuple(0, 2000), FlowKey { zone: 0, orig: tuple(4000, 21) }));
        assert_eq!((found.timeout_s, found.helper.unwrap().as_str()), (Some(299), "ftp"));
        message.clear();
        put_zone(&mut message, 3);
        assert_eq!(parse(Attrs::new(message.as_bytes())), None, "nothing is expected");
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = parse(Attrs::new(&bytes));
        }
    }
}
