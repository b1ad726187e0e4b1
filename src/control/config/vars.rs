//! `vars:` what `$HOME_NET` and its like stand for.

use super::report::Report;
use super::section::{Section, scalar};
use super::tree::{Node, Value};

/// Names and values in the file's order, without the `$`, values as typed. The rule language parses them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vars {
    pub address_groups: Vec<(String, String)>,
    pub port_groups: Vec<(String, String)>,
}

const ADDRESS_GROUPS: [(&str, &str); 16] = [
    ("HOME_NET", "[192.168.0.0/16,10.0.0.0/8,172.16.0.0/12]"),
    ("EXTERNAL_NET", "!$HOME_NET"),
    ("HTTP_SERVERS", "$HOME_NET"),
    ("SMTP_SERVERS", "$HOME_NET"),
    ("SQL_SERVERS", "$HOME_NET"),
    ("DNS_SERVERS", "$HOME_NET"),
    ("TELNET_SERVERS", "$HOME_NET"),
    ("AIM_SERVERS", "$EXTERNAL_NET"),
    ("DC_SERVERS", "$HOME_NET"),
    ("DNP3_SERVER", "$HOME_NET"),
    ("DNP3_CLIENT", "$HOME_NET"),
    ("MODBUS_CLIENT", "$HOME_NET"),
    ("MODBUS_SERVER", "$HOME_NET"),
    ("ENIP_CLIENT", "$HOME_NET"),
    ("ENIP_SERVER", "$HOME_NET"),
    ("SIP_SERVERS", "$HOME_NET"),
];

const PORT_GROUPS: [(&str, &str); 12] = [
    ("HTTP_PORTS", "80"),
    ("SHELLCODE_PORTS", "!80"),
    ("ORACLE_PORTS", "1521"),
    ("SSH_PORTS", "22"),
    ("DNP3_PORTS", "20000"),
    ("MODBUS_PORTS", "502"),
    ("FILE_DATA_PORTS", "[$HTTP_PORTS,110,143]"),
    ("FTP_PORTS", "21"),
    ("GENEVE_PORTS", "6081"),
    ("VXLAN_PORTS", "4789"),
    ("TEREDO_PORTS", "3544"),
    ("SIP_PORTS", "[5060,5061]"),
];

/// What Suricata's own file defines, so that rule sets load without a file.
impl Default for Vars {
    fn default() -> Self {
        Vars { address_groups: owned(&ADDRESS_GROUPS), port_groups: owned(&PORT_GROUPS) }
    }
}

fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

impl Vars {
    /// A group that is typed replaces the default of that name; names that are not typed keep theirs.
    pub(super) fn read(mut section: Section<'_>, report: &mut Report) -> Vars {
        let mut vars = Vars::default();
        for (key, groups) in [("address-groups", &mut vars.address_groups), ("port-groups", &mut vars.port_groups)] {
            report.asked(&section.path_of(key));
            let inner = section.section(key, report);
            for entry in inner.entries() {
                let path = inner.path_of(&entry.key);
                if let Some(value) = group(&entry.value, &path, report) {
                    put(groups, &entry.key, value);
                }
            }
        }
        section.finish(report);
        vars
    }
}

/// As typed; a YAML list is the same as one in brackets.
fn group(node: &Node, path: &str, report: &mut Report) -> Option<String> {
    match &node.value {
        Value::List(items) => {
            let items: Option<Vec<&str>> = items.iter().map(|item| scalar(item, path, report)).collect();
            items.map(|items| format!("[{}]", items.join(",")))
        }
        _ => scalar(node, path, report).map(str::to_owned),
    }
}

fn put(groups: &mut Vec<(String, String)>, name: &str, value: String) {
    match groups.iter_mut().find(|(known, _)| known == name) {
        Some((_, old)) => *old = value,
        None => groups.push((name.to_owned(), value)),
    }
}
