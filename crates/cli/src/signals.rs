//! Ctrl-C, and being asked to end.

use crate::failure::Failure;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGINT and SIGTERM.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// From here on a signal is a wish to stop, and ends nothing by itself.
    pub fn install() -> Result<Signals, Failure> {
        let install = |kind| signal(kind).map_err(|error| Failure::Signals { error });
        Ok(Signals { interrupt: install(SignalKind::interrupt())?, terminate: install(SignalKind::terminate())? })
    }

    pub async fn next(&mut self) {
        seedlog_runtime::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
