//! Keywords about WebSocket's frames.

use super::number::push_number;
use super::{Arg, Draft, Keyword, option};
use crate::rules::app::{AppTest, Field, WEBSOCKET_OPCODES};
use crate::rules::error::{Code, Mistake};

pub(super) static KEYWORDS: &[Keyword] = &[
    option("websocket.opcode", "websocket", "[op]number|name", "What a frame is for, such as `text`.", |draft, arg| {
        push_number(draft, arg, Field::WebsocketOpcode, WEBSOCKET_OPCODES, 15)
    }),
    option("websocket.mask", "websocket", "[op]number", "The masking key of a frame.", |draft, arg| {
        push_number(draft, arg, Field::WebsocketMask, &[], u32::MAX)
    }),
    option("websocket.flags", "websocket", "[op]number|[!]flag, ...", "Flags of a frame: fin, comp.", websocket_flags),
];

/// Of the first byte of a frame.
const FLAGS: [(&str, u8); 2] = [("fin", 0x80), ("comp", 0x40)];

fn websocket_flags(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    if arg.text().starts_with(|first: char| first.is_ascii_digit() || "<>=".contains(first)) {
        return push_number(draft, arg, Field::WebsocketFlags, &[], 255);
    }
    let (mut set, mut clear) = (0, 0);
    for part in arg.parts() {
        let (bits, word) = match arg.at(part).strip_prefix('!') {
            Some(rest) => (&mut clear, rest.trim_start()),
            None => (&mut set, arg.at(part)),
        };
        let Some((_, bit)) = FLAGS.iter().find(|(name, _)| *name == word) else {
            return Err(Mistake::new(Code::Value, part, "no such flag").help("flags are fin and comp"));
        };
        *bits |= bit;
    }
    draft.app.push((AppTest::WebsocketFlags { set, clear }, arg.option()));
    Ok(())
}
