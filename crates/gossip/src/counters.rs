use std::sync::atomic::{AtomicU64, Ordering};

/// Since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    pub sent: u64,
    pub received: u64,
    /// Datagrams of another version of this protocol, or of another program.
    pub foreign: u64,
    /// Datagrams that begin like ours and make no sense.
    pub garbage: u64,
    /// The operating system did not take them.
    pub send_failed: u64,
    /// How often this node had to go above what was known of it, or was taken for dead.
    pub renewed: u64,
    /// How often this node was away for so long that it gave everyone more time.
    pub stalled: u64,
}

#[derive(Debug, Default)]
pub struct Counting {
    pub sent: Count,
    pub received: Count,
    pub foreign: Count,
    pub garbage: Count,
    pub send_failed: Count,
    pub renewed: Count,
    pub stalled: Count,
}

#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    pub fn up(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counting {
    pub fn read(&self) -> Counters {
        Counters {
            sent: self.sent.get(),
            received: self.received.get(),
            foreign: self.foreign.get(),
            garbage: self.garbage.get(),
            send_failed: self.send_failed.get(),
            renewed: self.renewed.get(),
            stalled: self.stalled.get(),
        }
    }
}
