//! The rule language, pure: text in, an immutable rule set out.
//!
//! ```text
//!  lex      files -> rule texts (continued lines joined, places kept)
//!  parse    text -> RuleAst: header fields and options, with spans
//!  keyword  each option -> the draft of the rule; every keyword is declared once
//!  compile  draft -> plan: chains of tests, the literal for the prefilter, the order of judgement
//!  ruleset  plans -> groups by protocol and direction, shared by all threads
//! ```
//!
//! The language is Suricata's. A rule that cannot be honoured whole is refused with a code, its place and the way out;
//! it is never half-honoured.

pub mod error;

pub mod lex;

pub mod block;

pub mod parse;

pub mod vars;

pub mod app;
pub mod config;

pub mod thresholds;

pub mod dataset;

pub mod reputation;

pub mod events;

pub mod industrial;
pub mod keyword;
pub mod ldap;

pub mod plan;

pub mod compile;

pub mod alphabet;

pub mod needle;

pub mod literal;

pub mod lens;
pub mod magic;

pub mod prefilter;

pub mod common;
pub mod common_sets;

mod begins;

mod windows;

pub mod heads;

pub mod addresses;

pub mod ruleset;

pub mod sieve;
mod sieve_list;

pub mod odd;

pub mod meta;

#[cfg(test)]
mod tests;

pub use compile::{Compiled, Context, Options, Rejected, compile};
pub use config::{Classifications, References, Source};
pub use error::{Code, Diagnostic, Severity};
pub use ruleset::RuleSet;
pub use thresholds::Thresholds;
pub use vars::Vars;
