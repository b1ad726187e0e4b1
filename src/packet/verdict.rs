//! Matches and policy become a verdict. The only file that can say Drop.

use super::conntrack::Fate;
use super::detect::{Decision, Ruling};
use super::stream::Arrival;

/// Why a packet was dropped: the EVE `drop.reason`, the counter and the metric label are all this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A rule with `drop` or `reject` matched this packet.
    Rules,
    /// A rule matched so often that `rate_filter` made it a `drop` or `reject`.
    Threshold,
    /// The connection was condemned earlier and the kernel does not enforce it yet.
    FlowDrop,
    /// `policy.invalid: drop` met a packet of a tracked protocol without an entry.
    ConntrackInvalid,
    /// `policy.untracked: drop` met a packet that conntrack does not track.
    Untracked,
    /// `policy.decode-error: drop` met a packet that could not be decoded.
    DecodeError,
    /// `policy.flow-memcap: drop` met a full flow table.
    FlowMemcap,
    /// `stream.overlap: drop` met a segment that contradicts bytes that were forwarded before it.
    StreamOverlap,
    /// `stream.reassembly.memcap-policy: drop` met a segment for which there is no memory.
    StreamMemcap,
    /// `stream.reassembly.urgent.policy: drop` met a segment that points at urgent data.
    StreamUrgent,
    /// `stream.midstream-policy` met a connection that is older than we are, and is not followed.
    StreamMidstream,
    /// `app-layer.error-policy` met a connection whose parser gave up.
    AppError,
}

impl Reason {
    pub const COUNT: usize = 12;
    pub const ALL: [Reason; Reason::COUNT] = [
        Reason::Rules,
        Reason::Threshold,
        Reason::FlowDrop,
        Reason::ConntrackInvalid,
        Reason::Untracked,
        Reason::DecodeError,
        Reason::FlowMemcap,
        Reason::StreamOverlap,
        Reason::StreamMemcap,
        Reason::StreamUrgent,
        Reason::StreamMidstream,
        Reason::AppError,
    ];

    /// EVE `drop.reason`. Suricata's words where it has them.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Rules => "rules",
            Reason::Threshold => "threshold detection_filter",
            Reason::FlowDrop => "flow drop",
            Reason::ConntrackInvalid => "conntrack invalid",
            Reason::Untracked => "untracked",
            Reason::DecodeError => "decode error",
            Reason::FlowMemcap => "flow memcap",
            Reason::StreamOverlap => "stream overlap",
            Reason::StreamMemcap => "stream memcap",
            Reason::StreamUrgent => "stream urgent",
            Reason::StreamMidstream => "stream midstream",
            Reason::AppError => "applayer error",
        }
    }

    /// Key under `stats.ips.drop_reason`.
    #[must_use]
    pub fn counter(self) -> &'static str {
        match self {
            Reason::Rules => "rules",
            Reason::Threshold => "threshold_detection_filter",
            Reason::FlowDrop => "flow_drop",
            Reason::ConntrackInvalid => "conntrack_invalid",
            Reason::Untracked => "untracked",
            Reason::DecodeError => "decode_error",
            Reason::FlowMemcap => "flow_memcap",
            Reason::StreamOverlap => "stream_overlap",
            Reason::StreamMemcap => "stream_memcap",
            Reason::StreamUrgent => "stream_urgent",
            Reason::StreamMidstream => "stream_midstream",
            Reason::AppError => "applayer_error",
        }
    }
}

/// Why the rest of a connection goes by uninspected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clearing {
    /// A rule with the action `pass`.
    PassRule,
    /// A rule with the keyword `bypass`.
    BypassRule,
    /// The handshake is over, and what follows is encrypted (`encryption-handling: bypass`).
    Encrypted,
    /// Its streams were followed to the depth (`stream.bypass`).
    StreamDepth,
    /// It has moved more bytes than `fate.clear.elephant`.
    Elephant,
    /// A policy said `pass-flow`.
    Policy,
}

impl Clearing {
    pub const COUNT: usize = 6;
    pub const ALL: [Clearing; Clearing::COUNT] = [
        Clearing::PassRule,
        Clearing::BypassRule,
        Clearing::Encrypted,
        Clearing::StreamDepth,
        Clearing::Elephant,
        Clearing::Policy,
    ];

    /// EVE `tidegate.cleared_by`, and the key under `stats.fates.cleared`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Clearing::PassRule => "pass_rule",
            Clearing::BypassRule => "bypass_rule",
            Clearing::Encrypted => "encrypted",
            Clearing::StreamDepth => "stream_depth",
            Clearing::Elephant => "elephant",
            Clearing::Policy => "policy",
        }
    }
}

/// What happens to one packet, and to the rest of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Verdict {
    pub action: Action,
    /// A fate to write into conntrack with this verdict; `None` leaves the entry alone.
    pub fate: Option<Fate>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Accept,
    Drop(Reason),
    /// Run our chain again: with [`Fate::Reject`] written, nftables itself builds the reset.
    Repeat(Reason),
}

impl Action {
    #[must_use]
    pub fn reason(self) -> Option<Reason> {
        match self {
            Action::Accept => None,
            Action::Drop(reason) | Action::Repeat(reason) => Some(reason),
        }
    }
}

/// What the user wants done with packets that cannot be judged by rules. Nothing here drops unless the configuration says
/// so; its one default that does is `stream.overlap`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    pub invalid: OnTrouble,
    pub untracked: OnTrouble,
    pub decode_error: OnTrouble,
    pub flow_memcap: OnTrouble,
    pub stream_overlap: OnTrouble,
    pub stream_memcap: OnTrouble,
    pub stream_urgent: OnTrouble,
    pub stream_midstream: OnTrouble,
    pub app_error: OnTrouble,
    /// What `pass` rules clear keeps coming up, and passes here.
    pub keep_passed: bool,
    /// What `bypass` rules clear keeps coming up, and passes here.
    pub keep_bypassed: bool,
    /// A connection that has moved more bytes than this, both directions together, is cleared; 0 for never.
    pub elephant_bytes: u64,
    /// The table behind the queue answers a repeated packet of a rejected flow: it is ours, and installed.
    pub kernel_rejects: bool,
    /// Look only: rules alert, nothing is dropped, no fate is written (replay without `--ips`).
    pub passive: bool,
    /// The packets are a recording: whatever the verdict, they went on, and what follows builds on them (replay).
    pub recorded: bool,
}

/// One policy's choice. Where there is no connection, what is about the rest of it is about the packet alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnTrouble {
    /// The packet goes on, and rules judge what they can.
    #[default]
    Pass,
    /// The rest of the connection goes by uninspected.
    PassFlow,
    Drop,
    DropFlow,
    /// Like [`OnTrouble::DropFlow`], and answered with a reset.
    Reject,
}

/// Of a packet and the one inside it: what stops either stops both.
pub fn either(outer: Verdict, inner: Verdict) -> Verdict {
    if outer.action == Action::Accept && inner.action != Action::Accept { inner } else { outer }
}

impl Verdict {
    pub const ACCEPT: Verdict = Verdict { action: Action::Accept, fate: None };

    /// The rest of the connection goes by uninspected.
    pub const PASS: Verdict = Verdict { action: Action::Accept, fate: Some(Fate::Pass) };

    /// What a verdict on a packet in a tunnel is for the packet around it. The kernel's entry is that of the whole tunnel, so no
    /// fate is written: the connection inside stays condemned or cleared with us. Nor can the kernel answer it with a
    /// reset; a reject is a drop.
    pub fn of_carrier(self) -> Verdict {
        let action = match self.action {
            Action::Repeat(reason) => Action::Drop(reason),
            action => action,
        };
        Verdict { action, fate: None }
    }
}

impl Policy {
    /// Whether the receiver gets the packet, or got it when it was recorded.
    #[must_use]
    pub fn goes_on(&self, verdict: Verdict) -> bool {
        verdict.action == Action::Accept || self.recorded
    }

    /// Whether the kernel is to pass the rest of what was cleared so. What it is not told of comes up, and passes here.
    #[must_use]
    pub fn leaves_to_kernel(&self, why: Clearing) -> bool {
        match why {
            Clearing::PassRule => !self.keep_passed,
            Clearing::BypassRule => !self.keep_bypassed,
            Clearing::Encrypted | Clearing::StreamDepth | Clearing::Elephant | Clearing::Policy => true,
        }
    }

    /// A connection that has moved `bytes` is not worth looking into any more.
    #[must_use]
    pub fn is_elephant(&self, bytes: u64) -> bool {
        !self.passive && self.elephant_bytes > 0 && bytes > self.elephant_bytes
    }

    /// What the rules decided, for a packet with or without a connection to condemn. A reject is about the connection
    /// whatever the rule looked at: it is answered with a reset.
    pub fn rules(&self, ruling: Ruling, has_flow: bool) -> Verdict {
        let fate = |fate| (has_flow && (ruling.on_flow || fate == Fate::Reject)).then_some(fate);
        let reason = if ruling.by_rate { Reason::Threshold } else { Reason::Rules };
        match ruling.decision {
            Decision::Drop | Decision::Reject(_) if self.passive => Verdict::ACCEPT,
            Decision::None => Verdict::ACCEPT,
            Decision::Bypass => Verdict { action: Action::Accept, fate: has_flow.then_some(Fate::Pass) },
            Decision::Pass => Verdict { action: Action::Accept, fate: fate(Fate::Pass) },
            Decision::Drop => Verdict { action: Action::Drop(reason), fate: fate(Fate::Drop) },
            Decision::Reject(_) if has_flow && self.kernel_rejects => {
                Verdict { action: Action::Repeat(reason), fate: Some(Fate::Reject) }
            }
            Decision::Reject(_) => Verdict { action: Action::Drop(reason), fate: fate(Fate::Reject) },
        }
    }

    /// A packet of a connection whose fate is settled came up all the same. `shown` is the fate in its entry: what the
    /// kernel does not show yet is written again.
    pub fn settled(&self, fate: Fate, shown: Fate) -> Verdict {
        let again = (fate != shown).then_some(fate);
        match fate {
            Fate::Inspect => Verdict::ACCEPT,
            Fate::Pass => Verdict { action: Action::Accept, fate: again },
            Fate::Reject if self.kernel_rejects => Verdict { action: Action::Repeat(Reason::FlowDrop), fate: again },
            Fate::Drop | Fate::Reject => Verdict { action: Action::Drop(Reason::FlowDrop), fate: again },
        }
    }

    /// An ICMP error about a connection whose fate is settled.
    pub fn related(&self, fate: Fate) -> Verdict {
        match fate {
            Fate::Inspect | Fate::Pass => Verdict::ACCEPT,
            Fate::Drop | Fate::Reject => Verdict { action: Action::Drop(Reason::FlowDrop), fate: None },
        }
    }

    pub fn undecodable(&self) -> Verdict {
        self.on_trouble(self.decode_error, Reason::DecodeError, false)
    }

    pub fn flow_table_full(&self) -> Verdict {
        self.on_trouble(self.flow_memcap, Reason::FlowMemcap, false)
    }

    /// What a segment's place in its stream asks for, whatever the rules say.
    pub fn stream(&self, arrival: &Arrival) -> Verdict {
        let trouble = [
            (arrival.conflict, self.stream_overlap, Reason::StreamOverlap),
            (arrival.memcap || arrival.limit, self.stream_memcap, Reason::StreamMemcap),
            (arrival.urgent, self.stream_urgent, Reason::StreamUrgent),
        ];
        let met = trouble.into_iter().find(|(met, choice, _)| *met && *choice != OnTrouble::Pass);
        met.map_or(Verdict::ACCEPT, |(_, choice, reason)| self.on_trouble(choice, reason, true))
    }

    /// The connection is older than we are, and such are not followed.
    pub fn midstream(&self) -> Verdict {
        self.on_trouble(self.stream_midstream, Reason::StreamMidstream, true)
    }

    /// What the connection says can no longer be read.
    pub fn app_error(&self) -> Verdict {
        self.on_trouble(self.app_error, Reason::AppError, true)
    }

    /// The connection's streams are not followed any further, or what follows is encrypted.
    pub fn beyond_inspection(&self) -> Verdict {
        if self.passive { Verdict::ACCEPT } else { Verdict::PASS }
    }

    /// conntrack tracks this protocol and yet gave the packet no entry: INVALID, or the admin said `notrack`.
    pub fn invalid(&self) -> Verdict {
        self.on_trouble(self.invalid, Reason::ConntrackInvalid, false)
    }

    /// conntrack never tracks such packets (IPv6 neighbour discovery, for one).
    pub fn untracked(&self) -> Verdict {
        self.on_trouble(self.untracked, Reason::Untracked, false)
    }

    fn on_trouble(&self, choice: OnTrouble, reason: Reason, has_flow: bool) -> Verdict {
        let drop = |fate: Option<Fate>| Verdict { action: Action::Drop(reason), fate: fate.filter(|_| has_flow) };
        match choice {
            _ if self.passive => Verdict::ACCEPT,
            OnTrouble::PassFlow if has_flow => Verdict::PASS,
            OnTrouble::Pass | OnTrouble::PassFlow => Verdict::ACCEPT,
            OnTrouble::Drop => drop(None),
            OnTrouble::DropFlow => drop(Some(Fate::Drop)),
            OnTrouble::Reject if has_flow && self.kernel_rejects => {
                Verdict { action: Action::Repeat(reason), fate: Some(Fate::Reject) }
            }
            OnTrouble::Reject => drop(Some(Fate::Reject)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::meta::RuleAction;

    fn on_flow(decision: Decision) -> Ruling {
        Ruling { decision, on_flow: true, by_rate: false }
    }

    #[test]
    fn a_rule_about_a_packet_condemns_no_connection() {
        let policy = Policy::default();
        for (decision, fate) in [(Decision::Drop, Fate::Drop), (Decision::Pass, Fate::Pass)] {
            assert_eq!(policy.rules(on_flow(decision), true).fate, Some(fate));
            assert_eq!(policy.rules(Ruling { decision, on_flow: false, by_rate: false }, true).fate, None);
            assert_eq!(policy.rules(on_flow(decision), false).fate, None);
        }
    }

    #[test]
    fn no_default_policy_drops_anything() {
        let policy = Policy::default();
        let shown = Fate::Inspect;
        for verdict in [
            policy.undecodable(),
            policy.flow_table_full(),
            policy.invalid(),
            policy.untracked(),
            policy.rules(on_flow(Decision::None), true),
            policy.rules(on_flow(Decision::Pass), true),
            policy.settled(Fate::Inspect, shown),
            policy.settled(Fate::Pass, shown),
        ] {
            assert_eq!(verdict.action, Action::Accept);
        }
    }

    #[test]
    fn a_settled_fate_is_written_again_until_the_kernel_shows_it() {
        let policy = Policy::default();
        assert_eq!(policy.settled(Fate::Drop, Fate::Inspect).fate, Some(Fate::Drop));
        assert_eq!(policy.settled(Fate::Drop, Fate::Drop).fate, None);
        assert_eq!(policy.settled(Fate::Drop, Fate::Drop).action, Action::Drop(Reason::FlowDrop));
    }

    #[test]
    fn reject_repeats_only_where_the_kernel_will_answer() {
        let mut policy = Policy::default();
        let reject = on_flow(Decision::Reject(RuleAction::Reject));
        assert_eq!(policy.rules(reject, true).action, Action::Drop(Reason::Rules));
        policy.kernel_rejects = true;
        assert_eq!(policy.rules(reject, true).action, Action::Repeat(Reason::Rules));
        assert_eq!(policy.rules(reject, false).action, Action::Drop(Reason::Rules), "no entry to mark");
    }

    #[test]
    fn every_reason_has_its_own_words() {
        let mut words: Vec<_> = Reason::ALL.iter().flat_map(|reason| [reason.as_str(), reason.counter()]).collect();
        words.sort_unstable();
        words.dedup();
        assert!(words.len() >= Reason::COUNT);
    }
}
