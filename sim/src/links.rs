//! What is cut in the network, and how often: two faults may cut the same link, and one that ends must not
//! mend what the other cut.

use crate::plan::Network;
use madsim::net::{Config, NetSim};
use madsim::task::NodeId;
use std::collections::BTreeMap;
use std::time::Duration;

/// From one machine to another, in this direction.
pub type Link = (NodeId, NodeId);

#[derive(Default)]
pub struct Links {
    cuts: BTreeMap<Link, u32>,
}

impl Links {
    pub fn cut(&mut self, links: &[Link]) {
        for link in links {
            let cuts = self.cuts.entry(*link).or_default();
            *cuts += 1;
            if *cuts == 1 {
                NetSim::current().clog_link(link.0, link.1);
            }
        }
    }

    /// Takes one cut of each back.
    pub fn mend(&mut self, links: &[Link]) {
        for link in links {
            let cuts = self.cuts.get_mut(link).expect("it was cut");
            *cuts -= 1;
            if *cuts == 0 {
                self.cuts.remove(link);
                NetSim::current().unclog_link(link.0, link.1);
            }
        }
    }

    pub fn is_cut(&self, link: Link) -> bool {
        self.cuts.contains_key(&link)
    }

    pub fn mend_all(&mut self) {
        for (from, to) in std::mem::take(&mut self.cuts).into_keys() {
            NetSim::current().unclog_link(from, to);
        }
    }
}

/// Everything from one of `from` to one of `to`.
pub fn between(from: &[NodeId], to: &[NodeId]) -> Vec<Link> {
    from.iter().flat_map(|from| to.iter().map(move |to| (*from, *to))).collect()
}

pub fn both_ways(links: Vec<Link>) -> Vec<Link> {
    let back: Vec<Link> = links.iter().map(|(from, to)| (*to, *from)).collect();
    links.into_iter().chain(back).collect()
}

/// The network as a plan has it when nothing is wrong.
pub fn configure(network: &Network, net: &mut Config) {
    net.packet_loss_rate = f64::from(network.loss_per_mille) / 1_000.0;
    net.send_latency = Duration::from_millis(network.latency_ms_min)..Duration::from_millis(network.latency_ms_max + 1);
}
