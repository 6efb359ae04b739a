//! The clients: they produce values that are unique in the run, read, trim and fence, and write down what
//! they were told and nothing else.
//!
//! One file a kind of client; [`Clients`] is all of them.

mod admin;
mod appender;
mod asker;
mod caller;
mod cluster;
mod consumer;
mod exactly_once;
mod fencer;
pub mod mirror;
mod producer;
mod reader;

pub use admin::{read_and_trim, trim};
pub use producer::produce_there;

use crate::history::{Call, Complaint, Outcome, Produce, Said};
use crate::machine::address;
use crate::plan::Plan;
use crate::world::{World, now_ns};
use caller::Caller;
use madsim::runtime::{Handle, NodeHandle};
use madsim::task::NodeId;
use producer::{Maker, Producer, answered};
use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use seedlog_client::{ApiError, Client, Error, Fencing, Options, Outcome as Certainty, Record};
use std::time::Duration;
use tokio::task::JoinHandle;

/// Each client is a node of the simulated network.
pub struct Clients {
    producers: Vec<NodeHandle>,
    exactly_once: Vec<NodeHandle>,
    appenders: Vec<NodeHandle>,
    fencers: Vec<NodeHandle>,
    askers: Vec<NodeHandle>,
    consumers: Vec<NodeHandle>,
    cluster_producers: Vec<NodeHandle>,
    cluster_consumers: Vec<NodeHandle>,
    admin: NodeHandle,
    reader: NodeHandle,
}

/// The clients at work.
pub struct Working {
    /// End by themselves when the world says stop, with their last answers.
    writing: Vec<JoinHandle<()>>,
    reading: Vec<JoinHandle<()>>,
}

impl Working {
    /// Returns when all who write have their last answers.
    pub async fn produced(&mut self) {
        for writing in self.writing.drain(..) {
            writing.await.expect("a client does not panic");
        }
    }

    /// Nobody follows the tail any more.
    pub fn end(self) {
        self.reading.iter().for_each(JoinHandle::abort);
    }
}

/// Nobody is told that there is no such offset, and that there is.
fn sent_away(world: &World, client: u32, error: &Error) {
    if let Error::Server(ApiError::OffsetOutOfRange { asked, first, next }) = error
        && (first..next).contains(&asked)
    {
        let what = format!("client {client} was told that offset {asked} is not one of {first}..{next}");
        world.complain("linearizable", what);
    }
}

// Numbers of the first client of each kind.
const PRODUCERS: u32 = 0;
const EXACTLY_ONCE: u32 = 50;
const CONSUMERS: u32 = 100;
const APPENDERS: u32 = 200;
const FENCERS: u32 = 300;
const ASKERS: u32 = 400;
const CLUSTER_PRODUCERS: u32 = 500;
const CLUSTER_CONSUMERS: u32 = 600;
pub const MIRROR: u32 = 700;
const ADMIN: u32 = 900;
const TRIMMER: u32 = 901;
const ON_THE_SPOT: u32 = 902;
/// The client that reads everything in the end.
const READER: u32 = 1_000;

/// Requests of one pipelined stream that are not answered yet.
const IN_FLIGHT_MAX: usize = 8;
/// How long a client waits for any answer.
const PATIENCE: Duration = Duration::from_secs(4);

impl Clients {
    pub fn build(plan: &Plan) -> Clients {
        let node = |name: &str, last: u32| {
            let site = 100 * plan.site;
            let ip = format!("10.{site}.{}.{}", 1 + last / 200, 1 + last % 200).parse().expect("an address");
            Handle::current().create_node().name(format!("{name}-{last}")).ip(ip).build()
        };
        let nodes = |name, first: u32, count: u32| (first..first + count).map(|number| node(name, number)).collect();
        let workload = &plan.workload;
        Clients {
            producers: nodes("producer", PRODUCERS, workload.producers),
            exactly_once: nodes("exactly-once", EXACTLY_ONCE, workload.exactly_once),
            appenders: nodes("appender", APPENDERS, workload.appenders),
            fencers: nodes("fencer", FENCERS, workload.fencers),
            askers: nodes("asker", ASKERS, workload.askers),
            consumers: nodes("consumer", CONSUMERS, workload.consumers),
            cluster_producers: nodes("cluster-producer", CLUSTER_PRODUCERS, workload.cluster_producers),
            cluster_consumers: nodes("cluster-consumer", CLUSTER_CONSUMERS, workload.cluster_consumers),
            admin: node("admin", ADMIN),
            reader: node("reader", READER),
        }
    }

    /// Whom a cut of the clients cuts off.
    pub fn ids(&self) -> Vec<NodeId> {
        let of_nodes =
            [&self.producers, &self.exactly_once, &self.appenders, &self.fencers, &self.askers, &self.consumers];
        let all = of_nodes.into_iter().chain([&self.cluster_producers, &self.cluster_consumers]);
        all.flatten().chain([&self.admin]).map(NodeHandle::id).collect()
    }

    /// Sets all to work, until the world says stop.
    pub fn start(&self, plan: &Plan, world: &World) -> Working {
        let mut working = Working { writing: Vec::new(), reading: Vec::new() };
        let Working { writing, reading } = &mut working;
        let maker = |client| Maker::new(client, plan, world);
        for (client, node) in (PRODUCERS..).zip(&self.producers) {
            let producer = Producer::new(maker(client));
            // Every other one pipelines.
            let task =
                if client.is_multiple_of(2) { node.spawn(producer.unary()) } else { node.spawn(producer.pipelined()) };
            writing.push(task);
        }
        for (client, node) in (EXACTLY_ONCE..).zip(&self.exactly_once) {
            writing.push(node.spawn(exactly_once::produce(maker(client))));
        }
        for (client, node) in (APPENDERS..).zip(&self.appenders) {
            writing.push(node.spawn(appender::append(maker(client))));
        }
        for (client, node) in (FENCERS..).zip(&self.fencers) {
            writing.push(node.spawn(fencer::fence(maker(client))));
        }
        for (client, node) in (ASKERS..).zip(&self.askers) {
            reading.push(node.spawn(asker::ask(client, plan.clone(), world.clone())));
        }
        for (client, node) in (CONSUMERS..).zip(&self.consumers) {
            reading.push(node.spawn(consumer::follow(client, plan.clone(), world.clone())));
        }
        for (client, node) in (CLUSTER_PRODUCERS..).zip(&self.cluster_producers) {
            // Every other one has many on their way.
            let task = if client.is_multiple_of(2) {
                node.spawn(cluster::produce(maker(client)))
            } else {
                node.spawn(cluster::pipeline(maker(client)))
            };
            writing.push(task);
        }
        for (client, node) in (CLUSTER_CONSUMERS..).zip(&self.cluster_consumers) {
            reading.push(node.spawn(cluster::follow(client, plan.clone(), world.clone())));
        }
        writing.push(self.admin.spawn(admin::trims(plan.clone(), world.clone())));
        writing.push(self.admin.spawn(admin::retention(plan.clone(), world.clone())));
        working
    }

    /// One record, all alone: no other call's sync comes to its help. Somebody waits for it meanwhile, with
    /// a bounded wait; whether it was woken is returned.
    pub async fn produce_alone(&self, plan: &Plan, world: &World) -> bool {
        let waiting = self.admin.spawn(reader::wait_at_the_end(Caller::new(plan, ADMIN), world.clone()));
        // The question is there before the record.
        madsim::time::sleep(Duration::from_millis(300)).await;
        let value = format!("alone at site {}", plan.site).into_bytes();
        let noted = Produce { client: READER, values: vec![value.clone()], called_ns: now_ns(), ..Produce::default() };
        let call = world.calls(noted);
        let record = Record { value: value.into(), ..Default::default() };
        let mut caller = Caller::new(plan, READER);
        let producing = self.reader.spawn(async move { caller.client().produce(vec![record]).await });
        let answer = producing.await.expect("the reader does not panic");
        answered(world, READER, call, &answer);
        waiting.await.expect("a client does not panic")
    }

    /// Lets everybody produce again, token or not, and keeps all that there is from now on.
    pub async fn free_the_log(&self, plan: &Plan, world: &World) {
        let caller = || Caller::new(plan, READER);
        self.reader.spawn(fencer::unfence(caller(), world.clone())).await.expect("a client does not panic");
        self.reader.spawn(admin::keep_everything(caller())).await.expect("a client does not panic");
    }

    /// Reads the log once more, from the node of whose bytes one has rotted, and compares with what was
    /// there: errors are fine, of a node that has no others; anything else is not.
    pub async fn read_rotten(&self, plan: &Plan, world: &World, node: u32) {
        let reading = reader::read_rotten(Caller::of(plan, node), world.clone(), node, plan.nodes > 1);
        self.reader.spawn(reading).await.expect("the reader does not panic");
    }

    /// Reads the whole log, over the network like everyone else, until it could be read at once.
    pub async fn read_all(&self, plan: &Plan, world: &World) {
        let reading = reader::read_all(Caller::new(plan, READER), world.clone());
        self.reader.spawn(reading).await.expect("the reader does not panic");
    }
}

fn pause(mean_ms: u64, rng: &mut ChaCha12Rng) -> Duration {
    Duration::from_micros(rng.random_range(0..=2_000 * mean_ms))
}

fn backoff(rng: &mut ChaCha12Rng) -> Duration {
    Duration::from_millis(rng.random_range(20..200))
}

fn client_of(site: u32, node: u32, tail_records_max: u32) -> Client {
    let options =
        Options { answer_max: PATIENCE, in_flight_max: IN_FLIGHT_MAX, tail_records_max, ..Options::default() };
    client_with(site, node, options)
}

fn client_with(site: u32, node: u32, options: Options) -> Client {
    Client::connect_with(&address(site, node), options).expect("an address")
}

/// Notes what a call was answered.
fn said(world: &World, client: u32, called_ns: u64, said: Said) {
    let mut world = world.lock();
    let returned_ns = now_ns();
    world.trace.event(returned_ns, format!("client {client} is told {said:?}"));
    world.history.calls.push(Call { client, called_ns, returned_ns, said });
}
