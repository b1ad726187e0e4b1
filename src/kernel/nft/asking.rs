//! A table that no packet meets: `inet tidegate_conntrack`, for gates that rules of others feed.
//!
//! The kernel tracks connections, and puts fragments together, only in network namespaces where some rule asks about them
//! (`nft_ct_get_init`, `nf_ct_netns_get`). Rules that only queue do not. Then every packet is alone: no rule about
//! connections matches, and what was dropped may come again as something new. So one rule in a chain that nobody jumps to
//! asks. It also keeps the kernel from dropping what waits in queues when the last rule of others that asks goes away.
//!
//! Bridges track by themselves (`nf_conntrack_bridge`), and only if a rule of their family asks.

use super::NftError;
use super::conflicts::family_name;
use super::expressions;
use super::lower::Scope;
use super::model::{Chain, Rule, Term};
use super::read;
use super::transaction::{Control, NFPROTO_BRIDGE, NFPROTO_INET, Outcome, Transaction};
use nftnl::ProtoFamily;

const TABLE: &str = "tidegate_conntrack";
const CHAIN: &str = "asks";
const NFT_MSG_GETRULE: u16 = 7;
const NFPROTO_UNSPEC: u8 = 0;
const NFPROTO_IPV4: u8 = 2;
const NFPROTO_IPV6: u8 = 10;

/// Whose connections are asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// IPv4 and IPv6, wherever the machine itself handles them.
    Ip,
    /// What goes from port to port of a bridge.
    Bridge,
}

impl Asked {
    pub const ALL: [Asked; 2] = [Asked::Ip, Asked::Bridge];

    /// The table, as `nft list` names it.
    #[must_use]
    pub fn table(self) -> String {
        format!("{} {TABLE}", family_name(self.family()))
    }

    fn family(self) -> u8 {
        match self {
            Asked::Ip => NFPROTO_INET,
            Asked::Bridge => NFPROTO_BRIDGE,
        }
    }

    fn scope(self) -> Scope {
        Scope::named(
            TABLE,
            match self {
                Asked::Ip => ProtoFamily::Inet,
                Asked::Bridge => ProtoFamily::Bridge,
            },
        )
    }
}

/// Makes the table. Nothing happens if it is there.
///
/// # Errors
/// [`NftError::Refused`] where the kernel cannot track what is asked about: of bridges without `NF_CONNTRACK_BRIDGE`.
pub fn ask(asked: Asked) -> Result<(), NftError> {
    let mut control = Control::open()?;
    read::handle_of(&mut control, asked.family(), TABLE)?;
    let scope = asked.scope();
    let rule =
        Rule { terms: vec![Term::Related], comment: "never jumped to: makes the kernel track connections".into() };
    let chain = Chain { name: CHAIN, base: None, rules: vec![rule] };
    let mut transaction = Transaction::of_family(asked.family());
    scope.add_table(&mut transaction);
    scope.add_chain(&mut transaction, &chain);
    scope.flush_chain(&mut transaction, CHAIN);
    scope.add_rules(&mut transaction, &chain);
    done(control.commit(&transaction, None)?)
}

/// Whether the table is there.
pub fn is_asking(asked: Asked) -> Result<bool, NftError> {
    Ok(read::handle_of(&mut Control::open()?, asked.family(), TABLE)?.is_some())
}

/// Takes the table away, if it is there: whether it was. Where nobody else asks, the kernel then stops tracking, and drops
/// what waits in any queue of this network namespace.
pub fn stop_asking(asked: Asked) -> Result<bool, NftError> {
    if !is_asking(asked)? {
        return Ok(false);
    }
    let mut transaction = Transaction::of_family(asked.family());
    asked.scope().delete_table(&mut transaction);
    done(Control::open()?.commit(&transaction, None)?).map(|()| true)
}

fn done(outcome: Outcome) -> Result<(), NftError> {
    match outcome {
        Outcome::Done => Ok(()),
        Outcome::Stale => Err(NftError::Contended { attempts: 1 }),
        Outcome::Refused(refusals) => Err(super::first_refusal(refusals)),
    }
}

/// Which IP versions some rule of this namespace asks about, ours or another's. What iptables' legacy back end holds is
/// not seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WhoAsks {
    pub ipv4: bool,
    pub ipv6: bool,
}

/// Reads all rules.
pub fn who_asks() -> Result<WhoAsks, NftError> {
    let replies = Control::open()?.query("read all rules", NFT_MSG_GETRULE, NFPROTO_UNSPEC, true, |_| {})?;
    let mut asks = WhoAsks::default();
    for reply in replies.iter().filter(|reply| expressions::of_rule(reply.attributes()).asks_about_connections) {
        // A bridge that tracks has the two others track, too (`nf_ct_netns_get`).
        asks.ipv4 |= matches!(reply.family, NFPROTO_INET | NFPROTO_IPV4 | NFPROTO_BRIDGE);
        asks.ipv6 |= matches!(reply.family, NFPROTO_INET | NFPROTO_IPV6 | NFPROTO_BRIDGE);
    }
    Ok(asks)
}
