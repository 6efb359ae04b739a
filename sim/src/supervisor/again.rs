//! What befalls a machine again and again for a while: it dies before it has come to itself, its disk runs full and has
//! room again, its connections break.

use super::{Action, Supervisor};
use crate::machine::Machine;
use crate::world::now_ns;
use rand::RngExt as _;
use rand_chacha::ChaCha12Rng;
use seedlog_runtime::rng::keyed;
use seedlog_runtime::sim;
use std::net::IpAddr;

pub(super) struct Loop {
    pub(super) at: usize,
    pub(super) left: u64,
    pub(super) up_ms: u64,
    pub(super) down_ms: u64,
    pub(super) power_seed: Option<u64>,
}

pub(super) struct Space {
    at: usize,
    free_bytes: u64,
    until_ns: u64,
    rng: ChaCha12Rng,
}

pub(super) struct Breaking {
    pub(super) at: usize,
    pub(super) other: Option<u32>,
    pub(super) left: u64,
    pub(super) every_ms: u64,
}

impl Supervisor {
    pub(super) fn restart_loop(&mut self, mut again: Loop) {
        let Loop { at, left, up_ms, down_ms, power_seed } = again;
        // Who is down already is started by whoever took it down.
        if self.nodes[at].machine.is_up() {
            self.world.fired("restart_loop");
            self.crash(at, power_seed.map(|seed| seed.wrapping_add(left)));
            self.after_ms(down_ms, Action::Restart { at });
        }
        again.left -= 1;
        if again.left > 0 {
            self.after_ms(down_ms + up_ms, Action::Loop(again));
        }
    }

    pub(super) fn flaky_space(&mut self, at: usize, free_bytes: u64, for_ms: u64) {
        let now_ns = now_ns();
        let rng = keyed(self.plan.seed, &["space".into(), now_ns.into()]);
        self.nodes[at].full = true;
        self.flip_space(Space { at, free_bytes, until_ns: now_ns + for_ms * 1_000_000, rng }, true);
    }

    pub(super) fn flip_space(&mut self, mut space: Space, full: bool) {
        let node = &mut self.nodes[space.at];
        let disk = &node.machine.disk;
        if now_ns() >= space.until_ns {
            disk.set_space_bytes(None);
            node.full = false;
            return;
        }
        if full {
            self.world.fired("flaky_space");
        }
        match full {
            true => self.fill_up(space.at, space.free_bytes),
            false => disk.set_space_bytes(None),
        }
        let next_ns = now_ns() + space.rng.random_range(5_000_000..500_000_000);
        self.at(next_ns, Action::FlipSpace(Box::new(space), !full));
    }

    /// Others take all but `free_bytes` of what the node has not promised yet: against who takes that, too, nothing helps.
    pub(super) fn fill_up(&self, at: usize, free_bytes: u64) {
        let Machine { disk, number, .. } = &self.nodes[at].machine;
        let promised = self.world.agent(*number).map_or(0, |agent| agent.node().promised_bytes());
        disk.set_space_bytes(Some(disk.used_bytes() + promised + free_bytes));
    }

    pub(super) fn break_connections(&mut self, mut breaking: Breaking) {
        let Breaking { at, other, left, every_ms } = breaking;
        let this = &self.nodes[at].machine;
        let (number, here) = (this.number, this.ip());
        let others = self
            .machines()
            .filter(|machine| machine.number != number && other.is_none_or(|other| machine.number == other));
        let others: Vec<(u32, IpAddr)> = others.map(|machine| (machine.number, machine.ip())).collect();
        let broken: usize = match other {
            None => sim::break_connections(here, None),
            Some(_) => others.iter().map(|(_, there)| sim::break_connections(here, Some(*there))).sum(),
        };
        if broken > 0 {
            self.world.event(format!("node {number} has {broken} connections broken"));
            self.world.fired("broken_connections");
        }
        // Whoever was to be heard must be dialled again.
        let now_ns = now_ns();
        let mut world = self.world.lock();
        others.iter().for_each(|(other, _)| world.health.link(number, *other, false, now_ns));
        if other.is_none() {
            world.health.reach(number, false, now_ns);
        }
        drop(world);
        breaking.left -= 1;
        if left > 1 {
            self.after_ms(every_ms, Action::Break(breaking));
        }
    }
}
