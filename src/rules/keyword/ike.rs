//! Keywords about IKE messages.

use super::number::{push_number, unsigned};
use super::{Arg, Draft, Keyword, option};
use crate::rules::app::{AppTest, Field};
use crate::rules::error::{Code, Mistake, Span, nearest};
use crate::rules::lex::trim;

pub(super) static KEYWORDS: &[Keyword] = &[
    option("ike.exchtype", "ike", "[op]number", "The exchange type.", |draft, arg| {
        push_number(draft, arg, Field::IkeExchangeType, &[], 255)
    }),
    option("ike.nonce_payload_length", "ike", "[op]number", "The length of the nonce in bytes.", |draft, arg| {
        push_number(draft, arg, Field::IkeNonceLength, &[], u32::MAX)
    }),
    option(
        "ike.key_exchange_payload_length",
        "ike",
        "[op]number",
        "The length of the key exchange in bytes.",
        |draft, arg| push_number(draft, arg, Field::IkeKeyExchangeLength, &[], u32::MAX),
    ),
    option("ike.chosen_sa_attribute", "ike", "name=number", "What the server has chosen.", chosen),
];

const ATTRIBUTES: &[&str] = &[
    "alg_enc",
    "alg_hash",
    "alg_auth",
    "alg_dh",
    "alg_prf",
    "alg_esn",
    "sa_group_type",
    "sa_life_type",
    "sa_life_duration",
    "sa_key_length",
    "sa_field_size",
];

fn chosen(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let Some(equals) = arg.text().find('=') else { return Err(arg.wrong("the form is alg_hash=2")) };
    let name = trim(arg.rule, Span::new(arg.span.start, arg.span.start + equals));
    let value = trim(arg.rule, Span::new(arg.span.start + equals + 1, arg.span.end));
    let word = arg.at(name);
    let Some(known) = ATTRIBUTES.iter().find(|known| **known == word) else {
        let mistake = Mistake::new(Code::Value, name, format!("`{word}` is no attribute"));
        return Err(match nearest(word, ATTRIBUTES.iter().copied()) {
            Some(near) => mistake.help(format!("did you mean `{near}`?")),
            None => mistake,
        });
    };
    let value = unsigned::<u32>(arg.at(value), value, u32::MAX)?;
    draft.app.push((AppTest::IkeChosen { name: known, value }, arg.option()));
    Ok(())
}
