//! The object `metadata` of an alert: what the rule's expressions have captured.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::packet::event::CapturedVariables;

/// Each variable is an object of its own, as Suricata writes it.
#[derive(Serialize)]
pub struct VariablesObject<'e> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    flowvars: Vec<BTreeMap<&'e str, String>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pktvars: Vec<BTreeMap<&'e str, String>>,
}

impl<'e> VariablesObject<'e> {
    /// `None` if nothing was captured.
    pub fn of(variables: &'e CapturedVariables) -> Option<VariablesObject<'e>> {
        let written = |list: &'e [crate::packet::event::Variable]| {
            list.iter().map(|variable| BTreeMap::from([(&*variable.name, readable(&variable.value))])).collect()
        };
        (!variables.is_empty())
            .then(|| VariablesObject { flowvars: written(&variables.flow), pktvars: written(&variables.packet) })
    }
}

/// Printable ASCII as it is, other bytes as `\xNN`: as Suricata prints raw bytes.
fn readable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii_graphic() || *byte == b' ' {
            text.push(char::from(*byte));
        } else {
            text.push_str(&format!("\\x{byte:02X}"));
        }
    }
    text
}
