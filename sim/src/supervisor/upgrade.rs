//! What a node is: of the last release, or what the code is today. An operator puts the other one in its place, and stops
//! it; whatever starts it next starts that.

use super::{Action, Supervisor};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    Previous,
    Today,
}

impl Supervisor {
    /// Before anybody runs.
    pub(super) fn start_as_they_are(&mut self) {
        for number in self.plan.previous_version.clone() {
            if number as usize <= self.nodes.len() {
                self.set(number, Version::Previous);
            }
        }
    }

    pub(super) fn upgrade(&mut self, at: usize, down_ms: u64, graceful: bool, back: bool) {
        let becomes = if back { Version::Previous } else { Version::Today };
        if self.version(at) == becomes {
            return;
        }
        self.nodes[at].becomes = Some(becomes);
        if graceful && (self.nodes[at].stopping.is_some() || self.ask_to_stop(at, down_ms)) {
            return;
        }
        // One that is down is started again all the same.
        if self.nodes[at].machine.is_up() {
            self.crash(at, None);
            self.after_ms(down_ms, Action::Restart { at });
        }
    }

    /// What comes after heal needs all that there is today.
    pub(super) fn upgrade_in_the_end(&mut self, at: usize) {
        self.nodes[at].becomes = None;
        if self.version(at) == Version::Today {
            return;
        }
        self.nodes[at].becomes = Some(Version::Today);
        if self.nodes[at].machine.is_up() {
            self.crash(at, None);
        }
    }

    /// As it starts.
    pub(super) fn exchange(&mut self, at: usize) {
        let Some(becomes) = self.nodes[at].becomes.take() else { return };
        let number = self.nodes[at].machine.number;
        self.set(number, becomes);
        let what = if becomes == Version::Today { "upgrade" } else { "rolled_back" };
        self.world.lock().count_on(what, Some(number));
    }

    pub(super) fn version(&self, at: usize) -> Version {
        match self.world.lock().previous.contains(&self.nodes[at].machine.number) {
            true => Version::Previous,
            false => Version::Today,
        }
    }

    fn set(&self, number: u32, version: Version) {
        let is_changed = match version {
            Version::Previous => self.world.lock().previous.insert(number),
            Version::Today => self.world.lock().previous.remove(&number),
        };
        if is_changed {
            self.world.event(match version {
                Version::Previous => format!("node {number} is of the last release"),
                Version::Today => format!("node {number} is of today"),
            });
        }
    }
}
