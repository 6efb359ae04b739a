//! How far the log is applied on this node: what is readable here, and whom an advance wakes.

use seedlog_log::{Checkpoint, EntryId, Fence, Retention};
use seedlog_runtime::watch;
use std::sync::Arc;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Applied {
    pub last: Option<EntryId>,
    /// Records from here on ..
    pub first_offset: u64,
    /// .. up to, not including, here.
    pub next_offset: u64,
    /// Append time of the last entry, milliseconds since 1970.
    pub time_ms: u64,
    pub fence: Fence,
    pub retention: Retention,
    /// How many producers are remembered.
    pub producers: usize,
}

impl From<&Checkpoint> for Applied {
    fn from(checkpoint: &Checkpoint) -> Applied {
        let state = &checkpoint.state;
        Applied {
            last: checkpoint.last,
            first_offset: state.first_offset,
            next_offset: state.next_offset,
            time_ms: state.time_ms,
            fence: state.fence,
            retention: state.retention,
            producers: state.producers.len(),
        }
    }
}

/// The fold publishes here, once per applied stretch; everybody else watches.
#[derive(Clone)]
pub struct Progress {
    sender: Arc<watch::Sender<Applied>>,
}

impl Progress {
    pub fn new(applied: Applied) -> Progress {
        Progress { sender: Arc::new(watch::channel(applied).0) }
    }

    pub fn publish(&self, applied: Applied) {
        self.sender.send(applied);
    }

    pub fn now(&self) -> Applied {
        *self.sender.borrow()
    }

    /// Returns the first value, the current one included, for which `want` says yes.
    pub async fn wait_for(&self, mut want: impl FnMut(&Applied) -> bool) -> Applied {
        let mut applied = self.sender.subscribe();
        let found = applied.wait_for(|applied| want(applied)).await.map(|applied| *applied);
        found.expect("self keeps the channel open")
    }
}
