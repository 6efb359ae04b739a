//! Producers that take an unknown outcome for what it is, and go on with the next record.

use super::*;
use seedlog_runtime::rng::keyed;
use tokio::sync::mpsc;

/// Makes records that nobody else makes, and notes that they were tried.
pub struct Maker {
    pub client: u32,
    pub rng: ChaCha12Rng,
    pub plan: Plan,
    pub world: World,
    made: u64,
}

impl Maker {
    pub fn new(client: u32, plan: &Plan, world: &World) -> Maker {
        let rng = keyed(plan.seed, &["producer".into(), u64::from(client).into()]);
        Maker { client, rng, plan: plan.clone(), world: world.clone(), made: 0 }
    }

    /// As many as are made in a call are in its [`Produce`], with what else is noted of it.
    pub fn call(&mut self, noted: Produce) -> (usize, Vec<Record>) {
        let count = self.rng.random_range(1..=self.plan.workload.batch_records_max);
        self.call_with(count, noted)
    }

    /// The same, with so many records.
    pub fn call_with(&mut self, count: u32, noted: Produce) -> (usize, Vec<Record>) {
        let workload = &self.plan.workload;
        let mut values = Vec::new();
        for _ in 0..count {
            let mut value = self.name().into_bytes();
            let length = self.rng.random_range(0..=workload.record_bytes_max as usize);
            while value.len() < length {
                value.push(b'a' + (value.len() as u64 + self.made) as u8 % 26);
            }
            self.made += 1;
            values.push(value);
        }
        let is_mirrored = self.plan.mirror.is_some();
        let record = |value: &Vec<u8>| Record { value: value.clone().into(), ..Default::default() };
        let record = |value| if is_mirrored { mirror::whole(record(value)) } else { record(value) };
        let records = values.iter().map(record).collect();
        let called_ns = now_ns();
        self.world.event(format!("producer {} calls with {count} records, {} so far", self.client, self.made));
        (self.world.calls(Produce { client: self.client, values, called_ns, ..noted }), records)
    }

    /// What the next value begins with: nobody else's at any site does.
    fn name(&self) -> String {
        let Maker { client, made, .. } = self;
        match self.plan.site {
            0 => format!("{client}.{made}:"),
            site => format!("{client}.{made} of site {site}:"),
        }
    }

    pub async fn pause(&mut self) {
        madsim::time::sleep(pause(self.plan.workload.pause_ms_mean, &mut self.rng)).await;
    }

    pub async fn back_off(&mut self) {
        madsim::time::sleep(backoff(&mut self.rng)).await;
    }
}

pub struct Producer {
    maker: Maker,
}

impl Producer {
    pub fn new(maker: Maker) -> Producer {
        Producer { maker }
    }

    pub async fn unary(self) {
        let Producer { mut maker } = self;
        let mut caller = Caller::new(&maker.plan, maker.client);
        while !maker.world.stopping() {
            maker.pause().await;
            let (call, records) = maker.call(Produce::default());
            let client = caller.client().clone();
            let forwarded = maker.world.is_follower(caller.node());
            let answer = client.produce(records).await;
            if forwarded && answer.is_ok() && maker.world.is_follower(caller.node()) {
                maker.world.fired("forwarded_produce");
            }
            answered(&maker.world, maker.client, call, &answer);
            if answer.is_err() {
                caller.failed();
                maker.back_off().await;
            }
        }
    }

    pub async fn pipelined(self) {
        let Producer { mut maker } = self;
        let mut caller = Caller::new(&maker.plan, maker.client);
        while !maker.world.stopping() {
            maker.back_off().await;
            let opened = caller.fresh().produce_stream().await;
            let Ok((mut requests, mut answers)) = opened else {
                caller.failed();
                continue;
            };
            let (called, mut calls) = mpsc::unbounded_channel();
            let (world, client) = (maker.world.clone(), maker.client);
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
            while !maker.world.stopping() && !answering.is_finished() {
                let (call, records) = maker.call(Produce::default());
                // The other end is gone only if the stream is.
                let sent = called.send(call).is_ok() && requests.send(records).await.is_ok();
                if !sent {
                    break;
                }
                maker.pause().await;
            }
            drop((requests, called));
            caller.failed();
            answering.await.expect("it does not panic");
        }
    }
}

/// Three calls, asked of a node by somebody on its own machine: a leader that hears no other one takes them, too.
/// Each has one record of half of `bytes`, or little more than nothing.
pub async fn produce_there(world: World, number: u32, machine: NodeId, bytes: usize) {
    for _ in 0..3 {
        let Some(node) = Handle::current().get_node(machine) else { return };
        let site = world.site();
        let mut value = format!("{ON_THE_SPOT}.{} of site {site}:", world.lock().history.produces.len()).into_bytes();
        value.resize(value.len().max(bytes / 2), b'.');
        let (values, client, called_ns) = (vec![value.clone()], ON_THE_SPOT, now_ns());
        let call = world.calls(Produce { client, values, called_ns, ..Produce::default() });
        let record = Record { value: value.into(), ..Default::default() };
        // So long that it is still there when its node hears what became of it.
        let options = Options { answer_max: 4 * PATIENCE, ..Options::default() };
        let producing = node.spawn(async move { client_with(site, number, options).produce(vec![record]).await });
        let world = world.clone();
        drop(tokio::spawn(async move {
            // If the machine goes down, so does this, and nobody knows.
            if let Ok(answer) = producing.await {
                answered(&world, ON_THE_SPOT, call, &answer);
            }
        }));
        madsim::time::sleep(Duration::from_millis(10)).await;
    }
}

pub fn answered(world: &World, client: u32, call: usize, answer: &Result<seedlog_client::Produced, Error>) {
    let outcome = match answer {
        Ok(produced) => Outcome::Acked { first_offset: produced.first_offset, at_ns: now_ns() },
        Err(error) if error.outcome() == Certainty::NotWritten => Outcome::Refused,
        Err(_) => Outcome::Unknown,
    };
    let mut world = world.lock();
    let at_ns = now_ns();
    world.trace.event(at_ns, format!("producer {client} call {call}: {answer:?}"));
    if let Ok(produced) = answer
        && produced.count as usize != world.history.produces[call].values.len()
    {
        let what = format!("call {call} of client {client} was acked with a count of {}", produced.count);
        world.history.complaints.push(Complaint { check: "one truth", what, at_ns });
    }
    match answer {
        Err(Error::Server(ApiError::DiskFull { .. })) => world.count("refused_without_room"),
        Err(Error::Server(ApiError::Fenced { .. })) => world.count("fenced"),
        _ => {}
    }
    world.history.produces[call].outcome = outcome;
}
