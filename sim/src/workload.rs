//! The clients: they produce values that are unique in the run, follow the tail, and write down what
//! they were told and nothing else.

use crate::history::{Outcome, Produce, Seen};
use crate::machine::NODE_ADDR;
use crate::plan::Plan;
use crate::world::{World, now_ns};
use madsim::runtime::{Handle, NodeHandle};
use madsim::task::NodeId;
use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use seedlog_api::v1::{ConsumeRequest, ProduceRequest, Record, Start};
use seedlog_client::Client;
use seedlog_runtime::rng::keyed;
use std::collections::VecDeque;
use std::time::Duration;

/// Each client is a node of the simulated network.
pub struct Clients {
    producers: Vec<NodeHandle>,
    consumers: Vec<NodeHandle>,
    reader: NodeHandle,
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
    pub fn build(plan: &Plan, _world: &World) -> Clients {
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

    pub fn start(&self, plan: &Plan, world: &World) {
        for (client, node) in (0..).zip(&self.producers) {
            let producer = Producer::new(client, plan, world);
            // Every other one pipelines.
            if client % 2 == 0 {
                node.spawn(producer.unary());
            } else {
                node.spawn(producer.pipelined());
            }
        }
        for (client, node) in (CONSUMERS..).zip(&self.consumers) {
            node.spawn(consumer(client, plan.clone(), world.clone()));
        }
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
    fn call(&mut self) -> (usize, ProduceRequest) {
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
        let mut request = ProduceRequest::default();
        match values.as_slice() {
            [value] => request.record = Some(record(value)),
            values => request.records = values.iter().map(record).collect(),
        }
        let mut world = self.world.lock();
        let called_ns = now_ns();
        world.trace.event(called_ns, format!("producer {} calls with {count} records, {} so far", self.client, self.made));
        world.history.produces.push(Produce { client: self.client, values, called_ns, outcome: Outcome::Unknown });
        (world.history.produces.len() - 1, request)
    }

    fn answered(&self, call: usize, answer: &Result<u64, seedlog_client::Error>) {
        let mut world = self.world.lock();
        let at_ns = now_ns();
        world.trace.event(at_ns, format!("producer {} call {call}: {answer:?}", self.client));
        world.history.produces[call].outcome = match answer {
            Ok(first_offset) => Outcome::Acked { first_offset: *first_offset, at_ns },
            Err(error) if error.is_definite() => Outcome::Refused,
            Err(_) => Outcome::Unknown,
        };
    }

    async fn unary(mut self) {
        let mut client = None;
        while !self.world.stopping() {
            madsim::time::sleep(pause(self.plan.workload.pause_ms_mean, &mut self.rng)).await;
            let Some(connected) = connect(&mut client, &mut self.rng).await else { continue };
            let (call, request) = self.call();
            let answer = connected.produce(request).await.map(|produced| produced.offset);
            self.answered(call, &answer);
            if answer.is_err() {
                client = None;
            }
        }
    }

    async fn pipelined(mut self) {
        let mut client = None;
        while !self.world.stopping() {
            madsim::time::sleep(pause(self.plan.workload.pause_ms_mean, &mut self.rng)).await;
            let Some(connected) = connect(&mut client, &mut self.rng).await else { continue };
            let Ok((mut requests, mut answers)) = connected.produce_stream(IN_FLIGHT_MAX).await else {
                client = None;
                continue;
            };
            let mut in_flight = VecDeque::new();
            while !self.world.stopping() {
                if in_flight.len() < IN_FLIGHT_MAX {
                    let (call, request) = self.call();
                    in_flight.push_back(call);
                    if requests.send(request).await.is_err() {
                        break;
                    }
                }
                let patience = if in_flight.len() < IN_FLIGHT_MAX {
                    pause(self.plan.workload.pause_ms_mean, &mut self.rng)
                } else {
                    PATIENCE
                };
                match madsim::time::timeout(patience, answers.next()).await {
                    Ok(Some(answer)) => {
                        let Some(call) = in_flight.pop_front() else { break };
                        let answer = answer.map(|produced| produced.offset);
                        self.answered(call, &answer);
                        if answer.is_err() {
                            break;
                        }
                    }
                    Ok(None) => break,
                    Err(_) if in_flight.len() < IN_FLIGHT_MAX => {}
                    Err(_) => break,
                }
            }
            // What was in flight stays unknown.
            client = None;
        }
    }
}

/// The connection, made anew if there is none.
async fn connect<'a>(client: &'a mut Option<Client>, rng: &mut ChaCha12Rng) -> Option<&'a mut Client> {
    if client.is_none() {
        match madsim::time::timeout(PATIENCE, Client::connect(NODE_ADDR)).await {
            Ok(Ok(connected)) => *client = Some(connected),
            _ => madsim::time::sleep(Duration::from_millis(rng.random_range(20..200))).await,
        }
    }
    client.as_mut()
}

/// Follows the tail; after every interruption it goes on one past the last record it saw.
async fn consumer(number: u32, plan: Plan, world: World) {
    let mut rng = keyed(plan.seed, &["consumer".into(), u64::from(number).into()]);
    let (mut client, mut next) = (None, None::<u64>);
    while !world.stopping() {
        let Some(connected) = connect(&mut client, &mut rng).await else { continue };
        let request = ConsumeRequest {
            offset: next.unwrap_or(0),
            start: if next.is_some() { Start::Offset } else { Start::Earliest }.into(),
            max_records: if number % 2 == 0 { 0 } else { 16 },
            ..Default::default()
        };
        let Ok(mut records) = connected.consume_stream(request).await else {
            client = None;
            madsim::time::sleep(Duration::from_millis(rng.random_range(20..200))).await;
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
                    if let Some((first, _)) = error.valid_range()
                        && next.is_some_and(|next| next < first)
                    {
                        next = Some(first);
                    }
                    break;
                }
            }
        }
        client = None;
    }
}

fn see(world: &World, client: u32, record: Record) {
    let mut world = world.lock();
    let at_ns = now_ns();
    world.trace.event(at_ns, format!("client {client} reads offset {} of term {}", record.offset, record.term));
    let Record { offset, value, append_time_ms, .. } = record;
    world.history.seen.push(Seen { client, offset, value: value.to_vec(), append_time_ms, at_ns });
}

/// Trims now and then, up to somewhere in what was acked.
pub async fn trims(plan: Plan, world: World, machine: NodeId) {
    if plan.workload.trim_ms_mean == 0 {
        return;
    }
    let mut rng = keyed(plan.seed, &["trims".into()]);
    loop {
        madsim::time::sleep(pause(plan.workload.trim_ms_mean, &mut rng)).await;
        let Some(agent) = world.agent() else { continue };
        let first_offset = {
            let mut world = world.lock();
            let first_offset = rng.random_range(0..=world.history.acked_next_offset());
            world.history.trimmed_to = world.history.trimmed_to.max(first_offset);
            first_offset
        };
        world.event(format!("trim to {first_offset}"));
        let Some(node) = Handle::current().get_node(machine) else { continue };
        // On the machine itself; if it goes down, so does this.
        let trim = node.spawn(async move { agent.node().trim(first_offset).await.map_err(|error| error.to_string()) });
        let trimmed = match madsim::time::timeout(PATIENCE, trim).await {
            Ok(Ok(trimmed)) => trimmed,
            Ok(Err(_)) => Err("the node went down".to_owned()),
            Err(_) => Err("no answer".to_owned()),
        };
        world.event(format!("trim to {first_offset}: {trimmed:?}"));
        if trimmed.is_ok() {
            world.fired("trim");
        }
    }
}

async fn read_all(world: World) {
    let mut rng = keyed(0, &["reader".into()]);
    let mut client = None;
    loop {
        let Some(connected) = connect(&mut client, &mut rng).await else { continue };
        match read_once(connected).await {
            Ok((range, last)) => {
                let at_ns = now_ns();
                let mut world = world.lock();
                world.trace.event(at_ns, format!("everything read: offsets {}..{}", range.0, range.1));
                world.history.last_range = range;
                world.history.last = last;
                return;
            }
            Err(error) => {
                world.event(format!("reader: {error}"));
                client = None;
            }
        }
    }
}

async fn read_once(client: &mut Client) -> Result<((u64, u64), Vec<Seen>), seedlog_client::Error> {
    let servers = client.servers().await?;
    let (first, next) = servers.first().map_or((0, 0), |server| (server.first_offset, server.next_offset));
    let mut last = Vec::new();
    while first + (last.len() as u64) < next {
        let offset = first + last.len() as u64;
        let request = ConsumeRequest { offset, max_records: 64, ..Default::default() };
        for record in client.consume(request).await? {
            let Record { offset, value, append_time_ms, .. } = record;
            last.push(Seen { client: READER, offset, value: value.to_vec(), append_time_ms, at_ns: now_ns() });
        }
    }
    // Records that came since are not this read's business.
    last.truncate((next - first) as usize);
    Ok(((first, next), last))
}
