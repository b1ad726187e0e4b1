//! What EVE tells of an LDAP request with its responses, and what rules ask of them.

use serde::Serialize;

use crate::packet::app::message::Text;

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LdapRecord {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<Message>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub responses: Vec<Message>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Message {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<u32>,
    /// The operation's number in the protocol, and its name.
    #[serde(skip)]
    pub operation_number: u32,
    pub operation: &'static str,
    #[serde(flatten)]
    pub body: Option<Body>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub controls: Vec<Control>,
}

/// What an operation says. Its name in EVE is the variant's.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    SearchRequest(Search),
    BindRequest(Bind),
    ModifyRequest(Modify),
    AddRequest(Add),
    DelRequest(Del),
    ModDnRequest(ModDn),
    CompareRequest(Compare),
    ExtendedRequest(Extended),
    SearchResultEntry(Entry),
    SearchResultDone(Outcome),
    BindResponse(BindOutcome),
    ModifyResponse(Outcome),
    AddResponse(Outcome),
    DelResponse(Outcome),
    ModDnResponse(Outcome),
    CompareResponse(Outcome),
    ExtendedResponse(ExtendedOutcome),
    IntermediateResponse(Intermediate),
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Search {
    pub base_object: Text,
    pub scope: u32,
    pub deref_alias: u32,
    pub size_limit: u32,
    pub time_limit: u32,
    pub types_only: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<Filter>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<Text>,
}

/// The only filter that is told: an attribute is there.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Filter {
    pub r#type: &'static str,
    pub value: Text,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bind {
    pub version: u8,
    pub name: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sasl: Option<Sasl>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sasl {
    pub mechanism: Text,
    /// Hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Modify {
    pub object: Text,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    pub operation: &'static str,
    pub modification: Modification,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Modification {
    pub attribute_type: Text,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attribute_values: Vec<Text>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Add {
    pub entry: Text,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<NamedAttribute>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NamedAttribute {
    pub name: Text,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<Text>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Del {
    pub dn: Text,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModDn {
    pub entry: Text,
    pub new_rdn: Text,
    pub delete_old_rdn: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_superior: Option<Text>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compare {
    pub entry: Text,
    pub attribute_value_assertion: Assertion,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Assertion {
    pub description: Text,
    pub value: Text,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Extended {
    pub name: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Text>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    pub base_object: Text,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<TypedAttribute>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TypedAttribute {
    pub r#type: Text,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<Text>,
}

/// How it went.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    #[serde(skip)]
    pub code: u32,
    pub result_code: String,
    pub matched_dn: Text,
    pub message: Text,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BindOutcome {
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_sasl_creds: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExtendedOutcome {
    #[serde(flatten)]
    pub outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Text>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Intermediate {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Text>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Control {
    pub control_type: Text,
    pub criticality: bool,
    /// Hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control_value: Option<String>,
}

impl Message {
    #[must_use]
    pub fn outcome(&self) -> Option<&Outcome> {
        match self.body.as_ref()? {
            Body::SearchResultDone(outcome)
            | Body::ModifyResponse(outcome)
            | Body::AddResponse(outcome)
            | Body::DelResponse(outcome)
            | Body::ModDnResponse(outcome)
            | Body::CompareResponse(outcome) => Some(outcome),
            Body::BindResponse(bind) => Some(&bind.outcome),
            Body::ExtendedResponse(extended) => Some(&extended.outcome),
            _ => None,
        }
    }

    /// The distinguished name that the operation is about, or that its response names.
    #[must_use]
    pub fn dn(&self) -> Option<&[u8]> {
        let text = match self.body.as_ref()? {
            Body::SearchRequest(search) => &search.base_object,
            Body::BindRequest(bind) => &bind.name,
            Body::ModifyRequest(modify) => &modify.object,
            Body::AddRequest(add) => &add.entry,
            Body::DelRequest(del) => &del.dn,
            Body::ModDnRequest(moved) => &moved.entry,
            Body::CompareRequest(compare) => &compare.entry,
            Body::SearchResultEntry(entry) => &entry.base_object,
            _ => &self.outcome()?.matched_dn,
        };
        Some(&text.0)
    }

    /// The types of attributes that it names.
    #[must_use]
    pub fn attribute_type(&self, nth: usize) -> Option<&[u8]> {
        let text = match self.body.as_ref()? {
            Body::SearchRequest(search) => search.attributes.get(nth)?,
            Body::ModifyRequest(modify) => &modify.changes.get(nth)?.modification.attribute_type,
            Body::AddRequest(add) => &add.attributes.get(nth)?.name,
            Body::CompareRequest(compare) if nth == 0 => &compare.attribute_value_assertion.description,
            Body::SearchResultEntry(entry) => &entry.attributes.get(nth)?.r#type,
            _ => return None,
        };
        Some(&text.0)
    }
}
