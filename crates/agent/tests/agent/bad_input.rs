//! Bytes and messages that a client of ours would not send, over gRPC: answered, named, survived.

use seedlog_agent::{Agent, Config};
use seedlog_api::ApiError;
use seedlog_api::v1::log_client::LogClient;
use seedlog_api::v1::{ConsumeRequest, ProduceRequest, Record};
use seedlog_runtime::disk::SimDisk;
use seedlog_runtime::rpc::channel;
use seedlog_server::MESSAGE_BYTES_MAX;
use std::sync::Arc;
use tonic::{Code, Status};

async fn start() -> Agent {
    let config = Config::new("/data".into(), ([127, 0, 0, 1], 0).into());
    let agent = Agent::start(config, Arc::new(SimDisk::new(1))).await.expect("it starts");
    agent.node().ready().await.expect("it does not stop");
    agent
}

macro_rules! client {
    ($agent:expr) => {
        LogClient::new(channel(&$agent.rpc_addr().to_string()).unwrap())
    };
}

fn value(bytes: usize) -> Record {
    Record { value: vec![b'x'; bytes].into(), ..Record::default() }
}

fn facts(status: &Status) -> ApiError {
    ApiError::from_status(status).unwrap_or_else(|| panic!("no facts in {status:?}"))
}

#[tokio::test]
async fn what_is_too_large_is_refused_with_both_numbers_and_nothing_of_it_goes_in() {
    let agent = start().await;
    let mut client = client!(agent);
    let max = 1 << 20;
    let at_the_limit = ProduceRequest { record: Some(value(max)), ..ProduceRequest::default() };
    assert_eq!(client.produce(at_the_limit).await.unwrap().into_inner().offset, 0);
    let over = ProduceRequest { records: vec![value(1), value(max + 1)], ..ProduceRequest::default() };
    let refused = client.produce(over).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(facts(&refused), ApiError::RecordTooLarge { index: 1, bytes: max + 1, max });

    let batch = ProduceRequest { records: vec![value(max - 100); 5], ..ProduceRequest::default() };
    let refused = client.produce(batch).await.unwrap_err();
    let ApiError::BatchTooLarge { bytes, max: 4_194_304 } = facts(&refused) else { panic!("{refused:?}") };
    assert!(bytes > 5 * (max - 100), "{bytes}");

    let message = ProduceRequest { record: Some(value(MESSAGE_BYTES_MAX)), ..ProduceRequest::default() };
    let refused = client.produce(message).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    assert!(refused.message().contains(&MESSAGE_BYTES_MAX.to_string()), "{refused:?}");

    let miss = client.consume(ConsumeRequest { offset: 1, ..ConsumeRequest::default() }).await.unwrap_err();
    assert_eq!(facts(&miss), ApiError::OffsetOutOfRange { asked: 1, first: 0, next: 1 });
    agent.shutdown().await;
}

#[tokio::test]
async fn what_has_no_meaning_is_refused_by_name() {
    let agent = start().await;
    let mut client = client!(agent);
    let record = || Some(Record::default());
    let produces = [
        (ProduceRequest::default(), Code::InvalidArgument, "neither record nor records"),
        (
            ProduceRequest { record: record(), records: vec![Record::default()], ..Default::default() },
            Code::InvalidArgument,
            "both record and records",
        ),
        (ProduceRequest { record: record(), log: "orders".into(), ..Default::default() }, Code::NotFound, "orders"),
        (ProduceRequest { record: record(), group: 1, ..Default::default() }, Code::Unimplemented, "group"),
        (
            ProduceRequest { record: record(), sequence: 1, ..Default::default() },
            Code::InvalidArgument,
            "sequence is set without producer_id",
        ),
        (
            ProduceRequest { record: record(), producer_id: "p".repeat(129), ..Default::default() },
            Code::InvalidArgument,
            "129 bytes, the limit is 128",
        ),
    ];
    for (request, code, wanted) in produces {
        let refused = client.produce(request).await.unwrap_err();
        assert_eq!(refused.code(), code, "{refused:?}");
        assert!(refused.message().contains(wanted), "{refused:?}");
    }
    let consumes = [
        (ConsumeRequest { start: 99, ..Default::default() }, Code::InvalidArgument, "99"),
        (ConsumeRequest { max_bytes: 1, ..Default::default() }, Code::InvalidArgument, "max_records"),
        (ConsumeRequest { group: 7, ..Default::default() }, Code::Unimplemented, "group"),
    ];
    for (request, code, wanted) in consumes {
        let refused = client.consume(request).await.unwrap_err();
        assert_eq!(refused.code(), code, "{refused:?}");
        assert!(refused.message().contains(wanted), "{refused:?}");
    }
    agent.shutdown().await;
}

#[tokio::test]
async fn what_no_answer_could_hold_is_cut_not_failed() {
    let agent = start().await;
    let mut client = client!(agent).max_decoding_message_size(MESSAGE_BYTES_MAX);
    for _ in 0..10 {
        let batch = ProduceRequest { records: vec![value((1 << 20) - 100); 3], ..ProduceRequest::default() };
        client.produce(batch).await.unwrap();
    }
    let everything = ConsumeRequest { max_records: u32::MAX, max_bytes: u32::MAX, ..ConsumeRequest::default() };
    let some = client.consume(everything.clone()).await.unwrap().into_inner().records;
    assert!((1..30).contains(&some.len()), "{} records", some.len());

    let tiny = ProduceRequest { records: vec![Record::default(); 100_000], ..ProduceRequest::default() };
    let offset = client.produce(tiny).await.unwrap().into_inner().offset;
    let some = client.consume(ConsumeRequest { offset, ..everything }).await.unwrap().into_inner().records;
    assert!((1..100_000).contains(&some.len()), "{} records", some.len());
    agent.shutdown().await;
}
