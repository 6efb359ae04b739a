//! One simulated directory: its names now, its names after a power loss, and what lies between.

use super::inode::Inode;
use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Clone)]
pub(super) enum Node {
    File(Arc<Inode>),
    Directory,
}

pub(super) enum Change {
    Link { name: String, node: Node },
    Unlink { name: String },
    Rename { from: String, to: String, node: Node },
}

impl Change {
    fn gives(&self, wanted: &str) -> bool {
        match self {
            Change::Link { name, .. } | Change::Rename { to: name, .. } => name == wanted,
            Change::Unlink { .. } => false,
        }
    }

    fn apply(&self, names: &mut BTreeMap<String, Node>) {
        match self {
            Change::Link { name, node } => {
                names.insert(name.clone(), node.clone());
            }
            Change::Unlink { name } => {
                names.remove(name);
            }
            Change::Rename { from, to, node } => {
                names.remove(from);
                names.insert(to.clone(), node.clone());
            }
        }
    }
}

#[derive(Default)]
pub(super) struct Directory {
    pub(super) current: BTreeMap<String, Node>,
    pub(super) durable: BTreeMap<String, Node>,
    pending: Vec<Change>,
}

impl Directory {
    pub(super) fn change(&mut self, change: Change) {
        change.apply(&mut self.current);
        self.pending.push(change);
    }

    pub(super) fn lose(&mut self, name: &str) {
        self.current.remove(name);
        self.durable.remove(name);
        self.pending.retain(|change| !change.gives(name));
    }

    pub(super) fn sync(&mut self) {
        for change in self.pending.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    /// As for a file: after a failed sync the changes are seen until the power goes, then never again.
    pub(super) fn forget_pending(&mut self) {
        self.pending.clear();
    }

    /// A journal keeps changes in order, so a prefix of them survives; none at all is the common case,
    /// or a missing sync would rarely show. Returns how many were lost.
    pub(super) fn power_loss(&mut self, rng: &mut ChaCha12Rng) -> usize {
        let pending = std::mem::take(&mut self.pending);
        let kept = if rng.random_bool(0.6) { 0 } else { rng.random_range(0..=pending.len()) };
        for change in &pending[..kept] {
            change.apply(&mut self.durable);
        }
        self.current.clone_from(&self.durable);
        pending.len() - kept
    }
}
