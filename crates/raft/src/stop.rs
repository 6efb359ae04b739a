//! Why the node no longer runs. The first reason given stays.

use seedlog_runtime::watch;
use std::fmt;
use std::sync::Arc;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StopReason {
    /// It was asked to.
    Shutdown,
    /// It cannot keep its promises any more: the operation, the file and the error.
    Failed(String),
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StopReason::Shutdown => f.write_str("the node was shut down"),
            StopReason::Failed(reason) => write!(f, "the node has failed: {reason}"),
        }
    }
}

#[derive(Clone)]
pub struct Stop {
    reason: Arc<watch::Sender<Option<StopReason>>>,
}

impl Stop {
    pub fn new() -> Stop {
        Stop { reason: Arc::new(watch::channel(None).0) }
    }

    pub fn fail(&self, reason: impl fmt::Display) {
        if self.set(StopReason::Failed(reason.to_string())) {
            tracing::error!(%reason, "the node takes no more writes");
        }
    }

    pub fn shutdown(&self) {
        self.set(StopReason::Shutdown);
    }

    fn set(&self, reason: StopReason) -> bool {
        self.reason.send_if_modified(|held| {
            let first = held.is_none();
            held.get_or_insert(reason);
            first
        })
    }

    pub fn reason(&self) -> Option<StopReason> {
        self.reason.borrow().clone()
    }

    /// Returns when there is a reason.
    pub async fn stopped(&self) -> StopReason {
        let mut reason = self.reason.subscribe();
        let stopped = reason.wait_for(Option::is_some).await.map(|reason| reason.clone());
        stopped.ok().flatten().expect("self keeps the channel open")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_reason_stays() {
        let stop = Stop::new();
        assert_eq!(stop.reason(), None);
        stop.fail("sync a: gone");
        stop.shutdown();
        assert_eq!(stop.stopped().await, StopReason::Failed("sync a: gone".into()));
    }
}
