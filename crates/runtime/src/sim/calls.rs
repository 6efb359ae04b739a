//! What befalls calls between machines, besides what the network does to all that is sent: they are served late, or
//! twice, or wait on a slow link; their connections break; and a machine goes down at an answer of its own.

use super::blocking::{Moment, park_if_halted};
use super::sleep::sleep_world;
use super::world::{halt, keyed_rng, number, try_with, with, with_node};
use madsim::plugin;
use madsim::task::NodeId;
use rand::RngExt;
use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// A generated message.
pub type AnyMessage = Box<dyn Any + Send + Sync>;

/// A copy of a message, if the call that it belongs to may arrive twice.
type Copier = Rc<dyn Fn(&dyn Any) -> Option<AnyMessage>>;

/// By how much a call that arrives twice is late the second time, at most.
const TWIN_LATE_MAX: Duration = Duration::from_secs(2);

#[derive(Default)]
pub struct Calls {
    late: f64,
    doubled: f64,
    copier: Option<Copier>,
    slow: HashMap<(IpAddr, IpAddr), Duration>,
    /// By number: the client, the server, and what tells them that it is over.
    open: BTreeMap<u64, (IpAddr, IpAddr, Arc<Notify>)>,
    opened: u64,
    crashes: HashMap<NodeId, Crash>,
    fired: BTreeMap<&'static str, u64>,
}

struct Crash {
    methods: &'static [&'static str],
    skip: u64,
    moment: Moment,
    then: Box<dyn FnOnce()>,
}

/// The chance of each call to be served also if its caller has gone before it arrived, in the whole world. So it is with
/// one that was cut off when it gave up: what it had sent comes when the link is whole.
pub fn set_late_calls(probability: f64) {
    assert!((0.0..=1.0).contains(&probability), "{probability} is no probability");
    with(|world| world.calls.late = probability);
}

/// The chance of each call to arrive a second time, a little later, in the whole world: one of those of which `copier`
/// gives a copy. Of a stream it is the first message that does.
pub fn set_doubled_calls(probability: f64, copier: impl Fn(&dyn Any) -> Option<AnyMessage> + 'static) {
    assert!((0.0..=1.0).contains(&probability), "{probability} is no probability");
    let copier: Copier = Rc::new(copier);
    with(|world| (world.calls.doubled, world.calls.copier) = (probability, Some(copier)));
}

/// Each message of a call, from one address to the other, takes so much longer, one after the other; zero: no longer.
pub fn set_slow_link(from: IpAddr, to: IpAddr, by: Duration) {
    with(|world| match by {
        Duration::ZERO => _ = world.calls.slow.remove(&(from, to)),
        by => _ = world.calls.slow.insert((from, to), by),
    });
}

/// All connections of `one`, or those that it has with `other`, end in the middle of whatever they carry. How many there
/// were.
pub fn break_connections(one: IpAddr, other: Option<IpAddr>) -> usize {
    let ends = |client: IpAddr, server: IpAddr| match other {
        None => client == one || server == one,
        Some(other) => (client, server) == (one, other) || (server, client) == (one, other),
    };
    let broken: Vec<Arc<Notify>> = with(|world| {
        let open = world.calls.open.values().filter(|(client, server, _)| ends(*client, *server));
        open.map(|(_, _, broken)| broken.clone()).collect()
    });
    broken.iter().for_each(|broken| broken.notify_one());
    broken.len()
}

/// The node goes down before or after an answer of its own to one of these methods that is no failure, once `skip` of them have
/// been given; `then` tells the harness, which kills it. One at a time: the last one set counts.
pub fn crash_at_answer(
    node: NodeId,
    methods: &'static [&'static str],
    skip: u64,
    moment: Moment,
    then: impl FnOnce() + 'static,
) {
    let crash = Crash { methods, skip, moment, then: Box::new(then) };
    with(|world| world.calls.crashes.insert(node, crash));
}

/// Takes it back, if it has not come.
pub fn forget_crash_at_answer(node: NodeId) {
    with(|world| world.calls.crashes.remove(&node));
}

/// How often a call was served although its caller had gone (`call_served_late`), or a second time (`call_doubled`).
pub fn calls_fired() -> BTreeMap<&'static str, u64> {
    with(|world| world.calls.fired.clone())
}

/// A connection that may be broken.
pub struct Open {
    nth: u64,
    broken: Arc<Notify>,
}

impl Open {
    pub fn new(client: SocketAddr, server: SocketAddr) -> Open {
        let broken = Arc::new(Notify::new());
        let nth = with(|world| {
            let calls = &mut world.calls;
            calls.opened += 1;
            calls.open.insert(calls.opened, (client.ip(), server.ip(), broken.clone()));
            calls.opened
        });
        Open { nth, broken }
    }

    pub async fn broken(&self) {
        self.broken.notified().await
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // The world may be gone before its last task.
        try_with(|world| world.calls.open.remove(&self.nth));
    }
}

/// Whether this node serves the call that it takes now also if its caller has gone. Draws nothing where none is.
pub fn is_served_late() -> bool {
    let late = with(|world| world.calls.late);
    late > 0.0 && draw(|rng| rng.random_bool(late))
}

pub fn count_served_late() {
    count("call_served_late");
}

/// The call that this node has just taken, and how long until it comes again, if it does.
pub fn twin(message: &dyn Any) -> Option<(AnyMessage, Duration)> {
    let doubled = with(|world| world.calls.doubled);
    if doubled == 0.0 || !draw(|rng| rng.random_bool(doubled)) {
        return None;
    }
    let copier = with(|world| world.calls.copier.clone())?;
    let copy = copier(message)?;
    count("call_doubled");
    let late_ns = draw(|rng| rng.random_range(0..TWIN_LATE_MAX.as_nanos() as u64));
    Some((copy, Duration::from_nanos(late_ns)))
}

/// Waits as long as a message takes longer on a slow link.
pub async fn dawdle(from: SocketAddr, to: SocketAddr) {
    let by = with(|world| world.calls.slow.get(&(from.ip(), to.ip())).copied());
    if let Some(by) = by {
        sleep_world(by).await;
    }
}

/// Around an answer that is no failure.
pub async fn answering(path: &str, moment: Moment) {
    let node = plugin::node();
    go_down_if_planned(node, path, moment);
    park_if_halted(node).await;
}

fn go_down_if_planned(node: NodeId, path: &str, moment: Moment) {
    let crash = with(|world| {
        let crashes = &mut world.calls.crashes;
        let crash = crashes.get_mut(&node)?;
        if crash.moment != moment || !path.rsplit('/').next().is_some_and(|method| crash.methods.contains(&method)) {
            return None;
        }
        if crash.skip > 0 {
            crash.skip -= 1;
            return None;
        }
        crashes.remove(&node)
    });
    if let Some(crash) = crash {
        halt(node);
        (crash.then)();
    }
}

fn count(what: &'static str) {
    with(|world| *world.calls.fired.entry(what).or_default() += 1);
}

/// From this node's own stream.
fn draw<R>(draw: impl FnOnce(&mut rand_chacha::ChaCha12Rng) -> R) -> R {
    let node = plugin::node();
    let rng = with_node(node, |state| state.calls_rng.take());
    let mut rng = rng.unwrap_or_else(|| keyed_rng(&["node".into(), number(node).into(), "calls".into()]));
    let drawn = draw(&mut rng);
    with_node(node, |state| state.calls_rng = Some(rng));
    drawn
}
