//! Ctrl-C and its like: asked for between steps, so that everything is taken down in order.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::error::LabError;

/// Whether the user wants the lab to end.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// From now on the signals set a flag and nothing else.
    pub fn install() -> io::Result<Interrupt> {
        let interrupt = Interrupt::default();
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&interrupt.0))?;
        }
        Ok(interrupt)
    }

    pub fn check(&self) -> Result<(), LabError> {
        if self.0.load(Ordering::Relaxed) { Err(LabError::Interrupted) } else { Ok(()) }
    }

    /// Asks every few milliseconds until there is an answer. `None` when `patience` is over.
    pub fn wait_for<T>(
        &self,
        patience: Duration,
        mut answer: impl FnMut() -> Result<Option<T>, LabError>,
    ) -> Result<Option<T>, LabError> {
        let deadline = Instant::now().checked_add(patience);
        loop {
            self.check()?;
            if let Some(answer) = answer()? {
                return Ok(Some(answer));
            }
            if deadline.is_none_or(|deadline| Instant::now() >= deadline) {
                return Ok(None);
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}
