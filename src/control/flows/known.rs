//! What only a running gate knows of a connection, and how it is asked.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::control::socket::{Client, SocketError};
use crate::packet::conntrack::{Conntrack, Counters, Fate, FateMask, FlowKey, Tuple};
use crate::packet::fate::{FateLabels, FateStore};
use crate::packet::flow::Flow;
use crate::packet::flow::shards::FlowShards;
use crate::packet::ingress::Timestamp;
use crate::rules::app::AppProto;

/// One flow of the gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    zone: u16,
    src: IpAddr,
    dst: IpAddr,
    protocol: u8,
    src_port: u16,
    dst_port: u16,
    /// The entry's id, once it is final.
    id: Option<u32>,
    pub flow_id: u64,
    pub fate: Fate,
    pub generation: u64,
    /// The sid that matched last.
    pub last_sid: Option<u32>,
    pub app_proto: Option<String>,
    /// Packets and bytes that the gate saw itself.
    to_server: (u64, u64),
    to_client: (u64, u64),
    first_seen_micros: u64,
}

impl Known {
    #[must_use]
    pub fn of(flow: &Flow) -> Known {
        let orig = flow.key.orig;
        let pair = |counters: Counters| (counters.packets, counters.bytes);
        Known {
            zone: flow.key.zone,
            src: orig.src,
            dst: orig.dst,
            protocol: orig.protocol,
            src_port: orig.src_port,
            dst_port: orig.dst_port,
            id: flow.confirmed.then_some(flow.conntrack_id.0),
            flow_id: flow.id,
            fate: flow.fate,
            generation: flow.generation,
            last_sid: (flow.last_sid != 0).then_some(flow.last_sid),
            app_proto: flow.app.as_ref().and_then(|app| app.protocol()).map(AppProto::name).map(str::to_owned),
            to_server: pair(flow.seen_to_server),
            to_client: pair(flow.seen_to_client),
            first_seen_micros: flow.first_seen.micros,
        }
    }

    #[must_use]
    pub fn key(&self) -> FlowKey {
        let &Known { zone, src, dst, protocol, src_port, dst_port, .. } = self;
        FlowKey { zone, orig: Tuple { src, dst, protocol, src_port, dst_port } }
    }

    /// This flow is about `entry`, and not about another connection on the same tuple.
    fn is_about(&self, entry: &Conntrack) -> bool {
        self.id.is_none_or(|id| id == entry.id.0)
    }

    /// What the gate has counted: toward the server, toward the client.
    #[must_use]
    pub fn counters(&self) -> (Counters, Counters) {
        let of = |(packets, bytes)| Counters { packets, bytes };
        (of(self.to_server), of(self.to_client))
    }

    #[must_use]
    pub fn first_seen(&self) -> Timestamp {
        Timestamp::from_micros(self.first_seen_micros)
    }
}

/// Where the gate keeps fates.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Place {
    /// The mask.
    Mark(u32),
    /// The first of the labels.
    Label(u8),
}

impl Place {
    fn of(store: FateStore) -> Place {
        match store {
            FateStore::Mark(mask) => Place::Mark(mask.mask),
            FateStore::Labels(labels) => Place::Label(labels.first()),
        }
    }

    fn store(self) -> Option<FateStore> {
        match self {
            Place::Mark(mask) => FateMask::new(mask).map(FateStore::Mark),
            Place::Label(first) => FateLabels::new(first).map(FateStore::Labels),
        }
    }
}

/// A part of the gate's flows, and what holds for all of them.
#[derive(Debug, Serialize, Deserialize)]
struct Part {
    part_count: usize,
    generation: u64,
    fates: Place,
    flows: Vec<Known>,
}

/// The gate's answer to `flows`: one part of its flows, a lock at a time.
pub fn answer(request: &Value, flows: &FlowShards, generation: u64, store: FateStore) -> Result<Value, String> {
    let part = request.get("part").and_then(Value::as_u64).and_then(|part| usize::try_from(part).ok());
    let part = part.filter(|part| *part < FlowShards::PART_COUNT);
    let part = part.ok_or_else(|| format!("`part` must be a number below {}", FlowShards::PART_COUNT))?;
    let mut known = Vec::new();
    flows.for_each_in(part, |flow| known.push(Known::of(flow)));
    let part = Part { part_count: FlowShards::PART_COUNT, generation, fates: Place::of(store), flows: known };
    serde_json::to_value(part).map_err(|error| error.to_string())
}

/// What a running gate knows of all connections.
#[derive(Debug)]
pub struct GateView {
    pub generation: u64,
    pub store: FateStore,
    flows: HashMap<FlowKey, Known>,
}

impl GateView {
    /// Asks the gate at `path`, part by part.
    pub fn ask(path: &Path) -> Result<GateView, SocketError> {
        let mut client = Client::connect(path)?;
        let mut view = GateView { generation: 0, store: FateStore::default(), flows: HashMap::new() };
        let mut parts = 0..1;
        while let Some(number) = parts.next() {
            let answer = client.ask(&json!({ "command": "flows", "part": number }))?;
            let part: Part = serde_json::from_value(answer)
                .map_err(|error| SocketError::Refused(format!("the gate is of another version: {error}")))?;
            parts.end = part.part_count;
            view.generation = part.generation;
            view.store = part.fates.store().unwrap_or_default();
            view.flows.extend(part.flows.into_iter().map(|known| (known.key(), known)));
        }
        Ok(view)
    }

    /// What the gate knows of `entry`.
    #[must_use]
    pub fn of(&self, entry: &Conntrack) -> Option<&Known> {
        self.flows.get(&entry.key()).filter(|known| known.is_about(entry))
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::packet::conntrack::{ConntrackId, CtStatus};
    use crate::packet::flow::table::Attach;

    /// An entry of the kernel's table that has been answered.
    pub fn entry(port: u16) -> Conntrack {
        let [src, dst] = ["10.0.0.1", "192.0.2.1"].map(|text| text.parse().unwrap());
        let orig = Tuple { src, dst, protocol: 6, src_port: port, dst_port: 443 };
        let mut entry = Conntrack::of_tuples(0, orig, orig.inverted());
        entry.id = ConntrackId(u32::from(port));
        entry.status = CtStatus(CtStatus::CONFIRMED | CtStatus::SEEN_REPLY | CtStatus::ASSURED);
        entry
    }

    /// What a gate of this generation says that has one flow: that of `entry`, as `change` leaves it.
    pub fn view_of(entry: &Conntrack, generation: u64, change: impl FnOnce(&mut Flow)) -> GateView {
        let mut flow = Flow::new(entry, 0, Timestamp::from_micros(7));
        change(&mut flow);
        let known = Known::of(&flow);
        GateView { generation, store: FateStore::default(), flows: HashMap::from([(known.key(), known)]) }
    }

    #[test]
    fn the_parts_together_are_all_flows_and_know_their_entries() {
        let flows = FlowShards::new(1000);
        for port in 1..=200 {
            let entry = entry(port);
            let mut table = flows.lock(&entry.key());
            let Attach::Flow { flow, .. } = table.attach(&entry, 0, Timestamp::from_micros(7)) else { panic!("full") };
            flow.fate = if port == 9 { Fate::Drop } else { Fate::Inspect };
            flow.last_sid = if port == 9 { 1234 } else { 0 };
        }
        let mut view = GateView { generation: 0, store: FateStore::default(), flows: HashMap::new() };
        for part in 0..FlowShards::PART_COUNT {
            let answer = answer(&json!({ "part": part }), &flows, 3, FateStore::default()).unwrap();
            let part: Part = serde_json::from_value(answer).unwrap();
            assert_eq!((part.part_count, part.generation), (FlowShards::PART_COUNT, 3));
            view.flows.extend(part.flows.into_iter().map(|known| (known.key(), known)));
        }
        assert_eq!(view.flows.len(), 200);
        let condemned = view.of(&entry(9)).unwrap();
        assert_eq!((condemned.fate, condemned.last_sid), (Fate::Drop, Some(1234)));
        let next = Conntrack { id: ConntrackId(77), ..entry(9) };
        assert_eq!(view.of(&next), None, "another connection on the same tuple");
        assert!(answer(&json!({ "part": 64 }), &flows, 3, FateStore::default()).is_err());
        assert!(answer(&json!({}), &flows, 3, FateStore::default()).is_err());
    }
}
