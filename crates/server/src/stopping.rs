//! The one signal that a node is going: streams end on it, listeners stop accepting.

use seedlog_runtime::watch;

/// Set once, seen by every clone, now or later.
#[derive(Clone)]
pub struct Stopping {
    sender: watch::Sender<bool>,
}

impl Default for Stopping {
    fn default() -> Stopping {
        Stopping { sender: watch::channel(false).0 }
    }
}

impl Stopping {
    pub fn set(&self) {
        self.sender.send_if_modified(|set| !std::mem::replace(set, true));
    }

    pub fn is_set(&self) -> bool {
        *self.sender.borrow()
    }

    /// Resolves when set, at once if it already is.
    pub async fn wait(&self) {
        // An error would mean that every sender is gone, and this is one.
        let _ = self.sender.subscribe().wait_for(|set| *set).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_waits_and_whoever_comes_late_both_see_it() {
        let stopping = Stopping::default();
        let early = stopping.clone();
        let mut waiting = Box::pin(async move { early.wait().await });
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        stopping.set();
        assert!(waiting.as_mut().poll(&mut context).is_ready());
        let late = stopping.clone();
        assert!(std::pin::pin!(late.wait()).poll(&mut context).is_ready());
    }
}
