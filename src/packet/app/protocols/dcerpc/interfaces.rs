//! The interfaces that a connection has bound, and how rules ask about them.

use super::pdu::Context;
use crate::rules::app::DceInterface;

/// Interfaces of one connection that are remembered.
const INTERFACE_COUNT_MAX: usize = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interface {
    pub context: Context,
    /// It was asked for in a first fragment.
    pub first_fragment: bool,
    /// Result and reason of the server's answer; 0 is acceptance.
    pub result: Option<(u16, u16)>,
}

impl Interface {
    fn is_accepted(&self) -> bool {
        matches!(self.result, Some((0, _)))
    }

    /// Whether it is the one that the rule means.
    fn is(&self, wanted: &DceInterface) -> bool {
        (self.first_fragment || wanted.any_frag)
            && self.context.uuid == wanted.uuid
            && wanted.version.as_ref().is_none_or(|version| version.accepts(self.context.version.into()))
    }
}

/// All that were bound, the latest last.
#[derive(Clone, Debug, Default)]
pub struct Interfaces {
    bound: Vec<Interface>,
    /// Where those of the last BIND begin.
    last: usize,
}

impl Interfaces {
    /// A BIND or ALTER_CONTEXT asks for these.
    pub fn ask(&mut self, contexts: &[Context], first_fragment: bool) {
        self.bound.retain(|bound| contexts.iter().all(|context| context.id != bound.context.id));
        let excess = (self.bound.len() + contexts.len()).saturating_sub(INTERFACE_COUNT_MAX);
        self.bound.drain(..excess.min(self.bound.len()));
        self.last = self.bound.len();
        let asked = contexts.iter().map(|context| Interface { context: *context, first_fragment, result: None });
        self.bound.extend(asked);
    }

    /// The server's answers to the last that were asked for, in their order.
    pub fn answer(&mut self, results: &[(u16, u16)]) {
        for (interface, result) in self.bound.iter_mut().skip(self.last).zip(results) {
            interface.result = Some(*result);
        }
    }

    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        size_of::<Interfaces>() + self.bound.capacity() * size_of::<Interface>()
    }

    /// Those of the last BIND.
    #[must_use]
    pub fn latest(&self) -> &[Interface] {
        self.bound.get(self.last..).unwrap_or_default()
    }

    /// Whether a call with this context is one of the interface that the rule means.
    #[must_use]
    pub fn has(&self, context_id: u16, wanted: &DceInterface) -> bool {
        self.bound.iter().any(|bound| bound.is_accepted() && bound.context.id == context_id && bound.is(wanted))
    }

    /// The interface of a datagram, which names it itself.
    #[must_use]
    pub fn of_datagram(context: Context) -> Interfaces {
        Interfaces { bound: vec![Interface { context, first_fragment: true, result: Some((0, 0)) }], last: 0 }
    }
}
