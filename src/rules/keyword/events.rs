//! `app-layer-event`: the oddities that parsers name, protocol by protocol.

use super::{Arg, Draft, Keyword, option};
use crate::rules::app::AppTest;
use crate::rules::error::{Code, Mistake, nearest};

pub(super) static KEYWORDS: &[Keyword] = &[option(
    "app-layer-event",
    "event",
    "protocol.name",
    "The parser has seen this oddity in the transaction.",
    app_layer_event,
)];

/// Every event that a parser raises, by its full name. One table a protocol.
pub static EVENTS: &[&[&str]] = &[DNS, SMB, SMTP];

/// Other names, from other versions of Suricata, with ours.
const ALIASES: &[(&str, &str)] =
    &[("dns.not_a_request", "dns.not_request"), ("dns.not_a_response", "dns.not_response")];

const DNS: &[&str] = &[
    "dns.malformed_data",
    "dns.not_request",
    "dns.not_response",
    "dns.z_flag_set",
    "dns.invalid_opcode",
    "dns.name_too_long",
    "dns.infinite_loop",
    "dns.too_many_labels",
    "dns.invalid_authorities",
    "dns.invalid_additionals",
];

const SMB: &[&str] = &[
    "smb.malformed_data",
    "smb.malformed_ntlmssp_request",
    "smb.negotiate_malformed_dialects",
    "smb.file_overlap",
    "smb.request_to_client",
    "smb.response_to_server",
    "smb.read_request_too_large",
    "smb.read_response_too_large",
    "smb.write_request_too_large",
];

const SMTP: &[&str] = &[
    "smtp.invalid_reply",
    "smtp.unable_to_match_reply_with_request",
    "smtp.max_command_line_len_exceeded",
    "smtp.max_reply_line_len_exceeded",
    "smtp.invalid_pipelined_sequence",
    "smtp.bdat_chunk_len_exceeded",
    "smtp.no_server_welcome_message",
    "smtp.tls_rejected",
    "smtp.data_command_rejected",
    "smtp.mime_parse_failed",
    "smtp.mime_malformed_msg",
    "smtp.mime_invalid_base64",
    "smtp.mime_invalid_qp",
    "smtp.mime_long_line",
    "smtp.mime_long_enc_line",
    "smtp.mime_long_header_name",
    "smtp.mime_long_header_value",
    "smtp.mime_long_boundary",
    "smtp.duplicate_fields",
    "smtp.unparsable_content",
    "smtp.truncated_line",
];

fn app_layer_event(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let name = arg.text().to_ascii_lowercase();
    let name = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name.as_str(), |(_, ours)| ours);
    let known = || EVENTS.iter().copied().flatten().copied();
    let Some(event) = known().find(|known| *known == name) else {
        let mistake = Mistake::new(Code::Value, arg.span, "no parser raises this event");
        return Err(match nearest(name, known()) {
            Some(near) => mistake.help(format!("did you mean `{near}`?")),
            None => mistake.help("events are written `protocol.name`, such as `dns.malformed_data`"),
        });
    };
    draft.app.push((AppTest::Event(event), arg.option()));
    Ok(())
}
