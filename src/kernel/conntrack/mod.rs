//! Connection tracking over ctnetlink: what the kernel's table says, as [`crate::packet::conntrack`] has it.
//!
//! [`attributes`] reads and writes one entry, [`requests`] asks about and changes entries, [`expectations`] lists what helpers expect, [`listener`] hears of their
//! birth and death, [`destroy`] judges what a death means for what we hold, [`mirror`] stands in for `NFQA_CT` on
//! kernels that do not attach the entry to the packet, [`sysctl`] turns on what all of it needs.

pub mod attributes;
pub mod cta;
pub mod destroy;
pub mod error;
pub mod expectations;
pub mod listener;
pub mod mirror;
pub mod requests;
pub mod sysctl;

pub use error::ConntrackError;
pub use expectations::Expectation;
pub use listener::{Event, Listener, ListenerOptions};
pub use mirror::{Mirror, MirrorOptions, Sweep};
pub use requests::{ConntrackSocket, DumpSummary, EntryUpdate, Outcome};
pub use sysctl::{Sysctl, SysctlReport};
