//! The connection: which way, whether it stands, how long and how much it has been, and that it may go.

use super::number::{comparison, comparison64, unsigned};
use super::{Arg, Draft, Keyword, once, option};
use crate::rules::error::{Code, Mistake, Span, nearest};
use crate::rules::plan::{FlowMeasure, FlowTest, NumberTest, PacketTest, Sides, Toward};

const FAMILY: &str = "flow";

pub(super) static KEYWORDS: &[Keyword] = &[
    option(
        "flow",
        FAMILY,
        "to_server|to_client|from_server|from_client, established|not_established|stateless, only_stream|no_stream",
        "Direction and state of the connection.",
        flow,
    ),
    option("flow.age", FAMILY, "[op]seconds", "How old the connection is.", age),
    option("flow.pkts", FAMILY, "toserver|toclient|both|either,[op]number", "Packets so far.", pkts),
    option("flow.pkts_toserver", FAMILY, "[op]number", "Packets toward the server so far.", pkts_to_server),
    option("flow.pkts_toclient", FAMILY, "[op]number", "Packets toward the client so far.", pkts_to_client),
    option("flow.bytes", FAMILY, "toserver|toclient|both|either,[op]number", "Bytes of IP packets so far.", bytes),
    option("flow.bytes_toserver", FAMILY, "[op]number", "Bytes toward the server so far.", bytes_to_server),
    option("flow.bytes_toclient", FAMILY, "[op]number", "Bytes toward the client so far.", bytes_to_client),
    option(
        "stream_size",
        FAMILY,
        "client|server|both|either,op,number",
        "Bytes that a side has sent in its TCP stream, the SYN counted as one.",
        stream_size,
    ),
    option("bypass", FAMILY, "", "A match clears the rest of the connection: it is no longer inspected.", bypass),
];

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
            // conntrack has reassembled what it could; what is left is one part of something invalid.
            "only_frag" | "no_frag" => draft.packet.push((PacketTest::Fragment(word == "only_frag"), part)),
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

fn bypass(draft: &mut Draft<'_>, _: &Arg<'_>) -> Result<(), Mistake> {
    draft.bypass = true;
    Ok(())
}

fn measure(draft: &mut Draft<'_>, arg: &Arg<'_>, measure: FlowMeasure) -> Result<(), Mistake> {
    draft.measures.push((measure, arg.option()));
    Ok(())
}

fn age(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let test = comparison(arg.rule, arg.unquoted(), u32::MAX)?;
    measure(draft, arg, FlowMeasure::Age(test))
}

fn pkts_to_server(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let test = comparison(arg.rule, arg.unquoted(), u32::MAX)?;
    measure(draft, arg, FlowMeasure::Packets(Sides::ToServer, test))
}

fn pkts_to_client(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let test = comparison(arg.rule, arg.unquoted(), u32::MAX)?;
    measure(draft, arg, FlowMeasure::Packets(Sides::ToClient, test))
}

fn bytes_to_server(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let test = comparison64(arg.rule, arg.unquoted())?;
    measure(draft, arg, FlowMeasure::Bytes(Sides::ToServer, test))
}

fn bytes_to_client(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let test = comparison64(arg.rule, arg.unquoted())?;
    measure(draft, arg, FlowMeasure::Bytes(Sides::ToClient, test))
}

/// `side,comparison`, as newer rules write it.
fn side_and_number(arg: &Arg<'_>) -> Result<(Sides, Span), Mistake> {
    let parts = arg.parts();
    let [side, number] = parts.as_slice() else {
        return Err(arg.wrong("a side and a number are needed").help("for example `flow.pkts:toserver,>10;`"));
    };
    let sides = match arg.at(*side) {
        "toserver" => Sides::ToServer,
        "toclient" => Sides::ToClient,
        "both" => Sides::Both,
        "either" => Sides::Either,
        other => {
            return Err(Mistake::new(Code::Value, *side, format!("`{other}` is no side"))
                .help("sides are toserver, toclient, both and either"));
        }
    };
    Ok((sides, *number))
}

fn pkts(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let (sides, number) = side_and_number(arg)?;
    measure(draft, arg, FlowMeasure::Packets(sides, comparison(arg.rule, number, u32::MAX)?))
}

fn bytes(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let (sides, number) = side_and_number(arg)?;
    measure(draft, arg, FlowMeasure::Bytes(sides, comparison64(arg.rule, number)?))
}

fn stream_size(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let parts = arg.parts();
    let [side, operator, number] = parts.as_slice() else {
        return Err(arg.wrong("side, operator and number are needed").help("for example `stream_size:server,<,6;`"));
    };
    let sides = match arg.at(*side) {
        "client" => Sides::ToServer,
        "server" => Sides::ToClient,
        "both" => Sides::Both,
        "either" => Sides::Either,
        other => {
            return Err(Mistake::new(Code::Value, *side, format!("`{other}` is no side"))
                .help("sides are client, server, both and either"));
        }
    };
    let value: i64 = unsigned(arg.at(*number), *number, u32::MAX)?;
    let value = value.unsigned_abs();
    let test = match arg.at(*operator) {
        "=" | "==" => NumberTest::Equal(value),
        "!=" => NumberTest::NotEqual(value),
        "<" => NumberTest::Less(value),
        "<=" => NumberTest::LessOrEqual(value),
        ">" => NumberTest::Greater(value),
        ">=" => NumberTest::GreaterOrEqual(value),
        other => {
            return Err(Mistake::new(Code::Value, *operator, format!("`{other}` is no operator"))
                .help("operators are = != < <= > >="));
        }
    };
    measure(draft, arg, FlowMeasure::StreamSize(sides, test))
}
