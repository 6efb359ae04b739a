//! One value, many who wait for it to change. Like `tokio::sync::watch`, except that those who wait
//! are woken in the order in which they came: tokio spreads them over random lists, and a simulated
//! run would not repeat.

use std::fmt;
use std::ops::Deref;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use tokio::sync::Notify;

pub fn channel<T>(value: T) -> (Sender<T>, Receiver<T>) {
    let slot = Slot { value, version: 0, closed: false };
    let shared = Arc::new(Shared { slot: RwLock::new(slot), changed: Notify::new(), senders: AtomicUsize::new(1) });
    (Sender { shared: shared.clone() }, Receiver { shared, seen: 0 })
}

struct Shared<T> {
    slot: RwLock<Slot<T>>,
    changed: Notify,
    senders: AtomicUsize,
}

struct Slot<T> {
    value: T,
    /// Counts changes; a receiver remembers the one it saw.
    version: u64,
    /// The last sender is gone: this value is the last.
    closed: bool,
}

impl<T> Shared<T> {
    fn read(&self) -> RwLockReadGuard<'_, Slot<T>> {
        self.slot.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, change: impl FnOnce(&mut Slot<T>) -> bool) -> bool {
        let changed = change(&mut self.slot.write().unwrap_or_else(PoisonError::into_inner));
        if changed {
            self.changed.notify_waiters();
        }
        changed
    }
}

/// The value, locked for reading while this lives: look and let go.
pub struct Ref<'a, T> {
    slot: RwLockReadGuard<'a, Slot<T>>,
}

impl<T> Deref for Ref<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.slot.value
    }
}

impl<T: fmt::Debug> fmt::Debug for Ref<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// Every sender is gone and its last value was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the watched value will not change any more")]
pub struct Closed;

pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Replaces the value, whether or not anyone looks.
    pub fn send(&self, value: T) {
        self.send_modify(|held| *held = value);
    }

    pub fn send_modify(&self, modify: impl FnOnce(&mut T)) {
        self.send_if_modified(|value| {
            modify(value);
            true
        });
    }

    /// Wakes only if `modify` says that it changed the value. Returns what it said.
    pub fn send_if_modified(&self, modify: impl FnOnce(&mut T) -> bool) -> bool {
        self.shared.write(|slot| {
            let modified = modify(&mut slot.value);
            slot.version += u64::from(modified);
            modified
        })
    }

    pub fn borrow(&self) -> Ref<'_, T> {
        Ref { slot: self.shared.read() }
    }

    /// A receiver that has seen the current value.
    pub fn subscribe(&self) -> Receiver<T> {
        let seen = self.shared.read().version;
        Receiver { shared: self.shared.clone(), seen }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.senders.fetch_add(1, Ordering::Relaxed);
        Sender { shared: self.shared.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if self.shared.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.shared.write(|slot| {
                slot.closed = true;
                true
            });
        }
    }
}

pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    seen: u64,
}

impl<T> Receiver<T> {
    /// The value; a change not yet seen stays unseen.
    pub fn borrow(&self) -> Ref<'_, T> {
        Ref { slot: self.shared.read() }
    }

    pub fn borrow_and_update(&mut self) -> Ref<'_, T> {
        let slot = self.shared.read();
        self.seen = slot.version;
        Ref { slot }
    }

    pub fn has_changed(&self) -> bool {
        self.shared.read().version != self.seen
    }

    /// Returns when there is a value not seen yet, and marks it seen. May be dropped and called again.
    pub async fn changed(&mut self) -> Result<(), Closed> {
        loop {
            let mut notified = pin!(self.shared.changed.notified());
            // In the queue before the look: a change in between would be missed otherwise.
            notified.as_mut().enable();
            {
                let slot = self.shared.read();
                if slot.version != self.seen {
                    self.seen = slot.version;
                    return Ok(());
                }
                if slot.closed {
                    return Err(Closed);
                }
            }
            notified.await;
        }
    }

    /// Returns the first value, the current one included, for which `want` says yes.
    pub async fn wait_for(&mut self, mut want: impl FnMut(&T) -> bool) -> Result<Ref<'_, T>, Closed> {
        loop {
            let wanted = {
                let slot = self.shared.read();
                self.seen = slot.version;
                want(&slot.value)
            };
            if wanted {
                return Ok(self.borrow());
            }
            self.changed().await?;
        }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Receiver { shared: self.shared.clone(), seen: self.seen }
    }
}

impl<T: fmt::Debug> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sender").field(&self.borrow()).finish()
    }
}

impl<T: fmt::Debug> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Receiver").field(&self.borrow()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::task::noop_waker_ref;
    use std::future::Future;
    use std::sync::Mutex;
    use std::task::{Context, Poll, Wake, Waker};

    #[tokio::test]
    async fn a_change_made_before_the_wait_is_seen() {
        let (sender, mut receiver) = channel(0);
        sender.send(1);
        assert!(receiver.has_changed());
        assert_eq!(receiver.changed().await, Ok(()));
        assert_eq!(*receiver.borrow(), 1);
        assert!(!receiver.has_changed());
    }

    #[tokio::test]
    async fn the_last_value_is_seen_before_the_end() {
        let (sender, mut receiver) = channel(0);
        let second = sender.clone();
        drop(sender);
        second.send(1);
        drop(second);
        assert_eq!(receiver.changed().await, Ok(()));
        assert_eq!(receiver.changed().await, Err(Closed));
        assert_eq!(receiver.wait_for(|value| *value == 1).await.map(|value| *value), Ok(1));
        assert_eq!(receiver.wait_for(|value| *value == 2).await.map(|value| *value), Err(Closed));
    }

    #[tokio::test]
    async fn who_modifies_nothing_wakes_nobody() {
        let (sender, mut receiver) = channel(0);
        assert!(!sender.send_if_modified(|_| false));
        let mut changed = pin!(receiver.changed());
        assert_eq!(changed.as_mut().poll(&mut Context::from_waker(noop_waker_ref())), Poll::Pending);
        assert!(sender.send_if_modified(|value| {
            *value = 5;
            true
        }));
        assert_eq!(changed.await, Ok(()));
    }

    #[test]
    fn waiters_wake_in_the_order_in_which_they_came() {
        struct Bell {
            number: usize,
            rung: Arc<Mutex<Vec<usize>>>,
        }
        impl Wake for Bell {
            fn wake(self: Arc<Self>) {
                self.rung.lock().unwrap().push(self.number);
            }
        }
        const WAITERS: usize = 50;
        let (sender, receiver) = channel(());
        let rung = Arc::new(Mutex::new(Vec::new()));
        let mut receivers: Vec<_> = (0..WAITERS).map(|_| receiver.clone()).collect();
        let mut waits: Vec<_> = receivers.iter_mut().map(|receiver| Box::pin(receiver.changed())).collect();
        for (number, wait) in waits.iter_mut().enumerate() {
            let waker = Waker::from(Arc::new(Bell { number, rung: rung.clone() }));
            assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        sender.send(());
        assert_eq!(*rung.lock().unwrap(), (0..WAITERS).collect::<Vec<_>>());
    }
}
