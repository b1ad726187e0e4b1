//! `decode-event` and `stream-event`: the packet is odd in a way that has a name.

use super::{Arg, Draft, Keyword, Need, option};
use crate::rules::error::{Code, Mistake, nearest};
use crate::rules::events::{EVENTS, PacketEvent};
use crate::rules::plan::PacketTest;

pub(super) static KEYWORDS: &[Keyword] = &[
    option("decode-event", "event", "name", "An oddity of the headers, such as ipv6.rh_type_0.", decode_event)
        .aliased(&["engine-event"]),
    option("stream-event", "event", "name", "An oddity of the TCP stream, such as pkt_retransmission.", stream_event),
];

fn decode_event(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    event(draft, arg, "decoder.")
}

fn stream_event(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    event(draft, arg, "stream.")
}

fn event(draft: &mut Draft<'_>, arg: &Arg<'_>, kind: &'static str) -> Result<(), Mistake> {
    let span = arg.unquoted();
    let word = arg.at(span);
    // `engine-event` names streams' events, too.
    let name = if word.starts_with("stream.") { word.to_owned() } else { format!("{kind}{word}") };
    let Some(event) = PacketEvent::named(&name) else {
        let of_kind = EVENTS.iter().filter_map(|event| event.name.strip_prefix(kind));
        let mistake = Mistake::new(Code::Value, span, format!("`{word}` is no such event"));
        return Err(match nearest(word, of_kind) {
            Some(near) => mistake.help(format!("did you mean `{near}`?")),
            None => mistake,
        });
    };
    if !event.is_raised() {
        let why = match kind {
            "stream." => "conntrack judges this before a rule sees the packet; see `policy.invalid`",
            _ => "the kernel, or our decoder, never lets this be seen",
        };
        draft.needs.push((Need::Never(why), arg.option()));
    }
    draft.packet.push((PacketTest::Event(event), arg.option()));
    Ok(())
}
