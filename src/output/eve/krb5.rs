//! The object `krb5`: an answer, or an error with what it is about.

use serde::Serialize;

use super::app::EveObject;
use crate::packet::app::protocols::krb5::record::{KrbAccount, KrbRecord};

#[derive(Serialize)]
pub struct KrbObject {
    msg_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed_request: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<String>,
    cname: String,
    realm: String,
    sname: String,
    encryption: String,
    weak_encryption: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket_encryption: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket_weak_encryption: Option<bool>,
}

impl EveObject for KrbRecord {
    type Object = KrbObject;

    fn object(record: &KrbRecord) -> KrbObject {
        let or_empty = |text: &Option<String>| text.clone().unwrap_or_else(|| "<empty>".to_owned());
        let (failed_request, error_code) = match &record.account {
            KrbAccount::Success => (None, None),
            KrbAccount::Failure { request, error_code } => {
                (Some(request.clone().unwrap_or_else(|| "UNKNOWN".to_owned())), Some(error_code.clone()))
            }
        };
        let (encryption, weak_encryption) = record.encryption.clone().unwrap_or_else(|| ("<none>".to_owned(), false));
        let (ticket_encryption, ticket_weak_encryption) = record.ticket_encryption.clone().unzip();
        KrbObject {
            msg_type: record.msg_type.clone(),
            failed_request,
            error_code,
            cname: or_empty(&record.cname),
            realm: or_empty(&record.realm),
            sname: or_empty(&record.sname),
            encryption,
            weak_encryption,
            ticket_encryption,
            ticket_weak_encryption,
        }
    }
}
