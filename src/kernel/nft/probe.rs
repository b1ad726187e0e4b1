//! What nf_tables can do here, found by a transaction that is made to fail: nothing of it ever comes into being.

use super::error::NftError;
use super::lower::{NFT_MSG_DELTABLE, NFTA_TABLE_NAME, Scope, c_string};
use super::model::{Chain, Family, Rule, Term};
use super::transaction::{Control, Outcome, Refusal, Transaction};
use super::{QueueMode, Queues, read};
use nftnl::ProtoFamily;

/// Expressions that our table can use. `None` where the kernel's answer was not about the expression.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NftFeatures {
    /// `queue` (CONFIG_NFT_QUEUE).
    pub queue: Option<bool>,
    /// `jhash` (CONFIG_NFT_HASH).
    pub hash: Option<bool>,
    /// xtables' NFQUEUE through nft_compat (CONFIG_NFT_COMPAT and CONFIG_NETFILTER_XT_TARGET_NFQUEUE).
    pub xt_target: Option<bool>,
    /// `ct label` (CONFIG_NF_CONNTRACK_LABELS).
    pub labels: Option<bool>,
    /// `reject` in inet tables (CONFIG_NFT_REJECT_INET).
    pub reject: Option<bool>,
}

const TABLE: &str = "tidegate_probe";
const QUEUES: Queues = Queues { first: 0, count: 2 };

/// Asks the kernel. Loads modules, as installing would. A `ct` expression is part of it, so where nobody else uses
/// conntrack it is switched on and off again, which drops what waits in queues: call it in a namespace of its own
/// ([`crate::kernel::namespace::in_fresh_network`]).
pub fn probe() -> Result<NftFeatures, NftError> {
    let mut control = Control::open()?;
    read::load_xt_target(&mut control)?;
    let tries = [
        vec![Term::QueueByAddresses { mode: QueueMode::NftQueue, queues: QUEUES }],
        vec![Term::QueueByConnection { family: Family::Ipv4, ports: false, queues: QUEUES }],
        vec![Term::QueueByAddresses { mode: QueueMode::XtTarget, queues: QUEUES }],
        vec![Term::SetLabels],
        vec![Term::Reject],
    ];
    let scope = Scope::named(TABLE, ProtoFamily::Inet);
    let mut transaction = Transaction::default();
    scope.add_table(&mut transaction);
    let chain = Chain {
        name: "probe",
        base: None,
        rules: tries.into_iter().map(|terms| Rule { terms, comment: "".into() }).collect(),
    };
    scope.add_chain(&mut transaction, &chain);
    let first_rule = transaction.len();
    scope.add_rules(&mut transaction, &chain);
    transaction.add("a table that does not exist", NFT_MSG_DELTABLE, 0, |message| {
        message.attr(NFTA_TABLE_NAME, c_string("tidegate_probe_none").to_bytes_with_nul());
    });
    match control.commit(&transaction, None)? {
        Outcome::Refused(refusals) => Ok(features(&refusals, first_rule)),
        // Cannot be: the last message always fails.
        Outcome::Done | Outcome::Stale => Ok(NftFeatures::default()),
    }
}

fn features(refusals: &[Refusal], first_rule: usize) -> NftFeatures {
    let refusal = |rule: usize| refusals.iter().find(|refusal| refusal.index == first_rule + rule);
    let has = |rule| match refusal(rule) {
        None => Some(true),
        Some(Refusal { errno: libc::ENOENT | libc::EOPNOTSUPP, .. }) => Some(false),
        Some(_) => None,
    };
    // Its hash stands before its queue, and the first that is missing is named.
    let hash = match refusal(1).map(|refusal| refusal.expression.as_deref()) {
        Some(Some("queue")) => Some(true),
        _ => has(1),
    };
    NftFeatures { queue: has(0), hash, xt_target: has(2), labels: has(3), reject: has(4) }
}
