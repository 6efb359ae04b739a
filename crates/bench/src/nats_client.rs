//! JetStream: asynchronous publishes with so many acks outstanding, and a push consumer without acks. One
//! connection, to the server that leads the stream.

use crate::args::{Calls, Shape};
use crate::error::BenchError;
use crate::figures::{Figures, Recorder, value};
use crate::nats_wire::{Connection, Frame};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What there is at least to read.
const READ_FROM: u64 = 100_000;
const FILL_IN_FLIGHT: usize = 256;
/// A call of the API is answered long before; a new stream has a leader, too.
const API_MAX: Duration = Duration::from_secs(30);
const ASKED_EVERY: Duration = Duration::from_millis(50);
/// Subscribed under sid 1: answers and acks. Under sid 2: what is consumed.
const INBOX: &str = "_INBOX.bench.a";
const DELIVERED: &str = "bench.delivered";

pub fn run(args: &Calls) -> Result<Figures, BenchError> {
    let stream = format!("LOG{}", args.replicas);
    let mut connection = connect(args, &stream)?;
    connection.be_patient()?;
    let recorder = Recorder::start(args.warm_up, args.seconds);
    match args.shape {
        Shape::Unary | Shape::Stream => publish(&mut connection, args, recorder),
        Shape::Consume => consume(&mut connection, args, &stream),
    }
}

/// To the server that leads the stream, which is made if it is not there.
fn connect(args: &Calls, stream: &str) -> Result<Connection, BenchError> {
    let deadline = Instant::now() + API_MAX;
    let config = json!({
        "name": stream, "subjects": [subject(args)], "num_replicas": args.replicas,
        "storage": "file", "retention": "limits", "discard": "old", "max_msgs": -1, "max_bytes": -1, "max_age": 0,
    });
    let mut said = String::new();
    while Instant::now() < deadline {
        for addr in args.addr.split(',') {
            match leading(addr, stream, &config) {
                Ok(Some(connection)) => return Ok(connection),
                Ok(None) => {}
                Err(error) => said = error.to_string(),
            }
        }
        std::thread::sleep(ASKED_EVERY);
    }
    Err(BenchError::NoLeader { program: "NATS", addrs: args.addr.clone(), after: API_MAX, said })
}

fn leading(addr: &str, stream: &str, config: &Value) -> Result<Option<Connection>, BenchError> {
    let mut connection = Connection::open(addr)?;
    connection.send(format!("SUB {INBOX} 1\r\n").as_bytes())?;
    let mut info = call(&mut connection, &format!("$JS.API.STREAM.INFO.{stream}"), &Value::Null)?;
    // Not found: 10059.
    if info["error"]["err_code"] == 10059 {
        info = call(&mut connection, &format!("$JS.API.STREAM.CREATE.{stream}"), config)?;
    }
    if let Some(error) = info["error"].as_object() {
        return Err(BenchError::Nats(Value::Object(error.clone()).to_string()));
    }
    let leads = info["cluster"]["leader"].as_str() == Some(&connection.server_name);
    // All replicas have to be there, or fewer would have to be waited for.
    let replicas = info["cluster"]["replicas"].as_array().map_or(0, Vec::len) as u64;
    let behind = info["cluster"]["replicas"].as_array().into_iter().flatten();
    let all_current = behind.into_iter().all(|replica| replica["current"] == true);
    let wanted = config["num_replicas"].as_u64().unwrap_or(1) - 1;
    Ok((leads && replicas == wanted && all_current).then_some(connection))
}

fn subject(args: &Calls) -> String {
    format!("log{}", args.replicas)
}

fn call(connection: &mut Connection, subject: &str, request: &Value) -> Result<Value, BenchError> {
    let request = if request.is_null() { String::new() } else { request.to_string() };
    connection.send(format!("PUB {subject} {INBOX} {}\r\n{request}\r\n", request.len()).as_bytes())?;
    loop {
        let Frame::Message { reply, headers, payload } = connection.next()? else { continue };
        // Nobody is there to answer.
        if connection.at(headers.clone()).starts_with(b"NATS/1.0 503") {
            return Err(BenchError::Nats(String::from_utf8_lossy(connection.at(headers)).trim_end().to_owned()));
        }
        // A late message of a consumer.
        if !headers.is_empty() || !reply.is_empty() {
            continue;
        }
        let answer = connection.at(payload);
        return serde_json::from_slice(answer)
            .map_err(|_| BenchError::Nats(String::from_utf8_lossy(answer).into_owned()));
    }
}

/// Until the time is over, with as many acks outstanding as are asked for.
fn publish(connection: &mut Connection, args: &Calls, mut recorder: Recorder) -> Result<Figures, BenchError> {
    let mut publisher = Publisher::new(args);
    loop {
        let room = if recorder.goes_on() { args.in_flight as usize - publisher.made.len() } else { 0 };
        if room == 0 && publisher.made.is_empty() {
            return Ok(recorder.figures());
        }
        publisher.send(connection, room)?;
        publisher.acks(connection, |made| recorder.call(made, 1, args.size.into()))?;
    }
}

struct Publisher {
    message: Vec<u8>,
    made: VecDeque<Instant>,
    last: Option<u64>,
}

impl Publisher {
    fn new(args: &Calls) -> Publisher {
        let mut message = format!("PUB {} {INBOX} {}\r\n", subject(args), args.size).into_bytes();
        message.extend_from_slice(&value(args.size));
        message.extend_from_slice(b"\r\n");
        Publisher { message, made: VecDeque::new(), last: None }
    }

    fn send(&mut self, connection: &mut Connection, count: usize) -> Result<(), BenchError> {
        self.made.extend(std::iter::repeat_n(Instant::now(), count));
        connection.send(&self.message.repeat(count))
    }

    /// Waits for one, and takes all that came with it.
    fn acks(&mut self, connection: &mut Connection, mut acked: impl FnMut(Instant)) -> Result<(), BenchError> {
        let mut frame = Some(connection.next()?);
        while let Some(next) = frame {
            if let Frame::Message { payload, .. } = next {
                let ack = connection.at(payload);
                let sequence =
                    sequence(ack).ok_or_else(|| BenchError::Nats(String::from_utf8_lossy(ack).into_owned()))?;
                // In order, so that each belongs to the publish that has waited longest.
                if self.last.is_some_and(|last| last + 1 != sequence) {
                    return Err(BenchError::Nats(format!("sequence {sequence} after {:?}", self.last)));
                }
                self.last = Some(sequence);
                acked(self.made.pop_front().ok_or_else(|| BenchError::Nats("more than was published".to_owned()))?);
            }
            frame = connection.there()?;
        }
        Ok(())
    }
}

/// Of `{"stream":"LOG3","seq":7}`; an error has none.
fn sequence(ack: &[u8]) -> Option<u64> {
    #[derive(serde::Deserialize)]
    struct Ack {
        seq: Option<u64>,
    }
    serde_json::from_slice::<Ack>(ack).ok()?.seq
}

/// The stream from its first message to its last, and again; a call is `batch` messages.
fn consume(connection: &mut Connection, args: &Calls, stream: &str) -> Result<Figures, BenchError> {
    let info = call(connection, &format!("$JS.API.STREAM.INFO.{stream}"), &Value::Null)?;
    let there = info["state"]["messages"].as_u64().unwrap_or(0);
    let mut publisher = Publisher::new(args);
    let mut missing = READ_FROM.saturating_sub(there);
    while missing > 0 || !publisher.made.is_empty() {
        let room = (FILL_IN_FLIGHT - publisher.made.len()).min(missing as usize);
        publisher.send(connection, room)?;
        missing -= room as u64;
        publisher.acks(connection, drop)?;
    }
    let messages = there.max(READ_FROM);
    // Without flow control, which made it slower; this client keeps up.
    let config = json!({ "stream_name": stream, "config": {
        "deliver_subject": DELIVERED, "deliver_policy": "all", "ack_policy": "none", "replay_policy": "instant",
        "num_replicas": 1, "mem_storage": true,
    }});
    let mut recorder = Recorder::start(args.warm_up, args.seconds);
    while recorder.goes_on() {
        connection.send(format!("SUB {DELIVERED} 2\r\n").as_bytes())?;
        // Messages may come before the answer does: it is told by what it holds.
        let request = config.to_string();
        let create = format!("PUB $JS.API.CONSUMER.CREATE.{stream} {INBOX} {}\r\n{request}\r\n", request.len());
        connection.send(create.as_bytes())?;
        let mut consumer = None;
        let (mut read, mut records, mut bytes, mut made) = (0, 0_u64, 0_u64, Instant::now());
        while read < messages || consumer.is_none() {
            let Frame::Message { reply, payload, .. } = connection.next()? else { continue };
            // What is delivered has a reply subject, an answer has none.
            if reply.is_empty() {
                let answer: Value = serde_json::from_slice(connection.at(payload)).unwrap_or_default();
                let name = answer["name"].as_str().ok_or_else(|| BenchError::Nats(answer.to_string()))?;
                consumer = Some(name.to_owned());
                continue;
            }
            read += 1;
            records += 1;
            bytes += payload.len() as u64;
            if records == u64::from(args.batch) || read == messages {
                recorder.call(made, records, bytes);
                (records, bytes, made) = (0, 0, Instant::now());
                if !recorder.goes_on() {
                    return Ok(recorder.figures());
                }
            }
        }
        connection.send(b"UNSUB 2\r\n")?;
        call(connection, &format!("$JS.API.CONSUMER.DELETE.{stream}.{}", consumer.unwrap_or_default()), &Value::Null)?;
    }
    Ok(recorder.figures())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_ack_has_a_sequence() {
        assert_eq!(sequence(br#"{"stream":"LOG3", "seq":41}"#), Some(41));
        assert_eq!(sequence(br#"{"error":{"code":503,"description":"no"},"stream":"LOG3"}"#), None);
        assert_eq!(sequence(b""), None);
    }
}
