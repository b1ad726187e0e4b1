//! Events out. Workers hand over plain data and go on; one writer thread gives it its form and writes it.
//!
//! ```text
//!  workers --Event--> bounded channel --> writer thread --> eve: one JSON object a line --> file or socket
//!            (full: shed and counted)               \-----> fast: one line an alert    --> file or socket
//! ```
//!
//! Nothing here can hold up a verdict: [`sink::Sink`] sheds when the writer is behind, and a full disk costs records,
//! never packets. Both are counted.

pub mod eve;
mod file_store;
pub mod sink;
pub mod spec;

mod community_id;
mod destination;
mod fast;
mod text;
