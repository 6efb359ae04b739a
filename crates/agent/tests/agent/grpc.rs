//! One agent on an in-memory disk, through the generated client: what each RPC promises. Over real
//! sockets in production, over simulated ones in the simulation.

use futures_util::StreamExt as _;
use seedlog_agent::{Agent, Config};
use seedlog_api::ApiError;
use seedlog_api::v1::log_client::LogClient;
use seedlog_api::v1::{
    ConsumeRequest, ConsumeResponse, GetServersRequest, Header, Origin, ProduceRequest, ProduceResponse, Record, Role,
    Start,
};
use seedlog_runtime::clock;
use seedlog_runtime::disk::SimDisk;
use seedlog_runtime::rpc::channel;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

/// Far more than any step here takes.
const SOON: Duration = Duration::from_secs(20);

async fn start(disk: &Arc<SimDisk>) -> Agent {
    let config = Config::new("/data".into(), ([127, 0, 0, 1], 0).into());
    let agent = Agent::start(config, disk.clone()).await.expect("it starts");
    clock::timeout(SOON, agent.node().ready()).await.expect("it is ready soon").expect("it does not stop");
    agent
}

/// The generated client's type has another shape in the simulation, so no function can name it.
macro_rules! client {
    ($agent:expr) => {
        LogClient::new(channel(&$agent.rpc_addr().to_string()).unwrap())
            .max_decoding_message_size(seedlog_server::MESSAGE_BYTES_MAX)
            .max_encoding_message_size(2 * seedlog_server::MESSAGE_BYTES_MAX)
    };
}

fn record(value: impl Into<String>) -> Record {
    Record { value: value.into().into(), ..Record::default() }
}

fn one(value: impl Into<String>) -> ProduceRequest {
    ProduceRequest { record: Some(record(value)), ..ProduceRequest::default() }
}

fn batch(values: impl IntoIterator<Item = String>) -> ProduceRequest {
    ProduceRequest { records: values.into_iter().map(record).collect(), ..ProduceRequest::default() }
}

fn at(offset: u64) -> ConsumeRequest {
    ConsumeRequest { offset, ..ConsumeRequest::default() }
}

fn value(record: &Record) -> &str {
    std::str::from_utf8(&record.value).unwrap()
}

fn facts(status: &Status) -> ApiError {
    ApiError::from_status(status).unwrap_or_else(|| panic!("no facts in {status:?}"))
}

async fn next<M>(answers: &mut Streaming<M>) -> Result<Option<M>, Status> {
    clock::timeout(SOON, answers.message()).await.expect("an answer comes soon")
}

#[tokio::test]
async fn a_record_comes_back_whole_with_its_place() {
    let agent = start(&Arc::new(SimDisk::new(1))).await;
    let mut client = client!(agent);
    let sent = Record {
        value: "value".into(),
        key: "key".into(),
        headers: vec![Header { name: "trace".into(), value: "7".into() }],
        timestamp_ms: Some(-1),
        r#type: 4,
        origins: vec![Origin { cluster_id: "c0ffee".repeat(5) + "c0", offset: 7, append_time_ms: 3 }],
        // The server's to say: ignored.
        offset: 99,
        term: 99,
        append_time_ms: 99,
    };
    let request = ProduceRequest { record: Some(sent.clone()), ..ProduceRequest::default() };
    let produced = client.produce(request).await.unwrap().into_inner();
    assert_eq!(produced, ProduceResponse { offset: 0, count: 1, ..ProduceResponse::default() });

    let read = client.consume(at(0)).await.unwrap().into_inner().record.unwrap();
    assert!(read.append_time_ms > 99 && (1..99).contains(&read.term), "{read:?}");
    assert_eq!(read, Record { offset: 0, term: read.term, append_time_ms: read.append_time_ms, ..sent });
    agent.shutdown().await;
}

#[tokio::test]
async fn a_batch_is_one_answer_and_is_read_back_in_parts_or_whole() {
    let agent = start(&Arc::new(SimDisk::new(1))).await;
    let mut client = client!(agent);
    client.produce(one("first")).await.unwrap();
    let produced = client.produce(batch(["a", "b", "c"].map(String::from))).await.unwrap().into_inner();
    assert_eq!((produced.offset, produced.count), (1, 3));

    let read = client.consume(ConsumeRequest { max_records: 10, ..at(0) }).await.unwrap().into_inner();
    assert_eq!(read.record, None);
    assert_eq!(read.records.iter().map(value).collect::<Vec<_>>(), ["first", "a", "b", "c"]);
    assert_eq!(read.records.iter().map(|record| record.offset).collect::<Vec<_>>(), [0, 1, 2, 3]);

    let read = client.consume(ConsumeRequest { max_records: 2, ..at(2) }).await.unwrap().into_inner();
    assert_eq!(read.records.iter().map(value).collect::<Vec<_>>(), ["b", "c"]);
    let read = client.consume(ConsumeRequest { max_records: 10, max_bytes: 1, ..at(1) }).await.unwrap().into_inner();
    assert_eq!(read.records.len(), 1, "at least one, however few bytes are asked for");
    agent.shutdown().await;
}

#[tokio::test]
async fn a_miss_names_the_valid_range() {
    let agent = start(&Arc::new(SimDisk::new(1))).await;
    let mut client = client!(agent);
    let miss = client.consume(at(0)).await.unwrap_err();
    assert_eq!(facts(&miss), ApiError::OffsetOutOfRange { asked: 0, first: 0, next: 0 });
    client.produce(batch(["a", "b"].map(String::from))).await.unwrap();
    let miss = client.consume(at(2)).await.unwrap_err();
    assert_eq!(miss.code(), Code::OutOfRange);
    assert_eq!(miss.message(), "offset 2 is out of range: valid offsets are 0 to 1");
    agent.shutdown().await;
}

#[tokio::test]
async fn a_miss_at_the_end_may_wait_for_a_record_but_not_for_ever() {
    let agent = start(&Arc::new(SimDisk::new(1))).await;
    let mut client = client!(agent);
    let mut producer = client!(agent);
    let waiting = seedlog_runtime::spawn(async move {
        let mut client = client;
        (client.consume(ConsumeRequest { wait_ms: 60_000, ..at(0) }).await, client)
    });
    producer.produce(one("at last")).await.unwrap();
    let (read, returned) = clock::timeout(SOON, waiting).await.expect("woken").unwrap();
    client = returned;
    assert_eq!(value(&read.unwrap().into_inner().record.unwrap()), "at last");

    let before = clock::now();
    let miss = client.consume(ConsumeRequest { wait_ms: 200, ..at(1) }).await.unwrap_err();
    assert_eq!(facts(&miss), ApiError::OffsetOutOfRange { asked: 1, first: 0, next: 1 });
    assert!(before.elapsed() >= Duration::from_millis(200), "it waited only {:?}", before.elapsed());
    agent.shutdown().await;
}

#[tokio::test]
async fn a_pipelined_stream_is_answered_in_order() {
    const REQUESTS: u64 = 1000;
    let agent = start(&Arc::new(SimDisk::new(1))).await;
    let mut client = client!(agent);
    let requests = tokio_stream::iter((0..REQUESTS).map(|number| one(number.to_string())));
    let answers = client.produce_stream(requests).await.unwrap().into_inner();
    let offsets: Vec<u64> = answers.map(|answer| answer.unwrap().offset).collect().await;
    assert_eq!(offsets, (0..REQUESTS).collect::<Vec<_>>());

    let read = client.consume(ConsumeRequest { max_records: REQUESTS as u32, ..at(0) }).await.unwrap().into_inner();
    for (number, record) in (0..REQUESTS).zip(&read.records) {
        assert_eq!(value(record), number.to_string());
    }
    assert_eq!(read.records.len() as u64, REQUESTS);
    agent.shutdown().await;
}

/// A good request, one that is too large, and a good one.
fn good_bad_good() -> [ProduceRequest; 3] {
    [one("good"), one("x".repeat((1 << 20) + 1)), one("better")]
}

#[tokio::test]
async fn a_failed_request_ends_the_stream_of_a_client_that_could_take_it_for_a_success() {
    let agent = start(&Arc::new(SimDisk::new(1))).await;
    let mut client = client!(agent);
    let mut answers = client.produce_stream(tokio_stream::iter(good_bad_good())).await.unwrap().into_inner();
    assert_eq!(next(&mut answers).await.unwrap().unwrap().offset, 0);
    let status = next(&mut answers).await.unwrap_err();
    assert_eq!(facts(&status), ApiError::RecordTooLarge { index: 0, bytes: (1 << 20) + 1, max: 1 << 20 });
    // What came after it was not taken in.
    let miss = client.consume(at(1)).await.unwrap_err();
    assert_eq!(facts(&miss), ApiError::OffsetOutOfRange { asked: 1, first: 0, next: 1 });
    agent.shutdown().await;
}

#[tokio::test]
async fn a_failed_request_is_answered_with_its_error_and_the_stream_goes_on_if_the_client_says_so() {
    let agent = start(&Arc::new(SimDisk::new(1))).await;
    let requests = good_bad_good().map(|request| ProduceRequest { errors_in_answers: true, ..request });
    let answers = client!(agent).produce_stream(tokio_stream::iter(requests)).await.unwrap().into_inner();
    let answers: Vec<ProduceResponse> = answers.map(Result::unwrap).collect().await;
    let error = answers[1].error.as_ref().expect("the second failed");
    assert_eq!(
        ApiError::from_stream_error(error),
        Some(ApiError::RecordTooLarge { index: 0, bytes: (1 << 20) + 1, max: 1 << 20 })
    );
    assert_eq!((answers[0].offset, &answers[0].error), (0, &None));
    assert_eq!((answers[2].offset, &answers[2].error), (1, &None));
    agent.shutdown().await;
}

async fn tail(answers: &mut Streaming<ConsumeResponse>, records: usize) -> Vec<String> {
    let mut values = Vec::new();
    while values.len() < records {
        let answer = next(answers).await.unwrap().expect("a tail does not end");
        values.extend(answer.record.iter().chain(&answer.records).map(|record| value(record).to_owned()));
    }
    values
}

#[tokio::test]
async fn a_tail_gives_what_is_there_and_then_what_comes() {
    let agent = start(&Arc::new(SimDisk::new(1))).await;
    let mut client = client!(agent);
    client.produce(batch(["a", "b", "c"].map(String::from))).await.unwrap();

    let from = |start: Start| ConsumeRequest { start: start.into(), ..ConsumeRequest::default() };
    let mut at_one = client.consume_stream(at(1)).await.unwrap().into_inner();
    let mut in_batches =
        client.consume_stream(ConsumeRequest { max_records: 100, ..from(Start::Earliest) }).await.unwrap().into_inner();
    let mut ahead = client.consume_stream(at(4)).await.unwrap().into_inner();
    let mut latest = client.consume_stream(from(Start::Latest)).await.unwrap().into_inner();
    assert_eq!(tail(&mut at_one, 2).await, ["b", "c"]);
    assert_eq!(tail(&mut in_batches, 3).await, ["a", "b", "c"]);

    // Where `latest` starts is decided when it is read first: read until it has decided.
    let first = seedlog_runtime::spawn(async move { (tail(&mut latest, 1).await, latest) });
    let mut last = String::new();
    while !first.is_finished() {
        last = client.produce(one("filler")).await.unwrap().into_inner().offset.to_string();
    }
    let (values, mut latest) = first.await.unwrap();
    assert_eq!(values, ["filler"], "nothing from before, up to offset {last}");

    client.produce(one("end")).await.unwrap();
    for answers in [&mut at_one, &mut in_batches, &mut ahead, &mut latest] {
        while tail(answers, 1).await.last().unwrap() != "end" {}
    }
    agent.shutdown().await;
}

#[tokio::test]
async fn a_tail_that_cannot_start_says_so_at_once() {
    let agent = start(&Arc::new(SimDisk::new(1))).await;
    let mut client = client!(agent);
    let nowhere = ConsumeRequest { start: 99, ..ConsumeRequest::default() };
    let named = ConsumeRequest { log: "orders".into(), ..ConsumeRequest::default() };
    for (request, code) in [(nowhere, Code::InvalidArgument), (named, Code::NotFound)] {
        let answers = client.consume_stream(request).await;
        let status = match answers {
            Err(status) => status,
            Ok(answers) => next(&mut answers.into_inner()).await.unwrap_err(),
        };
        assert_eq!(status.code(), code);
    }
    agent.shutdown().await;
}

#[tokio::test]
async fn the_servers_are_this_one_which_leads() {
    let agent = start(&Arc::new(SimDisk::new(1))).await;
    let mut client = client!(agent);
    client.produce(batch(["a", "b"].map(String::from))).await.unwrap();
    let servers = client.get_servers(GetServersRequest {}).await.unwrap().into_inner().servers;
    let [server] = &servers[..] else { panic!("one server, not {servers:?}") };
    assert_eq!(server.id, format!("{:016x}", agent.identity().node_id));
    assert_eq!(server.cluster_id, format!("{:032x}", agent.identity().cluster_id));
    assert_eq!(server.rpc_addr, agent.rpc_addr().to_string());
    assert!(server.is_leader && server.role() == Role::Leader && server.term > 0, "{server:?}");
    assert_eq!((server.first_offset, server.next_offset), (0, 2));
    agent.shutdown().await;
}

#[tokio::test]
async fn the_servers_are_listed_with_all_that_was_acked_from_the_first_moment_after_a_start() {
    let disk = Arc::new(SimDisk::new(1));
    for round in 0..5 {
        let config = Config::new("/data".into(), ([127, 0, 0, 1], 0).into());
        let agent = Agent::start(config, disk.clone()).await.expect("it starts");
        let mut client = client!(agent);
        let servers = client.get_servers(GetServersRequest {}).await.unwrap().into_inner().servers;
        let [server] = &servers[..] else { panic!("one server, not {servers:?}") };
        assert_eq!((server.is_leader, server.next_offset), (true, round * 100), "{server:?}");
        client.produce(batch((0..100).map(|number| number.to_string()))).await.unwrap();
        agent.shutdown().await;
    }
}

#[tokio::test]
async fn without_room_a_record_is_refused_with_what_is_free_and_what_is_kept_back() {
    let disk = Arc::new(SimDisk::new(1));
    let agent = start(&disk).await;
    let mut client = client!(agent);
    client.produce(one("there is room")).await.unwrap();
    disk.set_space_bytes(Some(disk.used_bytes() + 1000));
    // What was seen free a moment ago is believed for a moment.
    let refused = loop {
        match client.produce(one("")).await {
            Ok(_) => clock::sleep(Duration::from_millis(10)).await,
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused.code(), Code::ResourceExhausted);
    let ApiError::DiskFull { wanted_bytes, free_bytes, reserve_bytes } = facts(&refused) else { panic!("{refused:?}") };
    assert!(free_bytes <= 1000 && reserve_bytes > 1000 && wanted_bytes > 0, "{refused:?}");
    for named in [wanted_bytes, free_bytes, reserve_bytes] {
        assert!(refused.message().contains(&named.to_string()), "{refused:?}");
    }
    agent.shutdown().await;
}

#[tokio::test]
async fn a_shutdown_ends_streams_and_gives_everything_back_and_the_log_is_there_at_the_next_start() {
    let disk = Arc::new(SimDisk::new(1));
    let agent = start(&disk).await;
    let mut client = client!(agent);
    client.produce(one("kept")).await.unwrap();
    let mut tail = client.consume_stream(at(1)).await.unwrap().into_inner();
    let (requests, stream) = mpsc::channel(1);
    let mut produced = client.produce_stream(ReceiverStream::new(stream)).await.unwrap().into_inner();
    requests.send(one("kept too")).await.unwrap();
    assert_eq!(next(&mut produced).await.unwrap().unwrap().offset, 1);
    assert_eq!(next(&mut tail).await.unwrap().unwrap().record.unwrap().offset, 1);

    clock::timeout(SOON, agent.shutdown()).await.expect("nothing holds it");
    assert_eq!(facts(&next(&mut tail).await.unwrap_err()), ApiError::ShuttingDown);
    assert_eq!(facts(&next(&mut produced).await.unwrap_err()), ApiError::ShuttingDown);
    agent.shutdown().await;

    let again = start(&disk).await;
    assert_eq!(again.identity(), agent.identity());
    let read = client!(again).consume(ConsumeRequest { max_records: 9, ..at(0) }).await.unwrap().into_inner();
    assert_eq!(read.records.iter().map(value).collect::<Vec<_>>(), ["kept", "kept too"]);
    again.shutdown().await;
}
