//! The rule language, pure: text in, an immutable rule set out.

pub mod meta;
