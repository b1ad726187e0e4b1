//! What EVE tells of a Kerberos message.

#[derive(Clone, Debug, PartialEq)]
pub struct KrbRecord {
    pub msg_type: String,
    pub account: KrbAccount,
    /// The names of a principal, joined.
    pub cname: Option<String>,
    pub realm: Option<String>,
    pub sname: Option<String>,
    /// By name, and whether it is weak.
    pub encryption: Option<(String, bool)>,
    pub ticket_encryption: Option<(String, bool)>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum KrbAccount {
    Success,
    Failure { request: Option<String>, error_code: String },
}
