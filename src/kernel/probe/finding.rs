//! One answer of the doctor.

use std::fmt::{self, Display, Formatter};

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Ok,
    /// Could not be found out.
    Unknown,
    /// We run, with less.
    Degraded,
    /// We cannot run.
    Missing,
}

impl Display for State {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            State::Ok => "ok",
            State::Unknown => "unknown",
            State::Degraded => "degraded",
            State::Missing => "missing",
        })
    }
}

/// A thing looked at, how it is, what that means for traffic, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// A stable name, as `queue-conntrack`.
    pub name: &'static str,
    pub state: State,
    pub meaning: String,
    pub way_out: Option<String>,
}

impl Finding {
    #[must_use]
    pub fn ok(name: &'static str, meaning: impl Into<String>) -> Finding {
        Finding { name, state: State::Ok, meaning: meaning.into(), way_out: None }
    }

    #[must_use]
    pub fn new(name: &'static str, state: State, meaning: impl Into<String>, way_out: impl Into<String>) -> Finding {
        Finding { name, state, meaning: meaning.into(), way_out: Some(way_out.into()) }
    }
}

impl Display for Finding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:<9} {:<22} {}", self.state, self.name, self.meaning)?;
        match &self.way_out {
            Some(way_out) => write!(f, "\n{:33}-> {way_out}", ""),
            None => Ok(()),
        }
    }
}
