//! Keywords that Suricata knows and the engine does not honour yet, each with its reason.
//!
//! A keyword leaves this file when it is built, and moves to the file of its family.

use super::{Arg, Draft};
use super::{Keyword, Meaning, Need, Value, option};
use crate::rules::error::Mistake;

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

/// What `filemagic` asks is what libmagic would print.
const FILE_KINDS: Need =
    Need::Never("kinds of files are not told apart; ask for the first bytes: `file.data; content:...; startswith`");

/// A hint for the prefilter, which chooses by itself; it changes no match.
fn prefilter(_: &mut Draft<'_>, _: &Arg<'_>) -> Result<(), Mistake> {
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
    refused("entropy", "payload", Value::Required, "options", Need::Datasets, "The entropy of the buffer."),
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
        Need::AppLayer,
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
    refused("filemagic", "file", Value::Required, "[!]\"text\"", FILE_KINDS, "The kind of a file."),
    refused("file.magic", "file", Value::None, "", FILE_KINDS, "The kind of a file, as buffer."),
    refused(
        "tls.store",
        "tls",
        Value::None,
        "",
        Need::Never("certificates are not written to files; EVE `tls` tells what they say"),
        "Stores the certificate.",
    ),
    refused("ssh.protoversion", "ssh", Value::Required, "version", SSH_WORDS, "The protocol version."),
    refused("smb.ntlmssp", "smb", Value::None, "", Need::Smb, "NTLM authentication."),
    refused("modbus", "modbus", Value::Required, "options", Need::Modbus, "A Modbus message."),
    refused("dnp3_func", "dnp3", Value::Required, "function", Need::Dnp3, "The function of a message."),
    refused("dnp3_ind", "dnp3", Value::Required, "flags", Need::Dnp3, "The indications of a message."),
    refused("dnp3_obj", "dnp3", Value::Required, "group,variation", Need::Dnp3, "An object of a message."),
    refused("dnp3_data", "dnp3", Value::None, "", Need::Dnp3, "The data of a message."),
    refused("dnp3.func", "dnp3", Value::Required, "function", Need::Dnp3, "The function of a message."),
    refused("dnp3.ind", "dnp3", Value::Required, "flags", Need::Dnp3, "The indications of a message."),
    refused("dnp3.obj", "dnp3", Value::Required, "group,variation", Need::Dnp3, "An object of a message."),
    refused("dnp3.data", "dnp3", Value::None, "", Need::Dnp3, "The data of a message."),
    refused("enip_command", "enip", Value::Required, "number", Need::Enip, "The command of a message."),
    refused("cip_service", "enip", Value::Required, "numbers", Need::Enip, "The service of a CIP message."),
    refused("nfs_procedure", "nfs", Value::Required, "numbers", Need::Nfs, "The procedure of a call."),
    refused("nfs.version", "nfs", Value::Required, "numbers", Need::Nfs, "The version of a call."),
    refused("rfb.secresult", "rfb", Value::Required, "ok|fail...", Need::Rfb, "The result of the security handshake."),
    refused("rfb.sectype", "rfb", Value::Required, "[op]number", Need::Rfb, "The security type."),
    refused("mqtt.type", "mqtt", Value::Required, "name", Need::Mqtt, "The kind of message."),
    refused("mqtt.flags", "mqtt", Value::Required, "flags", Need::Mqtt, "The flags of a message."),
    refused("mqtt.qos", "mqtt", Value::Required, "number", Need::Mqtt, "The quality of service."),
    refused("mqtt.reason_code", "mqtt", Value::Required, "number", Need::Mqtt, "The reason code."),
    refused(
        "mqtt.connack.session_present",
        "mqtt",
        Value::Required,
        "yes|no",
        Need::Mqtt,
        "Whether a session was present.",
    ),
    refused("mqtt.connect.flags", "mqtt", Value::Required, "flags", Need::Mqtt, "The flags of CONNECT."),
    refused("mqtt.protocol_version", "mqtt", Value::Required, "[op]number", Need::Mqtt, "The version."),
    refused("ike.exchtype", "ike", Value::Required, "[op]number", Need::Ike, "The exchange type."),
    refused(
        "ike.chosen_sa_attribute",
        "ike",
        Value::Required,
        "name=number",
        Need::Ike,
        "An attribute that was chosen.",
    ),
    refused("ike.nonce_payload_length", "ike", Value::Required, "[op]number", Need::Ike, "The length of the nonce."),
    refused(
        "ike.key_exchange_payload_length",
        "ike",
        Value::Required,
        "[op]number",
        Need::Ike,
        "The length of the key exchange.",
    ),
    refused("dhcp.leasetime", "dhcp", Value::Required, "[op]number", Need::Dhcp, "The lease time."),
    refused("dhcp.rebinding_time", "dhcp", Value::Required, "[op]number", Need::Dhcp, "The rebinding time."),
    refused("dhcp.renewal_time", "dhcp", Value::Required, "[op]number", Need::Dhcp, "The renewal time."),
    refused("frame", "app-layer", Value::Required, "name", Need::AppLayer, "A frame of a protocol, as buffer."),
];
