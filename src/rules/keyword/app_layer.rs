//! `app-layer-protocol`: what the flow speaks, whatever its ports. And what SSH has besides its buffers.

use super::buffers::{Buffer, FRAME};
use super::content::within_buffer;
use super::{Arg, Draft, Keyword, option};
use crate::rules::app::{AppTest, ProtocolOf};
use crate::rules::compile::{app_word, app_words};
use crate::rules::error::{Code, Mistake, nearest};
use crate::rules::plan::Toward;

pub(super) static KEYWORDS: &[Keyword] = &[
    option(
        "app-layer-protocol",
        "app-layer",
        "[!]name[,final|original|either|to_server|to_client]",
        "The application protocol that was recognised, before or after a change; `failed`: none was, and none will be.",
        app_layer_protocol,
    ),
    option("frame", "app-layer", "name", "A frame of a protocol, as buffer: `http1.request`, or `request` in a rule for http1.", frame),
    option("ssh.softwareversion", "ssh", "[!]\"text\"", "Old form of a content in ssh.software.", software),
];

fn frame(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let name = arg.at(arg.unquoted()).to_ascii_lowercase();
    let protocol = match draft.protocol_word {
        "http" => "http1",
        word => word,
    };
    let whole = name.strip_prefix("http.").map(|kind| format!("frame:http1.{kind}"));
    let whole = whole.unwrap_or_else(|| format!("frame:{name}"));
    let frames = || Buffer::all().map(|(_, info)| info.name).filter(|name| name.starts_with(FRAME));
    let found = Buffer::named(&whole).or_else(|| Buffer::named(&format!("{FRAME}{protocol}.{name}")));
    let Some(buffer) = found else {
        let mistake = Mistake::new(Code::Value, arg.span, format!("no frame is called `{name}`"));
        return Err(match nearest(&whole, frames()) {
            Some(near) => mistake.help(format!("did you mean `{}`?", near.trim_start_matches(FRAME))),
            None => mistake.help("frames have names such as `http1.request`"),
        });
    };
    draft.select(buffer, arg.name);
    Ok(())
}

fn software(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    within_buffer(draft, arg, Buffer::SSH_SOFTWARE)
}

fn app_layer_protocol(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let (text, mode) = match arg.text().split_once(',') {
        Some((text, mode)) => (text.trim_end(), Some(mode.trim())),
        None => (arg.text(), None),
    };
    let of = match mode {
        None | Some("final") => ProtocolOf::Final,
        Some("original") => ProtocolOf::Original,
        Some("either") => ProtocolOf::Either,
        Some("to_server") => ProtocolOf::Side(Toward::Server),
        Some("to_client") => ProtocolOf::Side(Toward::Client),
        Some(_) => return Err(arg.wrong("modes are final, original, either, to_server and to_client")),
    };
    let (negated, name) = match text.strip_prefix('!') {
        Some(name) => (true, name.trim_start()),
        None => (false, text),
    };
    let name = name.to_ascii_lowercase();
    let protocol = match app_word(&name) {
        Some((protocols, need)) => {
            draft.needs.extend(need.map(|need| (need, arg.option())));
            Some(protocols)
        }
        None if name == "failed" => None,
        None => {
            let mistake = Mistake::new(Code::Value, arg.span, format!("`{name}` is no application protocol"));
            return Err(match nearest(&name, app_words()) {
                Some(near) => mistake.help(format!("did you mean `{near}`?")),
                None => mistake.help("write a protocol's word, such as `http`, or `failed`"),
            });
        }
    };
    draft.app.push((AppTest::Protocol { protocol, negated, of, when_found: false }, arg.option()));
    Ok(())
}
