//! `nfs_procedure` and `nfs_version`: what is called.

use super::number::push_number;
use super::{Keyword, option};
use crate::rules::app::Field;

pub(super) static KEYWORDS: &[Keyword] = &[
    option("nfs_procedure", "nfs", "[op]number", "The procedure of a call; in version 4 an operation.", |draft, arg| {
        push_number(draft, arg, Field::NfsProcedure, &[], u32::MAX)
    })
    .aliased(&["nfs.procedure"]),
    option("nfs_version", "nfs", "[op]number", "The version of a call.", |draft, arg| {
        push_number(draft, arg, Field::NfsVersion, &[], u32::MAX)
    })
    .aliased(&["nfs.version"]),
];
