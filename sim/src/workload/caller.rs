//! Which server a client asks: it stays with one for a while, and moves on after an error, or when it feels
//! like it.

use super::client_of;
use crate::plan::Plan;
use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use seedlog_client::Client;
use seedlog_runtime::rng::keyed;

/// Calls that a client makes before it looks for another server, at most.
const STAY_MAX: u32 = 60;

pub struct Caller {
    site: u32,
    nodes: u32,
    at: u32,
    /// Calls until it moves on without a reason.
    stay: u32,
    rng: ChaCha12Rng,
    tail_records_max: u32,
    client: Option<Client>,
}

impl Caller {
    pub fn new(plan: &Plan, number: u32) -> Caller {
        let mut rng = keyed(plan.seed, &["route".into(), u64::from(number).into()]);
        let at = rng.random_range(1..=plan.nodes);
        let stay = rng.random_range(1..=STAY_MAX);
        Caller { site: plan.site, nodes: plan.nodes, at, stay, rng, tail_records_max: 64, client: None }
    }

    /// One that asks this node and no other.
    pub fn of(plan: &Plan, node: u32) -> Caller {
        Caller { nodes: 1, at: node, ..Caller::new(plan, node) }
    }

    pub fn with_tail(self, tail_records_max: u32) -> Caller {
        Caller { tail_records_max, ..self }
    }

    /// For the next call. It connects at its first one.
    pub fn client(&mut self) -> &Client {
        match self.stay.checked_sub(1) {
            Some(left) => self.stay = left,
            None => {
                self.stay = self.rng.random_range(1..=STAY_MAX);
                self.move_on();
            }
        }
        self.client.get_or_insert_with(|| client_of(self.site, self.at, self.tail_records_max))
    }

    /// A connection of its own: for a stream.
    pub fn fresh(&mut self) -> Client {
        self.client = None;
        self.client().clone()
    }

    /// That call, or stream, was no success: another server may do better.
    pub fn failed(&mut self) {
        self.client = None;
        self.move_on();
    }

    /// Which server the last call went to.
    pub fn node(&self) -> u32 {
        self.at
    }

    /// How many records to take from a stream before it is left for another server.
    pub fn patience(&mut self) -> u64 {
        if self.nodes == 1 { u64::MAX } else { self.rng.random_range(1..=2_000) }
    }

    fn move_on(&mut self) {
        if self.nodes > 1 {
            // Often to another one, and sometimes back to this.
            self.at = self.rng.random_range(1..=self.nodes);
            self.client = None;
        }
    }
}
