//! `smb.version`: SMB1, or SMB2 with SMB3.

use super::number::comparison;
use super::{Arg, Draft, Keyword, option};
use crate::rules::app::{AppTest, Field};
use crate::rules::error::Mistake;

pub(super) static KEYWORDS: &[Keyword] =
    &[option("smb.version", "smb", "1|2", "The version of SMB; SMB3 counts as 2.", version)];

fn version(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let test = comparison(arg.rule, arg.span, 255)?;
    draft.app.push((AppTest::Number { field: Field::SmbVersion, test }, arg.option()));
    Ok(())
}
