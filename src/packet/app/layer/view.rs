//! The application layer as detection sees it.

use super::{AppLayer, State};
use crate::packet::app::sides::Spoken;
use crate::packet::app::transactions::{TxList, TxView};
use crate::rules::app::AppProto;
use crate::rules::plan::{SideSet, Toward};

/// Transactions and frames, with what is known of their protocol.
pub struct AppView<'a> {
    /// What the flow speaks now.
    pub protocol: AppProto,
    /// What it spoke before the last change.
    pub before: Option<AppProto>,
    /// That was found out with this packet.
    pub is_new: bool,
    /// What each side was recognised as by itself, where rules ask.
    pub spoken: Spoken,
    former: Option<(AppProto, &'a mut dyn TxList)>,
    pub(super) current: &'a mut dyn TxList,
    frames: Option<&'a mut dyn TxList>,
    /// Sides whose files are all stored from now on.
    pub stored_sides: &'a mut SideSet,
}

impl AppView<'_> {
    /// Transactions in all; those of a protocol that was just left stand first, and frames last.
    #[must_use]
    pub fn count(&self) -> usize {
        self.transaction_count() + self.frames.as_ref().map_or(0, |list| list.count())
    }

    pub(super) fn transaction_count(&self) -> usize {
        self.former.as_ref().map_or(0, |(_, list)| list.count()) + self.current.count()
    }

    /// The `at`th transaction with its protocol, seen from one side.
    pub fn transaction(&mut self, at: usize, toward: Toward) -> Option<(AppProto, TxView<'_>)> {
        let mut at = at;
        if let Some((protocol, list)) = &mut self.former {
            if at < list.count() {
                return list.view(at, toward).map(|tx| (*protocol, tx));
            }
            at -= list.count();
        }
        let current = self.current.count();
        let tx = match &mut self.frames {
            Some(frames) if at >= current => frames.view(at - current, toward),
            _ => self.current.view(at, toward),
        };
        tx.map(|tx| (self.protocol, tx))
    }
}

impl AppLayer {
    pub fn view(&mut self) -> Option<AppView<'_>> {
        let former = self.former.as_deref_mut().map(|(protocol, parser)| (*protocol, parser.transactions()));
        let stored_sides = &mut self.stored_sides;
        let (before, is_new) = (self.before, self.is_new);
        let spoken = self.sides.as_ref().map(|sides| sides.spoken()).unwrap_or_default();
        match &mut self.state {
            State::Known { protocol, parser } | State::Finished { protocol, parser, .. } => Some(AppView {
                protocol: *protocol,
                before,
                is_new,
                spoken,
                former,
                current: parser.transactions(),
                frames: self.frames.list(),
                stored_sides,
            }),
            State::Unknown | State::Failed => former.map(|(protocol, current)| AppView {
                protocol,
                before,
                is_new,
                spoken,
                former: None,
                current,
                frames: None,
                stored_sides,
            }),
        }
    }
}
