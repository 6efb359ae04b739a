//! What a produce may be made to depend on, where a consume may start, and what an administrator may ask,
//! through the generated client: over real sockets in production, over simulated ones in the simulation.

use seedlog_agent::{Agent, Config};
use seedlog_api::ApiError;
use seedlog_api::v1::admin_client::AdminClient;
use seedlog_api::v1::log_client::LogClient;
use seedlog_api::v1::{
    ConsumeRequest, DescribeRequest, FenceRequest, Fencing, ProduceRequest, Record, Retention, SetRetentionRequest,
    Start, TrimRequest,
};
use seedlog_runtime::clock;
use seedlog_runtime::disk::SimDisk;
use seedlog_runtime::rpc::channel;
use std::sync::Arc;
use std::time::Duration;
use tonic::Status;

/// Far more than any step here takes.
const SOON: Duration = Duration::from_secs(20);

async fn start(disk: &Arc<SimDisk>) -> Agent {
    start_with(disk, |_| {}).await
}

async fn start_with(disk: &Arc<SimDisk>, change: impl FnOnce(&mut Config)) -> Agent {
    let mut config = Config::new("/data".into(), ([127, 0, 0, 1], 0).into());
    change(&mut config);
    let agent = Agent::start(config, disk.clone()).await.expect("it starts");
    clock::timeout(SOON, agent.node().ready()).await.expect("it is ready soon").expect("it does not stop");
    agent
}

// The generated clients' types have another shape in the simulation, so no function can name them.
macro_rules! log {
    ($agent:expr) => {
        LogClient::new(channel(&$agent.rpc_addr().to_string()).unwrap())
    };
}

macro_rules! admin {
    ($agent:expr) => {
        AdminClient::new(channel(&$agent.rpc_addr().to_string()).unwrap())
    };
}

fn records(values: &[&str]) -> ProduceRequest {
    let record = |value: &&str| Record { value: value.as_bytes().to_vec().into(), ..Record::default() };
    ProduceRequest { records: values.iter().map(record).collect(), ..ProduceRequest::default() }
}

fn by(id: &str, sequence: u64, values: &[&str]) -> ProduceRequest {
    ProduceRequest { producer_id: id.into(), sequence, ..records(values) }
}

fn facts(status: Status) -> ApiError {
    ApiError::from_status(&status).unwrap_or_else(|| panic!("no facts in {status:?}"))
}

#[tokio::test]
async fn a_produce_sent_again_happens_once_also_across_a_restart() {
    let disk = Arc::new(SimDisk::new(1));
    let agent = start(&disk).await;
    let mut log = log!(agent);
    assert_eq!(log.produce(by("p", 10, &["a", "b"])).await.unwrap().into_inner().offset, 0);
    assert_eq!(log.produce(by("p", 12, &["c"])).await.unwrap().into_inner().offset, 2);
    agent.shutdown().await;

    let agent = start(&disk).await;
    let mut log = log!(agent);
    let again = log.produce(by("p", 10, &["a", "b"])).await.unwrap().into_inner();
    assert_eq!((again.offset, again.count, again.repeated), (0, 2, true));
    let gap = facts(log.produce(by("p", 14, &["e"])).await.unwrap_err());
    assert_eq!(gap, ApiError::SequenceGap { sequence: 14, expected: 13 });
    let old = facts(log.produce(by("p", 9, &["z"])).await.unwrap_err());
    assert_eq!(old, ApiError::SequenceTooOld { sequence: 9, expected: 13 });
    let allowed = ProduceRequest { allow_sequence_gap: true, ..by("p", 14, &["e"]) };
    let new = log.produce(allowed).await.unwrap().into_inner();
    assert_eq!((new.offset, new.repeated), (3, false));
    agent.shutdown().await;
}

#[tokio::test]
async fn of_two_who_append_at_the_same_offset_one_is_told_the_next() {
    let agent = start(&Arc::new(SimDisk::new(1))).await;
    let (mut one, mut other) = (log!(agent), log!(agent));
    let at = |offset, value| ProduceRequest { expected_offset: Some(offset), ..records(&[value]) };
    let (first, second) = tokio::join!(one.produce(at(0, "one")), other.produce(at(0, "other")));
    let refused = facts(first.err().or(second.err()).expect("one of them comes too late"));
    assert_eq!(refused, ApiError::ExpectedOffset { expected: 0, next: 1 });
    assert_eq!(one.produce(at(1, "one")).await.unwrap().into_inner().offset, 1);
    agent.shutdown().await;
}

#[tokio::test]
async fn an_older_fencing_token_is_refused_and_none_at_all_where_one_is_required() {
    let agent = start(&Arc::new(SimDisk::new(1))).await;
    let (mut log, mut admin) = (log!(agent), admin!(agent));
    let with = |token| ProduceRequest { fencing_token: Some(token), ..records(&["x"]) };
    let fence = |token, required| FenceRequest { fencing: Some(Fencing { token, required }), ..Default::default() };
    log.produce(with(1)).await.unwrap();
    admin.fence(fence(5, false)).await.unwrap();
    let old = facts(log.produce(with(4)).await.unwrap_err());
    assert_eq!(old, ApiError::Fenced { given: Some(4), current: 5 });
    log.produce(with(5)).await.unwrap();
    log.produce(records(&["without"])).await.unwrap();
    admin.fence(fence(5, true)).await.unwrap();
    let none = facts(log.produce(records(&["without"])).await.unwrap_err());
    assert_eq!(none, ApiError::Fenced { given: None, current: 5 });
    let back = facts(admin.fence(fence(4, false)).await.unwrap_err());
    assert_eq!(back, ApiError::Fenced { given: Some(4), current: 5 });
    let nothing = admin.fence(FenceRequest::default()).await.unwrap_err();
    assert!(nothing.message().contains("token"), "{nothing:?}");
    let described = admin.describe(DescribeRequest::default()).await.unwrap().into_inner();
    assert_eq!(described.fencing, Some(Fencing { token: 5, required: true }));
    assert_eq!((described.first_offset, described.next_offset), (0, 3));
    agent.shutdown().await;
}

#[tokio::test]
async fn a_trim_is_answered_with_the_first_offset_and_reads_before_it_say_so() {
    let agent = start_with(&Arc::new(SimDisk::new(1)), |config| config.log.segment_bytes_max = 4 << 10).await;
    let (mut log, mut admin) = (log!(agent), admin!(agent));
    for _ in 0..30 {
        log.produce(records(&[&"x".repeat(1000)])).await.unwrap();
    }
    let before = admin.describe(DescribeRequest::default()).await.unwrap().into_inner();
    assert!(before.segments > 5, "{before:?}");
    let trim = |first_offset| TrimRequest { first_offset, ..TrimRequest::default() };
    assert_eq!(admin.trim(trim(25)).await.unwrap().into_inner().first_offset, 25);
    assert_eq!(admin.trim(trim(3)).await.unwrap().into_inner().first_offset, 25);
    let after = admin.describe(DescribeRequest::default()).await.unwrap().into_inner();
    assert!(after.segments < before.segments && after.bytes < before.bytes, "{after:?}");
    let gone = facts(log.consume(ConsumeRequest { offset: 24, ..Default::default() }).await.unwrap_err());
    assert_eq!(gone, ApiError::OffsetOutOfRange { asked: 24, first: 25, next: 30 });
    assert_eq!(admin.trim(trim(u64::MAX)).await.unwrap().into_inner().first_offset, 30);
    agent.shutdown().await;
}

#[tokio::test]
async fn retention_by_size_keeps_about_that_much_and_never_less() {
    let agent = start_with(&Arc::new(SimDisk::new(1)), |config| config.log.segment_bytes_max = 4 << 10).await;
    let (mut log, mut admin) = (log!(agent), admin!(agent));
    for _ in 0..40 {
        log.produce(records(&[&"x".repeat(1000)])).await.unwrap();
    }
    let retention = Some(Retention { bytes_max: 16 << 10, age_ms_max: 0 });
    admin.set_retention(SetRetentionRequest { retention, ..Default::default() }).await.unwrap();
    let kept = clock::timeout(SOON, async {
        loop {
            let now = admin.describe(DescribeRequest::default()).await.unwrap().into_inner();
            if now.first_offset > 0 && now.bytes <= 16 << 10 {
                return now;
            }
            clock::sleep(Duration::from_millis(20)).await;
        }
    });
    let kept = kept.await.expect("it is carried out soon");
    assert_eq!(kept.retention, retention);
    // A segment holds three of these records: one segment less than the bound, at most.
    assert!(kept.bytes > 10 << 10, "{kept:?}");
    assert_eq!(
        log.consume(ConsumeRequest { offset: 39, ..Default::default() })
            .await
            .unwrap()
            .into_inner()
            .record
            .unwrap()
            .offset,
        39
    );
    agent.shutdown().await;
}

#[tokio::test]
async fn a_start_at_a_time_is_the_first_record_of_that_time_or_later() {
    let agent = start(&Arc::new(SimDisk::new(1))).await;
    let mut log = log!(agent);
    let mut times = Vec::new();
    for _ in 0..20 {
        let offset = log.produce(records(&["x"])).await.unwrap().into_inner().offset;
        let read = log.consume(ConsumeRequest { offset, ..Default::default() }).await.unwrap().into_inner();
        times.push(read.record.unwrap().append_time_ms);
        clock::sleep(Duration::from_millis(3)).await;
    }
    let since = |start_time_ms| ConsumeRequest { start: Start::Time.into(), start_time_ms, ..Default::default() };
    for time in [i64::MIN, -1, 0, times[0], times[7], times[7] + 1, times[19]] {
        let first = times.iter().position(|at| *at >= time).unwrap() as u64;
        let read = log.consume(since(time)).await.unwrap().into_inner().record.unwrap();
        assert_eq!(read.offset, first, "since {time} of {times:?}");
        let mut tail = log.consume_stream(since(time)).await.unwrap().into_inner();
        assert_eq!(tail.message().await.unwrap().unwrap().record.unwrap().offset, first);
    }
    let late = facts(log.consume(since(times[19] + 1)).await.unwrap_err());
    assert_eq!(late, ApiError::OffsetOutOfRange { asked: 20, first: 0, next: 20 });
    agent.shutdown().await;
}

#[tokio::test]
async fn a_start_in_the_future_waits_for_its_time_and_passes_over_what_is_older() {
    let agent = start(&Arc::new(SimDisk::new(1))).await;
    let mut log = log!(agent);
    log.produce(records(&["before"])).await.unwrap();
    let soon = clock::wall_ms() as i64 + 400;
    let request = ConsumeRequest { start: Start::Time.into(), start_time_ms: soon, ..Default::default() };
    let mut tail = log.consume_stream(request.clone()).await.unwrap().into_inner();
    let mut waiting = log.clone();
    let waited = tokio::spawn(async move { waiting.consume(ConsumeRequest { wait_ms: 10_000, ..request }).await });
    let mut older = 0;
    while (clock::wall_ms() as i64) < soon {
        older = log.produce(records(&["older"])).await.unwrap().into_inner().offset;
        clock::sleep(Duration::from_millis(10)).await;
    }
    log.produce(records(&["later"])).await.unwrap();
    let first = tail.message().await.unwrap().unwrap().record.unwrap();
    assert!(first.append_time_ms >= soon && first.offset > 1 && first.offset <= older + 1, "{first:?}");
    assert_eq!(waited.await.unwrap().unwrap().into_inner().record.unwrap().offset, first.offset);
    agent.shutdown().await;
}

#[tokio::test]
async fn a_stream_of_batches_has_about_64_kib_a_message_and_one_of_records_has_one() {
    let agent = start(&Arc::new(SimDisk::new(1))).await;
    let mut log = log!(agent);
    let value = "x".repeat(1000);
    for _ in 0..3 {
        log.produce(records(&[value.as_str(); 100])).await.unwrap();
    }
    let request = ConsumeRequest { max_records: 1000, ..ConsumeRequest::default() };
    let mut batches = log.consume_stream(request).await.unwrap().into_inner();
    let mut next = 0;
    while next < 300 {
        let message = batches.message().await.unwrap().unwrap();
        let bytes: usize = message.records.iter().map(|record| record.value.len()).sum();
        next += message.records.len();
        assert!(bytes <= 64 << 10 && (bytes > 48 << 10 || next == 300), "{bytes} bytes up to offset {next}");
    }
    let mut single = log.consume_stream(ConsumeRequest::default()).await.unwrap().into_inner();
    for offset in 0..3 {
        let message = single.message().await.unwrap().unwrap();
        assert_eq!((message.record.unwrap().offset, message.records.len()), (offset, 0));
    }
    agent.shutdown().await;
}
