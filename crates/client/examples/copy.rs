//! The records of one log into another, each once and in their order. The same command again, as after a crash, goes on
//! where the other log says that it was:
//!
//! ```sh
//! cargo run -p seedlog-client --example copy -- 127.0.0.1:8400 127.0.0.1:9400 copy-of-8400
//! ```
//!
//! A record's offset in the one log is its sequence in the other, which so knows what it has: for as long as fewer than a
//! thousand others have produced there since.

use seedlog_client::{ApiError, Cluster, Conditions, Error, Fetch, ProducerOptions, ProducerSequence, Record, Start};
use std::collections::VecDeque;
use std::time::Duration;

/// What one record is where it is copied to: all that its producer gave it.
fn copied(record: Record) -> Record {
    let Record { value, key, headers, timestamp_ms, r#type, .. } = record;
    Record { value, key, headers, timestamp_ms, r#type, ..Record::default() }
}

/// The offset of the first record in `from` that `to` does not have; none if there is none at all. Copies the first one,
/// since the answer to it is what tells.
async fn resume_at(from: &Cluster, to: &Cluster, id: &str) -> Result<Option<u64>, Error> {
    let earliest = Fetch { start: Start::Earliest, records_max: 1, bytes_max: 0, wait: Duration::ZERO };
    let first = match from.fetch(earliest).await {
        Ok(records) => records.into_iter().next(),
        Err(error) if error.out_of_range().is_some() => None,
        Err(error) => return Err(error),
    };
    let Some(first) = first else { return Ok(None) };
    let sequence = first.offset;
    // A gap would be what was trimmed there before it was copied: that is an error.
    let producer = Some(ProducerSequence { id: id.to_owned(), sequence, gap_allowed: false });
    match to.produce_if(vec![copied(first)], &Conditions { producer, ..Conditions::default() }).await {
        Ok(_) => Ok(Some(sequence + 1)),
        Err(Error::Server(ApiError::SequenceTooOld { expected, .. })) => Ok(Some(expected)),
        Err(error) => Err(error),
    }
}

/// Copies what `from` holds now; the offset up to which `to` has everything then.
pub async fn copy(from: &Cluster, to: &Cluster, id: &str) -> Result<u64, Error> {
    let end = from.next_offset().await?;
    let Some(first) = resume_at(from, to, id).await? else { return Ok(end) };
    let producer = to.producer(ProducerOptions {
        id: Some(id.to_owned()),
        first_sequence: first,
        // So that what an earlier run still had on its way is known for what it is.
        batch_records_max: 1,
        past_failures: false,
        ..ProducerOptions::default()
    });
    let mut tail = from.tail(Start::Offset(first));
    let mut on_their_way = VecDeque::new();
    for _ in first..end {
        on_their_way.push_back(producer.send(copied(tail.next().await?)).await?);
        if on_their_way.len() > 1000
            && let Some(oldest) = on_their_way.pop_front()
        {
            oldest.await?;
        }
    }
    for delivery in on_their_way {
        delivery.await?;
    }
    Ok(end.max(first))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut args = std::env::args().skip(1);
    let (Some(from), Some(to), Some(id)) = (args.next(), args.next(), args.next()) else {
        return Err("usage: copy FROM[,FROM...] TO[,TO...] PRODUCER_ID".into());
    };
    let (from, to) = (Cluster::connect(from.split(','))?, Cluster::connect(to.split(','))?);
    println!("all before offset {} is copied", copy(&from, &to, &id).await?);
    Ok(())
}
