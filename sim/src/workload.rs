//! The clients: they produce values that are unique in the run, follow the tail, and write down what
//! they were told and nothing else.

use crate::history::{Complaint, Outcome, Produce, Seen, show};
use crate::machine::NODE_ADDR;
use crate::plan::Plan;
use crate::world::{World, now_ns};
use madsim::runtime::{Handle, NodeHandle};
use madsim::task::NodeId;
use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use seedlog_api::v1::Record;
use seedlog_client::{Client, Fetch, Options, Outcome as Certainty, Start};
use seedlog_runtime::rng::keyed;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Each client is a node of the simulated network.
pub struct Clients {
    producers: Vec<NodeHandle>,
    consumers: Vec<NodeHandle>,
    reader: NodeHandle,
}

/// The clients at work.
pub struct Working {
    producers: Vec<JoinHandle<()>>,
    consumers: Vec<JoinHandle<()>>,
}

impl Working {
    /// Returns when all producers have their last answers.
    pub async fn produced(&mut self) {
        for producer in self.producers.drain(..) {
            producer.await.expect("a producer does not panic");
        }
    }

    /// Nobody follows the tail any more.
    pub fn end(self) {
        self.consumers.iter().for_each(JoinHandle::abort);
    }
}

/// Number of the client that reads everything in the end.
const READER: u32 = 1_000;
/// Number of the first consumer; producers count from 0.
const CONSUMERS: u32 = 100;
/// Requests of one pipelined stream that are not answered yet.
const IN_FLIGHT_MAX: usize = 8;
/// How long a client waits for any answer.
const PATIENCE: Duration = Duration::from_secs(4);

impl Clients {
    pub fn build(plan: &Plan) -> Clients {
        let node = |name: String, last: u32| {
            let ip = format!("10.0.{}.{}", 1 + last / 200, 1 + last % 200).parse().expect("an address");
            Handle::current().create_node().name(name).ip(ip).build()
        };
        Clients {
            producers: (0..plan.workload.producers).map(|n| node(format!("producer-{n}"), n)).collect(),
            consumers: (0..plan.workload.consumers).map(|n| node(format!("consumer-{n}"), CONSUMERS + n)).collect(),
            reader: node("reader".to_owned(), READER),
        }
    }

    /// Whom a cut of the clients cuts off.
    pub fn ids(&self) -> Vec<NodeId> {
        self.producers.iter().chain(&self.consumers).map(NodeHandle::id).collect()
    }

    /// Sets all to work, until the world says stop.
    pub fn start(&self, plan: &Plan, world: &World) -> Working {
        let produce = |(client, node): (u32, &NodeHandle)| {
            let producer = Producer::new(client, plan, world);
            // Every other one pipelines.
            if client.is_multiple_of(2) { node.spawn(producer.unary()) } else { node.spawn(producer.pipelined()) }
        };
        let consume = |(client, node): (u32, &NodeHandle)| node.spawn(consumer(client, plan.clone(), world.clone()));
        Working {
            producers: (0..).zip(&self.producers).map(produce).collect(),
            consumers: (CONSUMERS..).zip(&self.consumers).map(consume).collect(),
        }
    }

    /// One record, all alone: no other call's sync comes to its help.
    pub async fn produce_alone(&self, world: &World) {
        let value = b"alone".to_vec();
        let call = {
            let mut world = world.lock();
            let produce =
                Produce { client: READER, values: vec![value.clone()], called_ns: now_ns(), outcome: Outcome::Unknown };
            world.history.produces.push(produce);
            world.history.produces.len() - 1
        };
        let record = Record { value: value.into(), ..Default::default() };
        let producing = self.reader.spawn(async move { client_with(1).produce(vec![record]).await });
        let answer = producing.await.expect("the reader does not panic");
        answered(world, READER, call, &answer);
    }

    /// Reads the log once more, from bytes of which one has rotted, and compares with what was there:
    /// errors are fine, anything else is not.
    pub async fn read_rotten(&self, world: &World) {
        let world = world.clone();
        self.reader.spawn(read_rotten(world)).await.expect("the reader does not panic");
    }

    /// Reads the whole log, over the network like everyone else, until it could be read at once.
    pub async fn read_all(&self, world: &World) {
        let world = world.clone();
        self.reader.spawn(read_all(world)).await.expect("the reader does not panic");
    }
}

fn pause(mean_ms: u64, rng: &mut ChaCha12Rng) -> Duration {
    Duration::from_micros(rng.random_range(0..=2_000 * mean_ms))
}

struct Producer {
    client: u32,
    rng: ChaCha12Rng,
    plan: Plan,
    world: World,
    made: u64,
}

impl Producer {
    fn new(client: u32, plan: &Plan, world: &World) -> Producer {
        let rng = keyed(plan.seed, &["producer".into(), u64::from(client).into()]);
        Producer { client, rng, plan: plan.clone(), world: world.clone(), made: 0 }
    }

    /// Records that nobody else makes, and the note that they were tried.
    fn call(&mut self) -> (usize, Vec<Record>) {
        let workload = &self.plan.workload;
        let count = self.rng.random_range(1..=workload.batch_records_max);
        let mut values = Vec::new();
        for _ in 0..count {
            let mut value = format!("{}.{}:", self.client, self.made).into_bytes();
            let length = self.rng.random_range(0..=workload.record_bytes_max as usize);
            while value.len() < length {
                value.push(b'a' + (value.len() as u64 + self.made) as u8 % 26);
            }
            self.made += 1;
            values.push(value);
        }
        let record = |value: &Vec<u8>| Record { value: value.clone().into(), ..Default::default() };
        let records = values.iter().map(record).collect();
        let mut world = self.world.lock();
        let called_ns = now_ns();
        world
            .trace
            .event(called_ns, format!("producer {} calls with {count} records, {} so far", self.client, self.made));
        world.history.produces.push(Produce { client: self.client, values, called_ns, outcome: Outcome::Unknown });
        (world.history.produces.len() - 1, records)
    }

    async fn unary(mut self) {
        let mut client = None;
        while !self.world.stopping() {
            madsim::time::sleep(pause(self.plan.workload.pause_ms_mean, &mut self.rng)).await;
            let connected = connect(&mut client);
            let (call, records) = self.call();
            let answer = connected.produce(records).await;
            answered(&self.world, self.client, call, &answer);
            if answer.is_err() {
                client = None;
                madsim::time::sleep(backoff(&mut self.rng)).await;
            }
        }
    }

    async fn pipelined(mut self) {
        while !self.world.stopping() {
            madsim::time::sleep(backoff(&mut self.rng)).await;
            let opened = client_with(64).produce_stream().await;
            let Ok((mut requests, mut answers)) = opened else { continue };
            let (called, mut calls) = mpsc::unbounded_channel();
            let (world, client) = (self.world.clone(), self.client);
            // Answers come in the order of the calls. After an error the rest stays unknown.
            let answering = tokio::spawn(async move {
                while let Some(call) = calls.recv().await {
                    let Some(answer) = answers.next().await else { return };
                    answered(&world, client, call, &answer);
                    if answer.is_err() {
                        return;
                    }
                }
            });
            while !self.world.stopping() && !answering.is_finished() {
                let (call, records) = self.call();
                // The other end is gone only if the stream is.
                let sent = called.send(call).is_ok() && requests.send(records).await.is_ok();
                if !sent {
                    break;
                }
                madsim::time::sleep(pause(self.plan.workload.pause_ms_mean, &mut self.rng)).await;
            }
            drop((requests, called));
            answering.await.expect("it does not panic");
        }
    }
}

fn answered(world: &World, client: u32, call: usize, answer: &Result<seedlog_client::Produced, seedlog_client::Error>) {
    let mut world = world.lock();
    let at_ns = now_ns();
    world.trace.event(at_ns, format!("producer {client} call {call}: {answer:?}"));
    if let Ok(produced) = answer
        && produced.count as usize != world.history.produces[call].values.len()
    {
        let what = format!("call {call} of client {client} was acked with a count of {}", produced.count);
        world.history.complaints.push(Complaint { check: "one truth", what, at_ns });
    }
    world.history.produces[call].outcome = match answer {
        Ok(produced) => Outcome::Acked { first_offset: produced.first_offset, at_ns },
        Err(error) if error.outcome() == Certainty::NotWritten => Outcome::Refused,
        Err(_) => Outcome::Unknown,
    };
}

fn backoff(rng: &mut ChaCha12Rng) -> Duration {
    Duration::from_millis(rng.random_range(20..200))
}

/// The client, made anew if there is none. It connects at its first call.
fn connect(client: &mut Option<Client>) -> &Client {
    client.get_or_insert_with(|| client_with(64))
}

fn client_with(tail_records_max: u32) -> Client {
    let options =
        Options { answer_max: PATIENCE, in_flight_max: IN_FLIGHT_MAX, tail_records_max, ..Options::default() };
    Client::connect_with(NODE_ADDR, options).expect("an address")
}

/// Follows the tail; after every interruption it goes on one past the last record it saw.
async fn consumer(number: u32, plan: Plan, world: World) {
    let mut rng = keyed(plan.seed, &["consumer".into(), u64::from(number).into()]);
    let mut next = None::<u64>;
    loop {
        let start = next.map_or(Start::Earliest, Start::Offset);
        let client = client_with(if number.is_multiple_of(2) { 1 } else { 16 });
        let Ok(mut records) = client.consume_stream(start).await else {
            madsim::time::sleep(backoff(&mut rng)).await;
            continue;
        };
        // Nothing may come for long: the node may be down, the link cut, or nobody producing.
        while let Ok(Some(record)) = madsim::time::timeout(PATIENCE, records.next()).await {
            match record {
                Ok(record) => {
                    next = Some(record.offset + 1);
                    see(&world, number, record);
                }
                Err(error) => {
                    world.event(format!("consumer {number}: {error}"));
                    // Trimmed away meanwhile: what is left starts later.
                    if let Some(valid) = error.out_of_range()
                        && next.is_some_and(|next| next < valid.start)
                    {
                        next = Some(valid.start);
                    }
                    break;
                }
            }
        }
        madsim::time::sleep(backoff(&mut rng)).await;
    }
}

fn see(world: &World, client: u32, record: Record) {
    let applied = world.applied_end();
    if record.offset >= applied {
        world.complain(
            "one truth",
            format!("client {client} read offset {}, applied is up to {applied}", record.offset),
        );
    }
    let mut world = world.lock();
    let at_ns = now_ns();
    world.trace.event(at_ns, format!("client {client} reads offset {} of term {}", record.offset, record.term));
    let Record { offset, value, append_time_ms, .. } = record;
    world.tails.insert(client, (offset + 1, at_ns));
    world.history.seen.push(Seen { client, offset, value: value.to_vec(), append_time_ms, at_ns });
}

/// Trims now and then, up to somewhere in what was acked, and sometimes past all of it.
pub async fn trims(plan: Plan, world: World, machine: NodeId) {
    if plan.workload.trim_ms_mean == 0 {
        return;
    }
    let mut rng = keyed(plan.seed, &["trims".into()]);
    loop {
        madsim::time::sleep(pause(plan.workload.trim_ms_mean, &mut rng)).await;
        let acked = world.lock().history.acked_next_offset();
        let first_offset =
            if rng.random_bool(0.1) { acked + rng.random_range(0..1_000) } else { rng.random_range(0..=acked) };
        trim(world.clone(), machine, first_offset).await;
    }
}

/// One trim, asked of the node itself: no client can.
pub async fn trim(world: World, machine: NodeId, first_offset: u64) {
    let (Some(agent), Some(node)) = (world.agent(), Handle::current().get_node(machine)) else { return };
    let number = {
        let mut world = world.lock();
        let number = world.history.trims_open.last_key_value().map_or(0, |(number, _)| number + 1);
        world.history.trims_open.insert(number, first_offset);
        number
    };
    world.event(format!("trim to {first_offset}"));
    // On the machine itself; if it goes down, so does this.
    let trim = node.spawn(async move {
        let answer = agent.node().trim(first_offset).await.map_err(|error| error.to_string());
        answer.map(|answer| (answer, agent.node().range()))
    });
    let trimmed = match madsim::time::timeout(PATIENCE, trim).await {
        Ok(Ok(trimmed)) => trimmed,
        Ok(Err(_)) => Err("the node went down".to_owned()),
        Err(_) => Err("no answer".to_owned()),
    };
    world.event(format!("trim to {first_offset}: {trimmed:?}"));
    let Ok((answer, (first, next))) = trimmed else { return };
    if answer > next || first < answer {
        world.complain("one truth", format!("a trim answered {answer}, and the offsets are {first}..{next}"));
    }
    world.fired("trim");
    let mut world = world.lock();
    world.history.trims_open.remove(&number);
    world.history.trims_done = world.history.trims_done.max(answer);
}

async fn read_all(world: World) {
    let (client, mut rng) = (client_with(64), keyed(0, &["reader".into()]));
    let servers = loop {
        match client.servers().await {
            Ok(servers) => break servers,
            Err(error) => again(&world, &mut rng, error).await,
        }
    };
    let (first, next) = servers.first().map_or((0, 0), |server| (server.first_offset, server.next_offset));
    let mut last = Vec::new();
    while first + (last.len() as u64) < next {
        let start = Start::Offset(first + last.len() as u64);
        let fetch = Fetch { start, records_max: 256, bytes_max: 1 << 20, wait: Duration::ZERO };
        match client.fetch(fetch).await {
            Ok(records) => last.extend(records.into_iter().map(|record| {
                let Record { offset, value, append_time_ms, .. } = record;
                Seen { client: READER, offset, value: value.to_vec(), append_time_ms, at_ns: now_ns() }
            })),
            Err(error) => again(&world, &mut rng, error).await,
        }
    }
    let mut world = world.lock();
    world.trace.event(now_ns(), format!("everything read: offsets {first}..{next}"));
    world.history.complete = true;
    world.history.last_range = (first, next);
    world.history.last = last;
}

/// With messages lost, a call may find no connection.
async fn again(world: &World, rng: &mut ChaCha12Rng, error: seedlog_client::Error) {
    world.event(format!("reader: {error}"));
    madsim::time::sleep(backoff(rng)).await;
}

async fn read_rotten(world: World) {
    let (client, expected) = (client_with(64), world.lock().history.last.clone());
    let (mut at, mut refusals) = (0, 0);
    while at < expected.len() && refusals < 3 {
        let start = Start::Offset(expected[at].offset);
        let fetch = Fetch { start, records_max: 256, bytes_max: 1 << 20, wait: Duration::ZERO };
        match client.fetch(fetch).await {
            Ok(records) => {
                for record in records {
                    let Some(seen) = expected.get(at) else { break };
                    if (record.offset, &record.value[..]) != (seen.offset, &seen.value[..]) {
                        let (found, value) = (show(&record.value), show(&seen.value));
                        let what = format!("rotten bytes: offset {} holds {found}, it was {value}", seen.offset);
                        return world.complain("one truth", what);
                    }
                    at += 1;
                }
            }
            Err(error) if error.out_of_range().is_some() => {
                let what = format!("rotten bytes: offset {} is gone: {error}", expected[at].offset);
                return world.complain("acked survives", what);
            }
            // Refused, as it should be; or the network.
            Err(error) => {
                world.event(format!("reader: {error}"));
                refusals += 1;
            }
        }
    }
    world.fired(if at == expected.len() { "rot_harmless" } else { "rot_unread" });
}
