//! The generated client, as it comes, against the echo server.

use crate::args::{Calls, Shape};
use crate::echo_server::{CONNECTION_WINDOW_BYTES, MESSAGE_BYTES_MAX, STREAM_WINDOW_BYTES};
use crate::error::{BenchError, io};
use crate::figures::{Figures, Recorder, value};
use seedlog_api::v1::log_client::LogClient;
use seedlog_api::v1::{ConsumeRequest, ProduceRequest, Record};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};

type Client = LogClient<Channel>;

pub fn run(args: &Calls) -> Result<Figures, BenchError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(io("tokio"))?;
    runtime.block_on(async {
        let endpoint = Endpoint::from_shared(format!("http://{}", args.addr))?
            .tcp_nodelay(true)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
        let client = LogClient::new(endpoint.connect().await?)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let recorder = Recorder::start(args.warm_up, args.seconds);
        let recorder = match args.shape {
            Shape::Unary => unary(client, args, recorder).await,
            Shape::Stream => stream(client, args, recorder).await,
            Shape::Consume => consume(client, args, recorder).await,
        };
        Ok(recorder.map_err(Box::new)?.figures())
    })
}

fn request(args: &Calls) -> ProduceRequest {
    let record = Record { value: value(args.size).into(), ..Record::default() };
    match args.batch {
        1 => ProduceRequest { record: Some(record), ..ProduceRequest::default() },
        batch => ProduceRequest { records: vec![record; batch as usize], ..ProduceRequest::default() },
    }
}

async fn unary(client: Client, args: &Calls, mut all: Recorder) -> Result<Recorder, tonic::Status> {
    let tasks: Vec<_> = (0..args.in_flight)
        .map(|_| {
            let (mut client, request, mut recorder) = (client.clone(), request(args), all.beside());
            let (records, bytes) = call_holds(args);
            tokio::spawn(async move {
                while recorder.goes_on() {
                    let made = Instant::now();
                    client.produce(request.clone()).await?;
                    recorder.call(made, records, bytes);
                }
                Ok::<_, tonic::Status>(recorder)
            })
        })
        .collect();
    for task in tasks {
        all.add(&task.await.expect("no task panics")?);
    }
    Ok(all)
}

async fn stream(mut client: Client, args: &Calls, mut recorder: Recorder) -> Result<Recorder, tonic::Status> {
    let (requests, requested) = mpsc::channel(1);
    let window = Arc::new(Semaphore::new(args.in_flight as usize));
    let (made, mut unanswered) = mpsc::unbounded_channel();
    let mut answers = client.produce_stream(ReceiverStream::new(requested)).await?.into_inner();
    let (request, going) = (request(args), recorder.clone());
    tokio::spawn(async move {
        while let Ok(permit) = window.clone().acquire_owned().await
            && going.goes_on()
            && made.send((Instant::now(), permit)).is_ok()
            && requests.send(request.clone()).await.is_ok()
        {}
    });
    let (records, bytes) = call_holds(args);
    while answers.message().await?.is_some() {
        let Some((made, _permit)) = unanswered.recv().await else { break };
        recorder.call(made, records, bytes);
    }
    Ok(recorder)
}

/// A call is a message, as the log's client takes `batch` records for one.
async fn consume(mut client: Client, args: &Calls, mut recorder: Recorder) -> Result<Recorder, tonic::Status> {
    // The echo server takes `max_bytes` for the size of a record.
    let request = ConsumeRequest { max_records: args.batch, max_bytes: args.size, ..ConsumeRequest::default() };
    let mut answers = client.consume_stream(request).await?.into_inner();
    while recorder.goes_on() {
        let made = Instant::now();
        let Some(answer) = answers.message().await? else { break };
        let bytes = answer.records.iter().map(|record| record.value.len() as u64).sum();
        recorder.call(made, answer.records.len() as u64, bytes);
    }
    Ok(recorder)
}

fn call_holds(args: &Calls) -> (u64, u64) {
    (args.batch.into(), u64::from(args.batch) * u64::from(args.size))
}
