//! Room in memory for what a leader sends: a follower whose disk is slow takes in no more than it has room for.

use crate::space::Promised;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of entries taken in and not answered yet, together.
const BYTES_MAX: usize = 16 << 20;

/// In memory, and on the disk.
type Taken = (OwnedSemaphorePermit, Option<Promised>);

/// For requests that are answered in turn.
#[derive(Clone)]
pub struct Room {
    free: Arc<Semaphore>,
    taken: Arc<Mutex<VecDeque<Taken>>>,
}

impl Room {
    pub fn new() -> Room {
        Room { free: Arc::new(Semaphore::new(BYTES_MAX)), taken: Arc::default() }
    }

    /// Returns when there is room; a request larger than all of it waits to be alone. `promised` is its room on the
    /// disk, kept until it is answered.
    pub async fn take(&self, bytes: usize, promised: Option<Promised>) {
        let permits = self.free.clone().acquire_many_owned(bytes.clamp(1, BYTES_MAX) as u32).await;
        let permits = permits.expect("it is never closed");
        self.taken.lock().expect("no holder panics").push_back((permits, promised));
    }

    /// The first of those taken in has its answer.
    pub fn give_back(&self) {
        self.taken.lock().expect("no holder panics").pop_front();
    }
}
