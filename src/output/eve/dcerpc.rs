//! The object `dcerpc`: a call of a DCERPC flow. SMB's records hold the same of calls in named pipes.

use serde::Serialize;

use super::app::EveObject;
use crate::packet::app::protocols::dcerpc::record::{
    DcerpcFlowRecord, DcerpcHalf, DcerpcRecord, DcerpcTransport, InterfaceRecord,
};

#[derive(Serialize)]
pub struct DcerpcObject {
    request: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    req: Option<Request>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    interfaces: Vec<Interface>,
    response: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    res: Option<Stub>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call_id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    activityuuid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seqnum: Option<u32>,
    rpc_version: String,
}

#[derive(Serialize)]
struct Request {
    opnum: u16,
    #[serde(flatten)]
    stub: Stub,
}

#[derive(Serialize)]
struct Stub {
    frag_cnt: u32,
    stub_data_size: u64,
}

#[derive(Serialize)]
struct Interface {
    uuid: String,
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ack_result: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ack_reason: Option<u16>,
}

/// The words for a half that was never seen.
const REQUEST_LOST: &str = "REQUEST_LOST";
const UNREPLIED: &str = "UNREPLIED";

fn name(half: Option<DcerpcHalf>, missing: &'static str) -> &'static str {
    half.map_or(missing, |half| half.kind)
}

fn stub(half: Option<DcerpcHalf>) -> Option<Stub> {
    let half = half?;
    half.fragments.map(|frag_cnt| Stub { frag_cnt, stub_data_size: half.stub_bytes })
}

impl Interface {
    fn of(record: &InterfaceRecord) -> Interface {
        let (major, minor) = record.version;
        Interface {
            uuid: uuid(&record.uuid),
            version: format!("{major}.{minor}"),
            ack_result: record.answer.map(|(result, _)| result),
            ack_reason: record.answer.map(|(_, reason)| reason),
        }
    }
}

/// `367abb81-9844-35f1-ad32-98f038001003`
fn uuid(bytes: &[u8; 16]) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let text = digits.concat();
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

impl EveObject for DcerpcFlowRecord {
    type Object = DcerpcObject;

    fn object(record: &DcerpcFlowRecord) -> DcerpcObject {
        let call = &record.call;
        let (call_id, activityuuid, seqnum, rpc_version) = match record.transport {
            DcerpcTransport::Connection { minor } => (Some(call.call_id), None, None, format!("5.{minor}")),
            DcerpcTransport::Datagrams { activity, sequence } => {
                (None, Some(uuid(&activity)), Some(sequence), "4.0".to_owned())
            }
        };
        DcerpcObject {
            request: name(call.request, REQUEST_LOST),
            req: stub(call.request).map(|stub| Request { opnum: call.opnum, stub }),
            interfaces: call.interfaces.iter().map(Interface::of).collect(),
            response: name(call.response, UNREPLIED),
            res: stub(call.response),
            call_id,
            activityuuid,
            seqnum,
            rpc_version,
        }
    }
}

/// `smb.dcerpc`: the operation's number stands outside of `req` here.
#[derive(Serialize)]
pub struct PipeObject {
    request: &'static str,
    response: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    opnum: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    req: Option<Stub>,
    #[serde(skip_serializing_if = "Option::is_none")]
    res: Option<Stub>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    interfaces: Vec<Interface>,
    call_id: u32,
}

impl PipeObject {
    pub fn of(call: &DcerpcRecord) -> PipeObject {
        let req = stub(call.request);
        PipeObject {
            request: name(call.request, REQUEST_LOST),
            response: name(call.response, UNREPLIED),
            opnum: req.is_some().then_some(call.opnum),
            req,
            res: stub(call.response),
            interfaces: call.interfaces.iter().map(Interface::of).collect(),
            call_id: call.call_id,
        }
    }
}
