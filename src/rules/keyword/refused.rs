//! Keywords that Suricata knows and the engine does not honour yet, each with its reason.
//!
//! A keyword leaves this file when it is built, and moves to the file of its family.

use super::{Arg, Draft};
use super::{Keyword, Meaning, Need, Value, option};
use crate::rules::app::AppTest;
use crate::rules::error::{Mistake, Span};

const fn refused(
    name: &'static str,
    family: &'static str,
    value: Value,
    arguments: &'static str,
    need: Need,
    doc: &'static str,
) -> Keyword {
    Keyword { name, aliases: &[], family, arguments, doc, value, meaning: Meaning::Nothing, need: Some(need) }
}

/// A hint for the prefilter, which chooses by itself. It changes no match but that of `app-layer-protocol` before it,
/// which it ties to the packet that told the protocol.
fn prefilter(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let follows = |span: Span| arg.rule.get(span.end..arg.name.start).is_some_and(|between| between.trim() == ";");
    if let Some((AppTest::Protocol { when_found, .. }, span)) = draft.app.last_mut()
        && follows(*span)
    {
        *when_found = true;
    }
    Ok(())
}

/// What stands in place of an old keyword.
const SSH_WORDS: Need = Need::Never("ask `ssh.proto` with a content");

pub(super) static KEYWORDS: &[Keyword] = &[
    option("prefilter", "prefilter", "", "Accepted: the prefilter is chosen without it.", prefilter),
    refused(
        "replace",
        "payload",
        Value::Required,
        "\"bytes\"",
        Need::Never("packets are passed or dropped, never rewritten"),
        "Other bytes for the content before.",
    ),
    refused("lua", "payload", Value::Required, "file", Need::Never("rules run no scripts"), "A script decides."),
    refused("luajit", "payload", Value::Required, "file", Need::Never("rules run no scripts"), "A script decides."),
    refused("entropy", "payload", Value::Required, "options", Need::Never("entropy is not computed"), "The entropy of the buffer."),
    refused(
        "geoip",
        "ip",
        Value::Required,
        "side,country",
        Need::Never("there is no country database"),
        "The country of an address.",
    ),
    refused(
        "app-layer-state",
        "app-layer",
        Value::Required,
        "[op]state",
        Need::Never("rules do not ask how far a transaction is"),
        "How far the transaction is.",
    ),
    refused(
        "config",
        "config",
        Value::Required,
        "logging disable, type tx...",
        Need::Never("rules do not change the configuration"),
        "Changes the configuration for a transaction.",
    ),
    refused(
        "tls.store",
        "tls",
        Value::None,
        "",
        Need::Never("certificates are not written to files; EVE `tls` tells what they say"),
        "Stores the certificate.",
    ),
    refused("ssh.protoversion", "ssh", Value::Required, "version", SSH_WORDS, "The protocol version."),
    refused("smb.ntlmssp", "smb", Value::None, "", Need::Never("ask `smb.ntlmssp_user` or `smb.ntlmssp_domain`"), "NTLM authentication."),
];
