//! From the messages of `ldap-parser` to what EVE tells of them.

use ldap_parser::filter::{Attribute, Filter as LdapFilter, PartialAttribute};
use ldap_parser::ldap::{AuthenticationChoice, LdapMessage, LdapResult, ProtocolOp};

use super::record::{
    Add, Assertion, Bind, BindOutcome, Body, Change, Compare, Control, Del, Entry, Extended, ExtendedOutcome, Filter,
    Intermediate, Message, ModDn, Modification, Modify, NamedAttribute, Outcome, Sasl, Search, TypedAttribute,
};
use crate::packet::app::message::{Text, hex};
use crate::rules::app::{LDAP_OPERATIONS, LDAP_RESULTS};

/// Attributes, changes, controls, and values of one attribute, that are kept.
const LIST_COUNT_MAX: usize = 32;
/// Bytes of one value that are kept.
const VALUE_BYTES_MAX: usize = 512;

/// `tells_id`: nothing else tells which message it is.
pub fn message(message: &LdapMessage<'_>, tells_id: bool) -> Message {
    let number = message.protocol_op.tag().0;
    let name = LDAP_OPERATIONS.iter().find(|(_, known)| u32::from(*known) == number);
    let controls = message.controls.iter().flatten().take(LIST_COUNT_MAX).map(|control| Control {
        control_type: text(&control.control_type.0),
        criticality: control.criticality,
        control_value: control.control_value.as_deref().map(cut_hex),
    });
    Message {
        message_id: tells_id.then_some(message.message_id.0),
        operation_number: number,
        operation: name.map_or("unknown", |(name, _)| name),
        body: body(&message.protocol_op),
        controls: controls.collect(),
    }
}

fn body(operation: &ProtocolOp<'_>) -> Option<Body> {
    Some(match operation {
        ProtocolOp::SearchRequest(search) => Body::SearchRequest(Search {
            base_object: text(&search.base_object.0),
            scope: search.scope.0,
            deref_alias: search.deref_aliases.0,
            size_limit: search.size_limit,
            time_limit: search.time_limit,
            types_only: search.types_only,
            filter: match &search.filter {
                LdapFilter::Present(attribute) => Some(Filter { r#type: "present", value: text(&attribute.0) }),
                _ => None,
            },
            attributes: search.attributes.iter().take(LIST_COUNT_MAX).map(|name| text(&name.0)).collect(),
        }),
        ProtocolOp::BindRequest(bind) => Body::BindRequest(Bind {
            version: bind.version,
            name: text(&bind.name.0),
            sasl: match &bind.authentication {
                AuthenticationChoice::Sasl(sasl) => Some(Sasl {
                    mechanism: text(&sasl.mechanism.0),
                    credentials: sasl.credentials.as_deref().map(cut_hex),
                }),
                AuthenticationChoice::Simple(_) => None,
            },
        }),
        ProtocolOp::ModifyRequest(modify) => Body::ModifyRequest(Modify {
            object: text(&modify.object.0),
            changes: modify.changes.iter().take(LIST_COUNT_MAX).map(|change| Change {
                operation: ["add", "delete", "replace"].get(change.operation.0 as usize).copied().unwrap_or("unknown"),
                modification: Modification {
                    attribute_type: text(&change.modification.attr_type.0),
                    attribute_values: values(change.modification.attr_vals.iter().map(|value| &*value.0)),
                },
            }).collect(),
        }),
        ProtocolOp::AddRequest(add) => Body::AddRequest(Add {
            entry: text(&add.entry.0),
            attributes: add.attributes.iter().take(LIST_COUNT_MAX).map(named).collect(),
        }),
        ProtocolOp::DelRequest(dn) => Body::DelRequest(Del { dn: text(&dn.0) }),
        ProtocolOp::ModDnRequest(moved) => Body::ModDnRequest(ModDn {
            entry: text(&moved.entry.0),
            new_rdn: text(&moved.newrdn.0),
            delete_old_rdn: moved.deleteoldrdn,
            new_superior: moved.newsuperior.as_ref().map(|dn| text(&dn.0)),
        }),
        ProtocolOp::CompareRequest(compare) => Body::CompareRequest(Compare {
            entry: text(&compare.entry.0),
            attribute_value_assertion: Assertion {
                description: text(&compare.ava.attribute_desc.0),
                value: cut(&compare.ava.assertion_value),
            },
        }),
        ProtocolOp::ExtendedRequest(extended) => Body::ExtendedRequest(Extended {
            name: text(&extended.request_name.0),
            value: extended.request_value.as_deref().map(cut),
        }),
        ProtocolOp::SearchResultEntry(entry) => Body::SearchResultEntry(Entry {
            base_object: text(&entry.object_name.0),
            attributes: entry.attributes.iter().take(LIST_COUNT_MAX).map(typed).collect(),
        }),
        ProtocolOp::SearchResultDone(result) => Body::SearchResultDone(outcome(result)),
        ProtocolOp::BindResponse(bind) => Body::BindResponse(BindOutcome {
            outcome: outcome(&bind.result),
            server_sasl_creds: bind.server_sasl_creds.as_deref().map(cut_hex),
        }),
        ProtocolOp::ModifyResponse(modify) => Body::ModifyResponse(outcome(&modify.result)),
        ProtocolOp::AddResponse(result) => Body::AddResponse(outcome(result)),
        ProtocolOp::DelResponse(result) => Body::DelResponse(outcome(result)),
        ProtocolOp::ModDnResponse(result) => Body::ModDnResponse(outcome(result)),
        ProtocolOp::CompareResponse(result) => Body::CompareResponse(outcome(result)),
        ProtocolOp::ExtendedResponse(extended) => Body::ExtendedResponse(ExtendedOutcome {
            outcome: outcome(&extended.result),
            name: extended.response_name.as_ref().map(|name| text(&name.0)),
            value: extended.response_value.as_deref().map(cut),
        }),
        ProtocolOp::IntermediateResponse(between) => Body::IntermediateResponse(Intermediate {
            name: between.response_name.as_ref().map(|name| text(&name.0)),
            value: between.response_value.as_deref().map(cut),
        }),
        ProtocolOp::UnbindRequest | ProtocolOp::AbandonRequest(_) | ProtocolOp::SearchResultReference(_) => return None,
    })
}

fn named(attribute: &Attribute<'_>) -> NamedAttribute {
    let values = values(attribute.attr_vals.iter().map(|value| &*value.0));
    NamedAttribute { name: text(&attribute.attr_type.0), values }
}

fn typed(attribute: &PartialAttribute<'_>) -> TypedAttribute {
    let values = values(attribute.attr_vals.iter().map(|value| &*value.0));
    TypedAttribute { r#type: text(&attribute.attr_type.0), values }
}

fn outcome(result: &LdapResult<'_>) -> Outcome {
    let code = result.result_code.0;
    let name = LDAP_RESULTS.iter().find(|(_, known)| u32::from(*known) == code);
    Outcome {
        code,
        result_code: name.map_or_else(|| format!("unknown({code})"), |(name, _)| (*name).to_owned()),
        matched_dn: text(&result.matched_dn.0),
        message: text(&result.diagnostic_message.0),
    }
}

fn values<'v>(values: impl Iterator<Item = &'v [u8]>) -> Vec<Text> {
    values.take(LIST_COUNT_MAX).map(cut).collect()
}

fn text(text: &str) -> Text {
    cut(text.as_bytes())
}

fn cut(bytes: &[u8]) -> Text {
    Text::from(bytes.get(..VALUE_BYTES_MAX).unwrap_or(bytes))
}

fn cut_hex(bytes: &[u8]) -> String {
    hex(bytes.get(..VALUE_BYTES_MAX).unwrap_or(bytes))
}
