//! `app-layer-protocol`: what the flow speaks, whatever its ports. And what SSH has besides its buffers.

use super::buffers::Buffer;
use super::content::within_buffer;
use super::{Arg, Draft, Keyword, option};
use crate::rules::app::AppTest;
use crate::rules::compile::{app_word, app_words};
use crate::rules::error::{Code, Mistake, nearest};

pub(super) static KEYWORDS: &[Keyword] = &[
    option(
        "app-layer-protocol",
        "app-layer",
        "[!]name",
        "The application protocol that was recognised; `failed`: none was, and none will be.",
        app_layer_protocol,
    ),
    option("ssh.softwareversion", "ssh", "[!]\"text\"", "Old form of a content in ssh.software.", software),
];

fn software(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    within_buffer(draft, arg, Buffer::SSH_SOFTWARE)
}

fn app_layer_protocol(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let text = arg.text();
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
    draft.app.push((AppTest::Protocol { protocol, negated }, arg.option()));
    Ok(())
}
