//! The block sets: sources whose packets our table drops, for a time or for good.

use super::error::NftError;
use super::lower::c_string;
use super::model::{Family, TABLE};
use super::transaction::{Control, NFPROTO_INET, Outcome, Transaction};
use super::{first_refusal, read};
use crate::kernel::netlink::wire::{Attrs, Builder, NLM_F_CREATE};
use std::net::IpAddr;
use std::time::Duration;

const NFT_MSG_NEWSETELEM: u16 = 12;
const NFT_MSG_GETSETELEM: u16 = 13;
const NFT_MSG_DELSETELEM: u16 = 14;
const NFTA_SET_ELEM_LIST_TABLE: u16 = 1;
const NFTA_SET_ELEM_LIST_SET: u16 = 2;
const NFTA_SET_ELEM_LIST_ELEMENTS: u16 = 3;
const NFTA_LIST_ELEM: u16 = 1;
const NFTA_SET_ELEM_KEY: u16 = 1;
const NFTA_SET_ELEM_TIMEOUT: u16 = 4;
const NFTA_SET_ELEM_EXPIRATION: u16 = 5;
const NFTA_DATA_VALUE: u16 = 1;

/// A blocked source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    pub source: IpAddr,
    /// Until the kernel forgets it; `None` means never. Milliseconds count, finer parts do not.
    pub expires: Option<Duration>,
}

/// Blocks sources, all or none. One that is blocked already gets the new time. Fails with ENFILE when a set is full.
pub fn block(blocks: &[Block]) -> Result<(), NftError> {
    let mut transaction = Transaction::default();
    for block in blocks {
        // Adding what is there changes nothing, deleting what is not there fails: so add, delete, add with the new time.
        element(&mut transaction, NFT_MSG_NEWSETELEM, block);
        element(&mut transaction, NFT_MSG_DELSETELEM, block);
        element(&mut transaction, NFT_MSG_NEWSETELEM, block);
    }
    commit(&transaction)
}

/// Takes sources out of the block sets, all or none: adding first, so that one that was not blocked is no error.
pub fn unblock(sources: &[IpAddr]) -> Result<(), NftError> {
    let mut transaction = Transaction::default();
    for &source in sources {
        let block = Block { source, expires: None };
        element(&mut transaction, NFT_MSG_NEWSETELEM, &block);
        element(&mut transaction, NFT_MSG_DELSETELEM, &block);
    }
    commit(&transaction)
}

/// Everything that is blocked now, with the time that is left.
pub fn blocked() -> Result<Vec<Block>, NftError> {
    let mut control = Control::open()?;
    if !read::ours(&mut control)? {
        return Err(NftError::Absent);
    }
    let mut blocks = Vec::new();
    for family in Family::BOTH {
        let replies = control.query("read a block set", NFT_MSG_GETSETELEM, NFPROTO_INET, true, |message| {
            message.attr(NFTA_SET_ELEM_LIST_TABLE, c_string(TABLE).to_bytes_with_nul());
            message.attr(NFTA_SET_ELEM_LIST_SET, c_string(family.block_set()).to_bytes_with_nul());
        })?;
        let lists = replies.iter().flat_map(|reply| reply.attributes());
        let elements = lists.filter(|attr| attr.kind == NFTA_SET_ELEM_LIST_ELEMENTS).flat_map(|list| list.nested());
        blocks.extend(elements.filter_map(|element| block_of(element.nested())));
    }
    Ok(blocks)
}

fn commit(transaction: &Transaction) -> Result<(), NftError> {
    let mut control = Control::open()?;
    if !read::ours(&mut control)? {
        return Err(NftError::Absent);
    }
    match control.commit(transaction, None)? {
        Outcome::Refused(refusals) => Err(first_refusal(refusals)),
        Outcome::Done | Outcome::Stale => Ok(()),
    }
}

fn element(transaction: &mut Transaction, message: u16, block: &Block) {
    let family = if block.source.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 };
    let step = format!("the element {} of the set {}", block.source, family.block_set());
    let flags = if message == NFT_MSG_NEWSETELEM { NLM_F_CREATE } else { 0 };
    transaction.add(&step, message, flags, |message| {
        message.attr(NFTA_SET_ELEM_LIST_TABLE, c_string(TABLE).to_bytes_with_nul());
        message.attr(NFTA_SET_ELEM_LIST_SET, c_string(family.block_set()).to_bytes_with_nul());
        let list = message.begin_nested(NFTA_SET_ELEM_LIST_ELEMENTS);
        let element = message.begin_nested(NFTA_LIST_ELEM);
        key(message, block.source);
        if let Some(expires) = block.expires {
            // 0 would mean for good.
            let milliseconds = u64::try_from(expires.as_millis()).unwrap_or(u64::MAX).max(1);
            message.attr_be64(NFTA_SET_ELEM_TIMEOUT, milliseconds);
        }
        message.end_nested(element);
        message.end_nested(list);
    });
}

fn key(message: &mut Builder, source: IpAddr) {
    let key = message.begin_nested(NFTA_SET_ELEM_KEY);
    match source {
        IpAddr::V4(address) => message.attr(NFTA_DATA_VALUE, &address.octets()),
        IpAddr::V6(address) => message.attr(NFTA_DATA_VALUE, &address.octets()),
    }
    message.end_nested(key);
}

fn block_of(element: Attrs<'_>) -> Option<Block> {
    let mut source = None;
    let mut expires = None;
    for attr in element {
        match attr.kind {
            NFTA_SET_ELEM_KEY => {
                let value = attr.nested().find(|attr| attr.kind == NFTA_DATA_VALUE)?;
                source = address(value.payload);
            }
            NFTA_SET_ELEM_EXPIRATION => expires = attr.be64().map(Duration::from_millis),
            _ => {}
        }
    }
    Some(Block { source: source?, expires })
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    let v6 = <[u8; 16]>::try_from(bytes).map(IpAddr::from);
    v4.or(v6).ok()
}
