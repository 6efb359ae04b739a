//! The scrub: the whole log is read again and again, slowly, so that damage is found while others still have what was
//! lost, and not when it is needed.
//!
//! What it reads comes out of the page cache where that has it: it sees what a reader would be given.

use crate::node::Node;
use crate::stop::StopReason;
use seedlog_log::{Scrub, Scrubbed};
use seedlog_runtime::{blocking, clock, select};
use std::time::Duration;

/// Read at once.
const STEP_BYTES: usize = 256 << 10;

/// How far a scrub is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scrubbing {
    /// Of stores, that were read and are what was written.
    pub bytes: u64,
    /// Segments of which something was not.
    pub damaged: u64,
    /// Of them, those that are whole again.
    pub healed: u64,
}

/// Until the node stops.
pub async fn follow(node: Node) {
    let rate = node.config().scrub_bytes_per_s;
    if rate == 0 {
        return;
    }
    loop {
        if pass(&node, rate).await.is_err() {
            return;
        }
        select! {
            _ = node.stopped() => return,
            () = clock::sleep(node.config().scrub_pause) => {}
        }
    }
}

/// Nobody waits for what it finds: that is healed meanwhile.
async fn pass(node: &Node, rate: u64) -> Result<(), StopReason> {
    let mut scrub = Scrub::new(node.keeper().clone());
    loop {
        match step(node, &mut scrub).await? {
            Scrubbed::End => return Ok(()),
            Scrubbed::Unsound { index } => {
                tracing::warn!(index, "the scrub found damage in the segment of this entry");
                node.store().healer().tell(index);
            }
            Scrubbed::Sound { bytes } => {
                select! {
                    reason = node.stopped() => return Err(reason),
                    () = clock::sleep(Duration::from_secs_f64(bytes as f64 / rate as f64)) => {}
                }
            }
        }
    }
}

async fn step(node: &Node, scrub: &mut Scrub) -> Result<Scrubbed, StopReason> {
    if let Some(reason) = node.stop_reason() {
        return Err(reason);
    }
    let mut taken = std::mem::replace(scrub, Scrub::new(node.keeper().clone()));
    let (back, scrubbed) = blocking(move || {
        let scrubbed = taken.step(STEP_BYTES);
        (taken, scrubbed)
    })
    .await;
    *scrub = back;
    node.tally().scrubbed(&scrubbed);
    Ok(scrubbed)
}

impl Node {
    /// Reads the whole log once, as fast as it goes, and waits for what it finds to be put right. `told` hears of each
    /// step. Returns what stays damaged, and why.
    ///
    /// # Errors
    /// If the node stops.
    pub async fn scrub(&self, mut told: impl FnMut(Scrubbing)) -> Result<(Scrubbing, Vec<String>), StopReason> {
        let mut scrub = Scrub::new(self.keeper().clone());
        let (mut seen, mut found, mut lost) = (Scrubbing::default(), Vec::new(), Vec::new());
        loop {
            match step(self, &mut scrub).await? {
                Scrubbed::End => break,
                Scrubbed::Sound { bytes } => seen.bytes += bytes,
                Scrubbed::Unsound { index } => {
                    tracing::warn!(index, "a scrub that was asked for found damage in the segment of this entry");
                    seen.damaged += 1;
                    self.store().healer().tell(index);
                    found.push(index);
                }
            }
            told(seen);
        }
        for index in found {
            select! {
                reason = self.stopped() => return Err(reason),
                healed = self.store().healer().heal(index) => match healed {
                    Ok(()) => seen.healed += 1,
                    Err(why) => lost.push(why),
                },
            }
            told(seen);
        }
        Ok((seen, lost))
    }
}
