//! The calls themselves, through the client library alone.

use crate::bench::args::{Mode, Shape};
use crate::bench::budget::Budget;
use crate::bench::figures::Recorder;
use bytes::Bytes;
use seedlog_client::{Client, Error, Record, Start};
use seedlog_runtime::{clock, spawn};
use std::ops::Range;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc};

/// Makes calls until the budget says no more, and returns when all are answered. The first failure ends it.
///
/// `offsets` is what there is to consume.
pub async fn load(client: &Client, shape: Shape, offsets: Range<u64>, budget: &Arc<Budget>) -> Result<Recorder, Error> {
    match shape.mode {
        Mode::Unary => {
            let record = Record { value: value(shape.size_bytes), ..Record::default() };
            side_by_side(shape.in_flight, budget, |budget| unary(client.clone(), record.clone(), budget)).await
        }
        Mode::Stream | Mode::Batch => stream(client, shape, budget.clone()).await,
        Mode::Consume => {
            let batch = u64::from(shape.batch_records);
            side_by_side(shape.in_flight, budget, |budget| tail(client.clone(), offsets.clone(), batch, budget)).await
        }
    }
}

/// Not all the same byte: a file system may compress.
fn value(bytes: usize) -> Bytes {
    (0..bytes as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

async fn side_by_side<F>(tasks: u32, budget: &Arc<Budget>, task: impl Fn(Arc<Budget>) -> F) -> Result<Recorder, Error>
where
    F: Future<Output = Result<Recorder, Error>> + Send + 'static,
{
    let tasks: Vec<_> = (0..tasks)
        .map(|_| {
            let (task, budget) = (task(budget.clone()), budget.clone());
            spawn(async move { task.await.inspect_err(|_| budget.stop()) })
        })
        .collect();
    let mut all = Ok(Recorder::new());
    for task in tasks {
        let done = task.await.unwrap_or(Err(Error::StreamEnded));
        all = match (all, done) {
            (Ok(mut all), Ok(done)) => {
                all.add(&done);
                Ok(all)
            }
            (Err(first), _) | (Ok(_), Err(first)) => Err(first),
        };
    }
    all
}

async fn unary(client: Client, record: Record, budget: Arc<Budget>) -> Result<Recorder, Error> {
    let mut recorder = Recorder::new();
    while budget.take() {
        let made = clock::now();
        client.produce(vec![record.clone()]).await?;
        recorder.call(made.elapsed(), 1, record.value.len() as u64);
        budget.done(1);
    }
    Ok(recorder)
}

async fn stream(client: &Client, shape: Shape, budget: Arc<Budget>) -> Result<Recorder, Error> {
    let records = shape.records_a_request();
    let batch = vec![Record { value: value(shape.size_bytes), ..Record::default() }; records as usize];
    let (mut sender, mut results) = client.produce_stream().await?;
    // A window of our own, so that a call begins when there is room for it and not when the client has some.
    let window = Arc::new(Semaphore::new(shape.in_flight as usize));
    let (made, mut unanswered) = mpsc::unbounded_channel();
    let sending = spawn({
        let budget = budget.clone();
        async move {
            while let Ok(permit) = window.clone().acquire_owned().await
                && budget.take()
                && made.send((clock::now(), permit)).is_ok()
            {
                sender.send(batch.clone()).await?;
            }
            Ok(())
        }
    });
    let mut recorder = Recorder::new();
    while let Some(result) = results.next().await {
        result?;
        let Some((made, _permit)) = unanswered.recv().await else { break };
        recorder.call(made.elapsed(), records.into(), u64::from(records) * shape.size_bytes as u64);
        budget.done(records.into());
    }
    match results.take_ended_idle() {
        Some(why) => Err(why),
        None => sending.await.unwrap_or(Err(Error::StreamEnded)).map(|()| recorder),
    }
}

/// Reads `offsets` from the first to the last, and again.
async fn tail(client: Client, offsets: Range<u64>, batch: u64, budget: Arc<Budget>) -> Result<Recorder, Error> {
    let mut recorder = Recorder::new();
    loop {
        let mut tail = client.consume_stream(Start::Offset(offsets.start)).await?;
        let mut left = offsets.end - offsets.start;
        while left > 0 {
            if !budget.take() {
                return Ok(recorder);
            }
            let made = clock::now();
            let records = batch.min(left);
            let mut bytes = 0;
            for _ in 0..records {
                let record =
                    tail.next().await.ok_or(Error::StreamBroken { why: "the server ended it".to_owned() })??;
                bytes += record.value.len() as u64;
            }
            recorder.call(made.elapsed(), records, bytes);
            budget.done(records);
            left -= records;
        }
    }
}
