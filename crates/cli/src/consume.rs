//! `seedlog consume`: records out, values one a line.

use crate::args::{Consume, From, Output};
use crate::connect;
use crate::failure::Failure;
use crate::output::{Reader, written};
use crate::size::Size;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt as _;
use seedlog_client::{Cluster, ClusterTail, Error, Fetch, Origin, Record, Start};
use seedlog_runtime::clock;
use serde::Serialize;
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::process::ExitCode;
use std::time::Duration;

pub async fn run(args: Consume, format: Output) -> Result<ExitCode, Failure> {
    let addr = &args.connection.shown();
    let (cluster, _) = connect::cluster(&args.connection, &args.patience).await?;
    let (start, count) = if args.follow {
        let start = match args.from {
            From::Earliest => Start::Earliest,
            From::Latest => Start::Latest,
            From::Offset(offset) => Start::Offset(offset),
            From::Time(moment) => Start::Time(moment.since_1970_ms(clock::wall_ms())),
        };
        (start, args.count)
    } else {
        let there = range(&cluster).await.map_err(|error| Failure::call(addr, error))?;
        let first = match args.from {
            From::Earliest => there.start,
            From::Latest => there.end,
            From::Offset(asked) if asked > there.end => return Err(Failure::PastTheEnd { asked, end: there.end }),
            From::Offset(asked) => asked,
            From::Time(moment) => {
                let since = moment.since_1970_ms(clock::wall_ms());
                first_since(&cluster, since).await.map_err(|error| Failure::call(addr, error))?.unwrap_or(there.end)
            }
        };
        // The first one of a time may have come since.
        let left = there.end.saturating_sub(first);
        (Start::Offset(first), Some(args.count.map_or(left, |count| count.min(left))))
    };
    if count == Some(0) {
        return Ok(ExitCode::SUCCESS);
    }
    let mut tail = cluster.tail(start);
    let out = BufWriter::with_capacity(64 << 10, io::stdout().lock());
    let stop = Stop { count, bytes_max: args.max_bytes.map(|Size(bytes)| bytes) };
    let format = if args.json { Output::Json } else { format };
    copy(&mut tail, addr, out, stop, format).await?;
    Ok(ExitCode::SUCCESS)
}

/// The offset of the first record appended at `since_ms` or later, if there is one.
async fn first_since(cluster: &Cluster, since_ms: i64) -> Result<Option<u64>, Error> {
    let fetch = Fetch { start: Start::Time(since_ms), records_max: 1, bytes_max: 0, wait: Duration::ZERO };
    match cluster.fetch(fetch).await {
        Ok(records) => Ok(records.first().map(|record| record.offset)),
        Err(error) if error.out_of_range().is_some() => Ok(None),
        Err(error) => Err(error),
    }
}

/// What the log holds now: a read that must miss is answered with the valid range, by the leader.
async fn range(cluster: &Cluster) -> Result<Range<u64>, Error> {
    match cluster.consume(u64::MAX).await {
        Err(error) => error.out_of_range().ok_or(error),
        Ok(_) => Err(Error::BadAnswer { what: "a record at the last offset possible" }),
    }
}

/// After how much it ends.
struct Stop {
    count: Option<u64>,
    bytes_max: Option<u64>,
}

async fn copy(
    tail: &mut ClusterTail,
    addr: &str,
    mut out: impl Write,
    stop: Stop,
    format: Output,
) -> Result<(), Failure> {
    let mut copied = 0;
    let mut bytes = 0;
    let mut last = None;
    loop {
        // What is printed must not wait in a buffer for what is not there yet.
        let next = match tail.next().now_or_never() {
            Some(next) => next,
            None => {
                if written(out.flush()).map_err(Failure::Stdout)? == Reader::Gone {
                    return Ok(());
                }
                tail.next().await
            }
        };
        let why = match next {
            Ok(record) => {
                bytes += record.value.len() as u64;
                if copied > 0 && stop.bytes_max.is_some_and(|max| bytes > max) {
                    written(out.flush()).map_err(Failure::Stdout)?;
                    return Ok(());
                }
                let wrote = written(write(&mut out, &record, format)).map_err(Failure::Stdout)?;
                copied += 1;
                last = Some(record.offset);
                if wrote == Reader::Gone {
                    return Ok(());
                }
                if Some(copied) == stop.count || stop.bytes_max.is_some_and(|max| bytes >= max) {
                    written(out.flush()).map_err(Failure::Stdout)?;
                    return Ok(());
                }
                continue;
            }
            Err(error) => error,
        };
        written(out.flush()).map_err(Failure::Stdout)?;
        return Err(match last {
            Some(last) => Failure::TailEnded { addr: addr.to_owned(), why: why.to_string(), next: last + 1 },
            None => Failure::call(addr, why),
        });
    }
}

fn write(out: &mut impl Write, record: &Record, format: Output) -> io::Result<()> {
    match format {
        Output::Text => out.write_all(&record.value)?,
        Output::Json => serde_json::to_writer(&mut *out, &Shown::of(record)).map_err(io::Error::from)?,
    }
    out.write_all(b"\n")
}

/// A record as JSON; what it does not have is left out.
#[derive(Serialize)]
struct Shown {
    offset: u64,
    value: String,
    term: u64,
    append_time_ms: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    key: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    headers: Vec<ShownHeader>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    origins: Vec<ShownOrigin>,
}

#[derive(Serialize)]
struct ShownOrigin {
    cluster_id: String,
    offset: u64,
    append_time_ms: i64,
}

#[derive(Serialize)]
struct ShownHeader {
    name: String,
    value: String,
}

impl Shown {
    fn of(record: &Record) -> Shown {
        let headers = record.headers.iter();
        Shown {
            offset: record.offset,
            value: STANDARD.encode(&record.value),
            term: record.term,
            append_time_ms: record.append_time_ms,
            key: STANDARD.encode(&record.key),
            headers: headers
                .map(|header| ShownHeader { name: header.name.clone(), value: STANDARD.encode(&header.value) })
                .collect(),
            timestamp_ms: record.timestamp_ms,
            r#type: Some(record.r#type).filter(|r#type| *r#type != 0),
            origins: record.origins.iter().map(ShownOrigin::of).collect(),
        }
    }
}

impl ShownOrigin {
    fn of(Origin { cluster_id, offset, append_time_ms }: &Origin) -> ShownOrigin {
        ShownOrigin { cluster_id: cluster_id.clone(), offset: *offset, append_time_ms: *append_time_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seedlog_client::Header;

    fn shown(record: Record, format: Output) -> String {
        let mut out = Vec::new();
        write(&mut out, &record, format).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_value_is_a_line_as_it_is() {
        let record = Record { value: "a\tb\r".into(), key: "k".into(), ..Record::default() };
        assert_eq!(shown(record, Output::Text), "a\tb\r\n");
    }

    #[test]
    fn as_json_a_record_is_one_line_with_what_it_has() {
        let plain = Record { value: "a\n".into(), offset: 3, term: 1, append_time_ms: 5, ..Record::default() };
        assert_eq!(
            shown(plain.clone(), Output::Json),
            "{\"offset\":3,\"value\":\"YQo=\",\"term\":1,\"append_time_ms\":5}\n"
        );
        let headers = vec![Header { name: "h".into(), value: "v".into() }];
        let origins = vec![Origin { cluster_id: "c".into(), offset: 7, append_time_ms: 4 }];
        let full = Record { key: "k".into(), headers, timestamp_ms: Some(0), r#type: 2, origins, ..plain };
        assert_eq!(
            shown(full, Output::Json),
            "{\"offset\":3,\"value\":\"YQo=\",\"term\":1,\"append_time_ms\":5,\"key\":\"aw==\",\
             \"headers\":[{\"name\":\"h\",\"value\":\"dg==\"}],\"timestamp_ms\":0,\"type\":2,\
             \"origins\":[{\"cluster_id\":\"c\",\"offset\":7,\"append_time_ms\":4}]}\n"
        );
    }
}
