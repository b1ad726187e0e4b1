//! The gate: frames through the acted kernel and the data plane, and what comes out behind it.

use std::collections::BTreeSet;
use std::sync::Arc;

use tidegate::control::replay::capture::CapturedFrame;
use tidegate::control::replay::{DestroyedEntry, Feeder, ReplayOptions, ReplaySink};
use tidegate::packet::app::AppConfig;
use tidegate::packet::conntrack::FateMask;
use tidegate::packet::decode::link::LinkType;
use tidegate::packet::detect::SharedDetectState;
use tidegate::packet::event::Events;
use tidegate::packet::flow::shards::FlowShards;
use tidegate::packet::ingress::{Ingress, Timestamp};
use tidegate::packet::path::{Path, World};
use tidegate::packet::tell::Copies;
use tidegate::packet::verdict::{Action, OnTrouble, Policy};
use tidegate::rules::ruleset::RuleSet;
use tidegate::rules::{Context, Options, Source, Vars, compile};

const RULES: &str = r#"drop ip any any -> any any (msg:"passwords"; content:"/etc/passwd"; nocase; sid:1;)"#;

const HTTP_RULES: &str = r#"
drop http any any -> any any (msg:"in the path"; http.uri; content:"/etc/passwd"; nocase; sid:2;)
drop http any any -> any any (msg:"in the body"; http.request_body; content:"/etc/passwd"; nocase; sid:3;)
drop http any any -> any any (msg:"in a header"; http.request_header; content:"/etc/passwd"; nocase; sid:4;)
"#;

pub struct Gate {
    feeder: Option<Feeder>,
    plane: Plane,
    clock: u64,
}

struct Plane {
    path: Path,
    rules: Arc<RuleSet>,
    flows: FlowShards,
    shared: SharedDetectState,
    events: Events,
    forwarded: Vec<Vec<u8>>,
    reasons: BTreeSet<&'static str>,
}

impl Gate {
    /// As it is configured without a file.
    pub fn new() -> Gate {
        Gate::with(RULES, Policy { stream_overlap: OnTrouble::Drop, ..Policy::default() })
    }

    /// With rules about requests instead of bytes.
    pub fn of_http() -> Gate {
        Gate::with(HTTP_RULES, Policy { stream_overlap: OnTrouble::Drop, ..Policy::default() })
    }

    /// Stops nothing.
    pub fn open() -> Gate {
        Gate::with("", Policy::default())
    }

    fn with(rules: &str, policy: Policy) -> Gate {
        let context = Context { vars: Vars::standard(), ..Context::default() };
        let compiled = compile(&[Source::new("evasion.rules", rules)], &context, &Options::default());
        assert!(compiled.rejected.is_empty());
        Gate {
            feeder: Some(Feeder::new(ReplayOptions::default())),
            plane: Plane {
                path: Path::new(policy, FateMask::default(), Copies::default(), AppConfig::default()),
                rules: compiled.set,
                flows: FlowShards::new(1000),
                shared: SharedDetectState::default(),
                events: Events::new(),
                forwarded: Vec::new(),
                reasons: BTreeSet::new(),
            },
            clock: 1_700_000_000_000_000,
        }
    }

    /// What of one frame goes on, as whole packets from the network header on.
    pub fn send(&mut self, frame: &[u8]) -> Vec<Vec<u8>> {
        self.clock += 1_000;
        let captured = CapturedFrame {
            timestamp: Timestamp::from_micros(self.clock),
            link: Some(LinkType::Raw),
            link_number: 101,
            bytes: frame,
            wire_len: frame.len() as u32,
        };
        self.feeder.as_mut().unwrap().frame(&captured, &mut self.plane);
        std::mem::take(&mut self.plane.forwarded)
    }

    /// Why packets were dropped.
    pub fn finish(mut self) -> BTreeSet<&'static str> {
        self.feeder.take().unwrap().finish(&mut self.plane);
        assert_eq!(self.plane.flows.count(), 0, "every flow has ended");
        self.plane.reasons
    }
}

impl ReplaySink for Plane {
    fn packet(&mut self, packet: &Ingress<'_>, now: Timestamp) -> Action {
        let world = World { rules: &self.rules, flows: &self.flows, shared: &self.shared };
        let verdict = self.path.inspect(world, packet, now, &mut self.events);
        self.events.clear();
        match verdict.action.reason() {
            None => self.forwarded.push(packet.bytes.to_vec()),
            Some(reason) => drop(self.reasons.insert(reason.as_str())),
        }
        verdict.action
    }

    fn destroyed(&mut self, destroyed: &DestroyedEntry) {
        self.flows.remove(&destroyed.entry.key());
    }
}
