//! What each fault does when its time has come.

use super::again::{Breaking, Loop};
use super::outvoted::GONE;
use super::{Action, Armed, SHUTDOWN_MAX_MS, Supervisor};
use crate::links::{Link, between, both_ways};
use crate::machine::Machine;
use crate::plan::{Fault, Target, Way};
use crate::workload;
use crate::world::now_ns;
use madsim::net::NetSim;
use madsim::runtime::Handle;
use madsim::task::NodeId;
use rand::RngExt as _;
use rand_chacha::ChaCha12Rng;
use seedlog_runtime::disk::sim as disk;
use seedlog_runtime::rng::keyed;
use seedlog_runtime::sim;
use std::net::IpAddr;
use std::time::Duration;

/// Links on which calls take longer, and the addresses that they had when that began.
#[derive(Clone, PartialEq)]
pub(super) struct Slow {
    links: Vec<Link>,
    addresses: Vec<(IpAddr, IpAddr)>,
}

impl Slow {
    fn set(&self, by: Duration) {
        self.addresses.iter().for_each(|(from, to)| sim::set_slow_link(*from, *to, by));
    }
}

/// A link that comes and goes, until then.
pub(super) struct Flap {
    links: Vec<Link>,
    cut: bool,
    until_ns: u64,
    rng: ChaCha12Rng,
}

impl Supervisor {
    pub(super) fn begin(&mut self, target: Target, fault: Fault) {
        let at = self.resolve(target);
        let (number, kind) = (at + 1, fault.kind());
        self.world.event(match fault.has_target() && self.nodes.len() > 1 {
            true => format!("fault on node {number}: {fault:?}"),
            false => format!("fault {fault:?}"),
        });
        let node = &mut self.nodes[at];
        match fault {
            Fault::ProcessCrash { down_ms } if node.machine.is_up() => {
                self.world.fired(kind);
                self.crash(at, None);
                self.after_ms(down_ms, Action::Restart { at });
            }
            Fault::ProcessCrash { .. } => {}
            Fault::PowerLoss { down_ms, power_seed } => {
                self.world.fired(kind);
                self.crash(at, Some(power_seed));
                self.after_ms(down_ms, Action::Restart { at });
            }
            Fault::CrashAtDiskOp { after_ops, at: place, power_seed, down_ms } => {
                node.armed = Some(Armed { power_seed, down_ms, counts_as: kind });
                node.machine.disk.arm_crash(after_ops, place.into());
            }
            Fault::CrashThenPowerLoss { down_ms, then_ms, power_seed } => {
                self.crash(at, None);
                self.after_ms(down_ms, Action::Restart { at });
                self.after_ms(down_ms + then_ms, Action::PowerLoss { at, power_seed, counts_as: kind });
            }
            // What the disk does is counted by the disk, when it does it.
            Fault::SyncError { path, skip } => node.inject(disk::FaultKind::SyncError, Some(path), skip, 1),
            Fault::WriteError { path, skip } => node.inject(disk::FaultKind::WriteError, Some(path), skip, 1),
            Fault::ReadError { path, skip } => node.inject(disk::FaultKind::ReadError, Some(path), skip, 1),
            Fault::ShortWrites { times } => node.inject(disk::FaultKind::ShortWrite, None, 0, times),
            Fault::SlowDisk { for_ms, step_ms_max, power_seed } => {
                self.world.fired(kind);
                node.slow = true;
                node.disk_steps(Duration::from_millis(step_ms_max));
                if let Some(power_seed) = power_seed {
                    let counts_as = "power_loss_while_slow";
                    self.after_ms(for_ms, Action::PowerLoss { at, power_seed, counts_as });
                }
                self.after_ms(for_ms, Action::EndSlowDisk { at });
            }
            Fault::ClockJump { by_ms } => {
                self.world.fired(kind);
                node.skew.wall_offset_ms += by_ms;
                sim::set_skew(node.machine.id, node.skew);
            }
            Fault::ClockRate { per_mille, for_ms } => {
                self.world.fired(kind);
                node.skew.rate = f64::from(per_mille) / 1_000.0;
                sim::set_skew(node.machine.id, node.skew);
                self.after_ms(for_ms, Action::EndClockRate { at });
            }
            Fault::GracefulRestart { down_ms } => _ = self.ask_to_stop(at, down_ms),
            Fault::Upgrade { down_ms, graceful, back } => self.upgrade(at, down_ms, graceful, back),
            Fault::CrashInTrim { after_ops, power_seed, down_ms } => {
                if !node.ready {
                    return;
                }
                self.world.fired(kind);
                let first_offset = self.world.lock().history.acked_next_offset();
                // The leader trims; where the node only follows, the trim comes to it.
                let leader = self.world.leader().map_or(at, |(leader, _)| leader as usize - 1);
                let asked = self.nodes[leader].machine.id;
                drop(tokio::spawn(workload::trim(self.world.clone(), leader as u32 + 1, asked, first_offset)));
                let node = &mut self.nodes[at];
                node.armed = Some(Armed { power_seed, down_ms, counts_as: "crash_at_disk_op" });
                node.machine.disk.arm_crash(after_ops, disk::CrashAt::Inside);
            }
            Fault::DiskFull { for_ms, free_bytes } => {
                self.world.fired(kind);
                node.full = true;
                self.fill_up(at, free_bytes);
                self.after_ms(for_ms, Action::EndDiskFull { at });
            }
            Fault::CutClients { for_ms } => {
                self.world.fired(kind);
                let links = both_ways(between(&self.clients, &[node.machine.id]));
                self.cut(links, for_ms);
            }
            Fault::ProcessCrashAll { down_ms, spread_ms } => {
                self.world.fired(kind);
                self.crash_all(None, down_ms, spread_ms);
            }
            Fault::PowerLossAll { down_ms, spread_ms, power_seed } => {
                self.world.fired(kind);
                self.crash_all(Some(power_seed), down_ms, spread_ms);
            }
            Fault::Partition { side, clients, for_ms } => {
                self.world.fired(kind);
                let (here, there) = self.sides(&side);
                let clients = if clients { &self.clients[..] } else { &[] };
                let links = [between(&here, &there), between(&here, clients)].concat();
                self.cut(both_ways(links), for_ms);
            }
            Fault::Isolate { way, clients, for_ms } => {
                self.world.fired(kind);
                let (here, others) = self.sides(&[number as u32]);
                let clients = if clients { &self.clients[..] } else { &[] };
                let out = [between(&here, &others), between(&here, clients)].concat();
                self.cut(directed(out, way), for_ms);
            }
            Fault::CutLink { other, way, for_ms } => {
                let Some(link) = self.link(at, other) else { return };
                self.world.fired(kind);
                self.cut(directed(vec![link], way), for_ms);
            }
            Fault::FlakyLink { other, for_ms } => {
                let Some(link) = self.link(at, other) else { return };
                self.world.fired(kind);
                let until_ns = now_ns() + for_ms * 1_000_000;
                let rng = keyed(self.plan.seed, &["flaky".into(), now_ns().into()]);
                self.flap(Flap { links: both_ways(vec![link]), cut: false, until_ns, rng });
            }
            Fault::NetworkStorm { loss_per_mille, latency_ms_max, for_ms } => {
                self.world.fired(kind);
                self.storms += 1;
                NetSim::current().update_config(|net| {
                    net.packet_loss_rate = net.packet_loss_rate.max(f64::from(loss_per_mille) / 1_000.0);
                    net.send_latency.end = net.send_latency.end.max(Duration::from_millis(latency_ms_max + 1));
                });
                self.after_ms(for_ms, Action::EndStorm);
            }
            Fault::Pause { for_ms } => {
                if !node.machine.is_up() || node.paused {
                    return;
                }
                self.world.fired(kind);
                node.paused = true;
                Handle::current().pause(node.machine.id);
                let life = node.machine.life();
                self.after_ms(for_ms, Action::EndPause { at, life });
            }
            Fault::LostEnd { hidden_ms, away_ms, down_ms, again_ms, seed } => {
                self.lost_end(hidden_ms, away_ms, down_ms, again_ms, seed);
            }
            Fault::LostWrites { for_ms, down_ms, seed, what } => self.lost_writes(for_ms, down_ms, seed, what),
            Fault::Misled { for_ms, alone_ms, down_ms } => self.misled(for_ms, alone_ms, down_ms),
            Fault::Overtaken { heard_ms, for_ms } => self.overtaken(heard_ms, for_ms),
            Fault::Outvoted { for_ms, after_ops, at: place, power_seed, down_ms } => {
                let armed = Armed { power_seed: Some(power_seed), down_ms, counts_as: GONE };
                self.outvoted(for_ms, after_ops, place.into(), armed);
            }
            Fault::Wipe { down_ms } => self.wipe(at, down_ms),
            Fault::Leave { down_ms } => self.leave(at, down_ms),
            Fault::Damage { what, stores, seed, down_ms, live } => {
                self.damage(at, (what, stores, seed), (!live).then_some(down_ms), kind);
            }
            Fault::NewAddress { down_ms } => {
                self.world.fired(kind);
                self.crash(at, None);
                self.nodes[at].machine.change_address();
                self.after_ms(down_ms, Action::Restart { at });
            }
            Fault::CrashAtPoint { point, skip, at: when, power_seed, within_ms, down_ms } => {
                let armed = Armed { power_seed, down_ms, counts_as: kind };
                self.crash_at_point(at, point, skip, when, armed, within_ms);
            }
            Fault::RestartLoop { times, up_ms, down_ms, power_seed } => {
                self.restart_loop(Loop { at, left: times.max(1), up_ms, down_ms, power_seed });
            }
            Fault::PowerLossSome { side, down_ms, spread_ms, power_seed } => {
                self.world.fired(kind);
                self.crash_some(&side, Some(power_seed), down_ms, spread_ms);
            }
            Fault::DiskErrors { what, path, for_ms } => {
                self.world.fired(kind);
                node.failing += 1;
                let (what, every) = (what.into(), u64::MAX);
                node.inject(what, Some(path.clone()), 0, every);
                self.after_ms(for_ms, Action::EndDiskErrors { at, what, path });
            }
            Fault::FlakySpace { for_ms, free_bytes } => self.flaky_space(at, free_bytes, for_ms),
            Fault::SlowLink { other, way, delay_ms, for_ms } => self.slow_link(at, other, way, delay_ms, for_ms),
            Fault::BreakConnections { other, times, every_ms } => {
                self.break_connections(Breaking { at, other, left: times.max(1), every_ms });
            }
            Fault::LongSkew { by_ms } => {
                self.world.fired(kind);
                node.skew.wall_offset_ms += by_ms;
                sim::set_skew(node.machine.id, node.skew);
            }
            Fault::Reconfigure { segment_bytes_max, index_rows_max, prewrite_bytes, down_ms } => {
                self.world.fired(kind);
                node.machine.reconfigure(|config| {
                    (config.segment_bytes_max, config.index_rows_max) = (segment_bytes_max, index_rows_max);
                    config.prewrite_bytes = prewrite_bytes;
                });
                self.crash(at, None);
                self.after_ms(down_ms, Action::Restart { at });
            }
            Fault::Replace { down_ms, for_ms } => self.replace(at, down_ms, for_ms),
            Fault::LeaderTransfer { to } => {
                let asked = self.world.agent(number as u32);
                let (Some(agent), Some(to)) = (asked, self.world.agent(to)) else { return };
                let Some(handle) = Handle::current().get_node(node.machine.id) else { return };
                self.world.fired(kind);
                let to = to.identity().node_id;
                let under_way = self.transfers.clone();
                // Whether it comes to it, or another is faster: all must hold either way.
                drop(handle.spawn(async move {
                    let _ = agent.node().transfer_leader(Some(to)).await;
                    drop(under_way);
                }));
            }
        }
    }

    /// It is started again so long after it has stopped. Whether there is anybody to be asked.
    pub(super) fn ask_to_stop(&mut self, at: usize, down_ms: u64) -> bool {
        let node = &mut self.nodes[at];
        let (Some(agent), None) = (self.world.agent(node.machine.number), node.stopping) else { return false };
        let Some(handle) = Handle::current().get_node(node.machine.id) else { return false };
        node.stopping = Some(down_ms);
        let life = node.machine.life();
        drop(handle.spawn(async move { agent.shutdown().await }));
        self.after_ms(SHUTDOWN_MAX_MS, Action::ShutdownMustBeOver { at, life });
        true
    }

    fn resolve(&self, target: Target) -> usize {
        match target {
            Target::Node(number) => (number as usize - 1).min(self.nodes.len() - 1),
            Target::Leader => match self.world.leader() {
                Some((number, _)) => number as usize - 1,
                None => self.nodes.iter().position(|node| node.machine.is_up()).unwrap_or(0),
            },
        }
    }

    /// The machines with these numbers, and the rest.
    pub(super) fn sides(&self, side: &[u32]) -> (Vec<NodeId>, Vec<NodeId>) {
        let (here, there): (Vec<_>, Vec<_>) = self.machines().partition(|machine| side.contains(&machine.number));
        let ids = |machines: Vec<&Machine>| machines.into_iter().map(|machine| machine.id).collect();
        (ids(here), ids(there))
    }

    /// From the one to the other, if they are two.
    fn link(&self, at: usize, other: u32) -> Option<Link> {
        let other = self.machines().find(|machine| machine.number == other)?.id;
        let this = self.nodes[at].machine.id;
        (this != other).then_some((this, other))
    }

    /// Slow are the calls: datagrams are so short that they are not.
    fn slow_link(&mut self, at: usize, other: u32, way: Way, delay_ms: u64, for_ms: u64) {
        let this = &self.nodes[at].machine;
        let there = self.machines().find(|machine| machine.number == other && machine.number != this.number);
        let Some(there) = there else { return };
        let (this, there) = ((this.id, this.ip()), (there.id, there.ip()));
        let links = directed(vec![(this.0, there.0)], way);
        let addresses = if way == Way::In { vec![(there.1, this.1)] } else { vec![(this.1, there.1)] };
        let addresses = [addresses, if way == Way::Both { vec![(there.1, this.1)] } else { vec![] }].concat();
        self.world.fired("slow_link");
        let slow = Slow { links, addresses };
        slow.set(Duration::from_millis(delay_ms));
        self.slow_links.push(slow.clone());
        self.after_ms(for_ms, Action::EndSlowLink(slow));
    }

    pub(super) fn end_slow_link(&mut self, slow: &Slow) {
        if let Some(nth) = self.slow_links.iter().position(|held| held == slow) {
            self.slow_links.remove(nth);
        }
        slow.set(Duration::ZERO);
    }

    pub(super) fn is_slow(&self, link: Link) -> bool {
        self.slow_links.iter().any(|slow| slow.links.contains(&link))
    }

    fn cut(&mut self, links: Vec<Link>, for_ms: u64) {
        self.links.cut(&links);
        self.after_ms(for_ms, Action::Mend(links));
    }

    pub(super) fn flap(&mut self, flap: Flap) {
        let Flap { links, cut, until_ns, mut rng } = flap;
        if cut {
            self.links.mend(&links);
        }
        if now_ns() >= until_ns {
            return;
        }
        if !cut {
            self.links.cut(&links);
        }
        let next_ns = now_ns() + rng.random_range(5_000_000..400_000_000);
        self.at(next_ns, Action::Flap(Box::new(Flap { links, cut: !cut, until_ns, rng })));
    }
}

/// What is sent, or what is heard, or both.
pub(super) fn directed(out: Vec<Link>, way: Way) -> Vec<Link> {
    match way {
        Way::Out => out,
        Way::In => out.into_iter().map(|(from, to)| (to, from)).collect(),
        Way::Both => both_ways(out),
    }
}
