use super::blocking::Blocking;
use super::buggify::Buggify;
use super::calls::Calls;
use super::messages::Observer;
use super::skew::NodeClock;
use super::versions::Versions;
use crate::rng::{Key, keyed};
use madsim::plugin;
use madsim::task::NodeId;
use rand_chacha::ChaCha12Rng;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

#[derive(Default)]
pub struct World {
    pub seed: u64,
    pub udp_duplication: f64,
    pub messages: Option<Observer>,
    pub calls: Calls,
    pub buggify: Buggify,
    pub versions: Option<Rc<dyn Versions>>,
    nodes: HashMap<NodeId, Node>,
}

#[derive(Default)]
pub struct Node {
    pub clock: NodeClock,
    pub blocking: Blocking,
    /// Down: whatever blocks never comes back.
    pub halted: bool,
    /// Draws which datagrams arrive twice; made when the first may.
    pub udp_rng: Option<ChaCha12Rng>,
    /// Draws which calls are served late or twice.
    pub calls_rng: Option<ChaCha12Rng>,
    /// Draw what is rare and legal, each for one point.
    pub buggify_rngs: HashMap<&'static str, ChaCha12Rng>,
    /// How many generators of each purpose were made.
    rngs: HashMap<String, u64>,
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::default();
}

pub fn with<R>(f: impl FnOnce(&mut World) -> R) -> R {
    WORLD.with(|world| f(&mut world.borrow_mut()))
}

/// Where a thread ends, its world may be gone.
pub fn try_with<R>(f: impl FnOnce(&mut World) -> R) -> Option<R> {
    WORLD.try_with(|world| f(&mut world.borrow_mut())).ok()
}

pub fn with_node<R>(node: NodeId, f: impl FnOnce(&mut Node) -> R) -> R {
    with(|world| f(world.nodes.entry(node).or_default()))
}

/// Begins a new world on this thread: no node is skewed, halted, or has drawn anything yet.
pub fn set_seed(seed: u64) {
    with(|world| *world = World { seed, ..World::default() });
}

/// The world's stream named by `keys`, independent of every other.
pub fn keyed_rng(keys: &[Key<'_>]) -> ChaCha12Rng {
    keyed(with(|world| world.seed), keys)
}

/// What `seedlog_runtime::rng` gives on the current node.
pub fn rng_here(purpose: &str) -> ChaCha12Rng {
    let node = plugin::node();
    let nth = with_node(node, |node| {
        let made = node.rngs.entry(purpose.to_owned()).or_default();
        *made += 1;
        *made
    });
    keyed_rng(&["node".into(), number(node).into(), purpose.into(), nth.into()])
}

/// The node goes down now: blocking work on it, running or to come, never returns. To be followed
/// by a kill; a crashing machine answers nobody in between.
pub fn halt(node: NodeId) {
    with_node(node, |node| node.halted = true);
}

/// Before the node is started again.
pub fn unhalt(node: NodeId) {
    with_node(node, |node| node.halted = false);
}

/// madsim tells a node's number only in words.
pub fn number(node: NodeId) -> u64 {
    node.to_string().parse().expect("a node id is displayed as its number")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng;
    use rand::Rng;

    #[tokio::test]
    async fn one_purpose_more_leaves_the_others_as_they_were() {
        set_seed(7);
        let (election, jitter) = (rng("election").next_u64(), rng("jitter").next_u64());
        set_seed(7);
        rng("something new").next_u64();
        assert_eq!((rng("election").next_u64(), rng("jitter").next_u64()), (election, jitter));
    }

    #[tokio::test]
    async fn seeds_nodes_purposes_and_turns_all_make_a_difference() {
        set_seed(7);
        let mut drawn = vec![rng("a").next_u64(), rng("a").next_u64(), rng("b").next_u64()];
        let other = madsim::runtime::Handle::current().create_node().build();
        drawn.push(other.spawn(async { rng("a").next_u64() }).await.unwrap());
        set_seed(8);
        drawn.push(rng("a").next_u64());
        drawn.sort();
        drawn.dedup();
        assert_eq!(drawn.len(), 5);
    }
}
