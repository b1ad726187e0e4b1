//! What this kernel can do for us, what it lacks, and what others do that meets us: `tidegate doctor`, and the
//! decisions of `run`.
//!
//! [`KernelFeatures`] is found by trying, in a network namespace of its own that nobody's traffic meets; nothing of it
//! remains. [`findings`] adds what the namespace at hand has: sysctls, capability, owners of our queues, foreign rules.

mod bridges;
mod features;
mod finding;
mod here;

pub use bridges::TwofoldBridge;
pub use features::KernelFeatures;
pub use finding::{Finding, State};
pub use here::Asker;

use super::nft::GateTable;

/// Everything worth knowing before `run` with `table`: the kernel first, then the namespace of the calling thread.
/// `features` are from [`KernelFeatures::probe`], or the default where that failed: then they are told as unknown.
#[must_use]
pub fn findings(features: &KernelFeatures, table: &GateTable, asker: Asker) -> Vec<Finding> {
    let mut findings = features.findings(table);
    findings.extend(here::findings(table, asker));
    findings
}
