//! `flow`: which way, and whether the connection stands.

use super::{Arg, Draft, Keyword, once, option};
use crate::rules::error::{Code, Mistake, nearest};
use crate::rules::plan::{FlowTest, Toward};

pub(super) static KEYWORDS: &[Keyword] = &[option(
    "flow",
    "flow",
    "to_server|to_client|from_server|from_client, established|not_established|stateless, only_stream|no_stream",
    "Direction and state of the connection.",
    flow,
)];

const WORDS: [&str; 11] = [
    "to_server",
    "to_client",
    "from_server",
    "from_client",
    "established",
    "not_established",
    "stateless",
    "only_stream",
    "no_stream",
    "only_frag",
    "no_frag",
];

fn flow(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let mut test = FlowTest::default();
    let mut stateless = false;
    for part in super::super::lex::split(arg.rule, arg.unquoted(), b',') {
        let word = arg.at(part).to_ascii_lowercase();
        let clash = |with: &str| {
            Mistake::new(Code::Conflict, part, format!("`{word}` after `{with}`")).help("choose one of them")
        };
        match word.as_str() {
            "to_server" | "from_client" if test.toward.is_none() => test.toward = Some(Toward::Server),
            "to_client" | "from_server" if test.toward.is_none() => test.toward = Some(Toward::Client),
            "to_server" | "from_client" | "to_client" | "from_server" => return Err(clash("another direction")),
            "established" | "not_established" | "stateless" if stateless || test.established.is_some() => {
                return Err(clash("another state"));
            }
            "established" => test.established = Some(true),
            "not_established" => test.established = Some(false),
            "stateless" => stateless = true,
            "only_stream" | "no_stream" if test.stream.is_some() => return Err(clash("another stream word")),
            "only_stream" => test.stream = Some(true),
            "no_stream" => test.stream = Some(false),
            "only_frag" | "no_frag" => {
                draft.needs.push((super::Need::Never("conntrack reassembles fragments before a rule sees them"), part))
            }
            _ => {
                let help = match nearest(&word, WORDS.into_iter()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("words are {}", WORDS.join(", ")),
                };
                return Err(Mistake::new(Code::Value, part, format!("`{word}` is not understood here")).help(help));
            }
        }
    }
    once(&mut draft.flow, test, arg)
}
