//! `seedlog produce`: lines in, offsets out.
//!
//! Requests go out without waiting for answers, at most [`IN_FLIGHT_MAX`] of them (of at most 256 KiB, or one
//! line: what an unanswered input takes in memory), and the stream ends at the first that fails: what is in
//! the log is then a prefix of the input (and whoever else wrote).

use crate::args::{Output, Produce};
use crate::failure::{FAILED, Failure, UNKNOWN_OUTCOME};
use crate::input::Input;
use crate::lines::{Group, LINE_BYTES_MAX, Lines, TooLong};
use crate::output;
use crate::record::{BadOption, BadRecord, Shape};
use crate::signals::Signals;
use bytes::BytesMut;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use seedlog_client::{
    ApiError, Client, Conditions, Error, IN_FLIGHT_MAX, Options, Outcome, ProduceResults, ProduceSender,
    ProducerSequence, Record,
};
use serde::Serialize;
use std::io;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;
use tokio::sync::mpsc;

/// A request that waits behind others for a slow disk is not lost.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// What is known of the input's records, in the input's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Tally {
    /// Durable, at the offsets below.
    acked: u64,
    first_offset: Option<u64>,
    last_offset: Option<u64>,
    /// Of the acknowledged ones, those that were in the log before: sent again by their producer.
    repeated: u64,
    /// Refused: surely not in the log.
    not_written: u64,
    /// Sent and not answered: in the log, or not.
    unknown: u64,
    /// What follows was not taken in.
    #[serde(skip)]
    refused: bool,
    /// What all of these took in the input.
    #[serde(skip)]
    input_bytes: u64,
}

impl Tally {
    fn count_unknown(&mut self, group: &Group) {
        self.unknown += group.records;
        self.input_bytes += group.input_bytes;
    }
}

/// The input did not go in whole.
#[derive(Debug)]
pub struct Broken {
    tally: Tally,
    why: Why,
    /// Every line was sent, whatever became of it.
    sent_whole: bool,
}

#[derive(Debug, thiserror::Error)]
enum Why {
    #[error("{0}")]
    Answer(Error),
    /// The answers, or what came in place of the next one, say it better.
    #[error("the node ended the stream")]
    StreamEnded,
    #[error("interrupted")]
    Interrupted,
    #[error("cannot read the input: {0}")]
    Input(io::Error),
    #[error("{0}")]
    Line(TooLong),
    #[error("{0}")]
    Record(BadRecord),
    #[error("the input has more than {max} bytes, which no record can have")]
    TooLarge { max: usize },
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Tally { acked, not_written, unknown, .. } = self.tally;
        match &self.why {
            // The batch is ours, not the user's: what it says of a record is about a line.
            Why::Answer(Error::Server(ApiError::RecordTooLarge { index, bytes, max })) => {
                write!(f, "line {} has {bytes} bytes, the limit is {max}", acked + *index as u64 + 1)?;
            }
            Why::Answer(Error::Server(error @ (ApiError::SequenceTooOld { .. } | ApiError::SequenceGap { .. }))) => {
                write!(f, "{error}: go on with --sequence, and with the line that had it")?;
            }
            why => write!(f, "{why}")?,
        }
        write!(f, "\n  records acknowledged, in the log:         {acked}")?;
        write!(f, "\n  refused, not in the log:                  {not_written}")?;
        write!(f, "\n  sent and not answered, outcome unknown:   {unknown}")?;
        if self.sent_whole {
            return Ok(());
        }
        write!(f, "\n  not sent: what there is from line {} on", acked + not_written + unknown + 1)
    }
}

impl Broken {
    pub fn exit_code(&self) -> u8 {
        if self.tally.unknown > 0 { UNKNOWN_OUTCOME } else { FAILED }
    }
}

pub async fn run(args: Produce, format: Output) -> Result<ExitCode, Failure> {
    let addr = &args.connection.addr;
    let input = Input::open(&args.file).map_err(|error| Failure::Open { path: args.file.clone(), error })?;
    let road = Road::new(&args).map_err(Failure::Record)?;
    let options = Options {
        in_flight_max: road.in_flight_max(),
        answer_max: ANSWER_MAX,
        past_errors: false,
        ..Options::default()
    };
    let client = Client::connect_with(addr, options)?;
    // From here on it ends with a summary, whatever ends it.
    let mut signals = Signals::install()?;
    let opened = seedlog_runtime::select! {
        () = signals.next() => Err(None),
        opened = client.produce_stream() => opened.map_err(Some),
    };
    let (sender, results) = match opened {
        Ok(opened) => opened,
        Err(failed) => {
            let tally = Tally::default();
            summarise(tally, format).map_err(Failure::Stdout)?;
            return Err(match failed {
                Some(error) => Failure::call(addr, error),
                None => Failure::Produce(Box::new(Broken { tally, why: Why::Interrupted, sent_whole: false })),
            });
        }
    };

    let input_bytes = input.bytes;
    let progress = progress(input_bytes);
    let pumped = pump(input, road, sender, results, signals, &progress).await;
    progress.finish_and_clear();
    let Pumped { tally, why, sent_whole } = pumped;
    summarise(tally, format).map_err(Failure::Stdout)?;
    match why {
        None => Ok(ExitCode::SUCCESS),
        Some(why) => {
            // Its end may not have been read yet, though nothing was left.
            let sent_whole = sent_whole || input_bytes == Some(tally.input_bytes);
            Err(Failure::Produce(Box::new(Broken { tally, why, sent_whole })))
        }
    }
}

struct Pumped {
    tally: Tally,
    why: Option<Why>,
    sent_whole: bool,
}

async fn pump(
    input: Input,
    road: Road,
    sender: ProduceSender,
    mut results: ProduceResults,
    mut signals: Signals,
    progress: &ProgressBar,
) -> Pumped {
    let mut tally = Tally::default();
    // What each request held, in order; as many at most as are in flight.
    let (sent, mut unanswered) = mpsc::unbounded_channel();
    let mut sending = Box::pin(send(input, Sending { road, sender, sent, records: 0 }));
    let mut sent_whole = false;
    let mut why = {
        // Dropped half-way only by an interrupt, which is about that, too: an answer is taken in one step.
        let mut answering = pin!(answers(&mut results, &mut unanswered, &mut tally, progress));
        let ended = seedlog_runtime::select! {
            failed = &mut answering => Err(failed.map(Why::Answer)),
            () = signals.next() => Err(Some(Why::Interrupted)),
            ended = &mut sending => Ok(ended),
        };
        // Ends the stream: what is left are answers to what was sent. A read of stdin may go on, but
        // nobody waits for it.
        drop(sending);
        match ended {
            Err(failed) => failed,
            Ok(ended) => {
                sent_whole = ended.is_ok();
                let broken = ended.err();
                let failed = seedlog_runtime::select! {
                    failed = answering => failed.map(Why::Answer),
                    () = signals.next() => Some(Why::Interrupted),
                };
                better(broken, failed)
            }
        }
    };
    loop {
        let failed = seedlog_runtime::select! {
            failed = answers(&mut results, &mut unanswered, &mut tally, progress) => failed,
            // Not the first: whoever asks again does not wait for answers that may take long.
            () = signals.next() => break,
        };
        let Some(failed) = failed else { break };
        why = better(why, Some(Why::Answer(failed)));
    }
    // Nobody waits for these any more.
    while let Ok(group) = unanswered.try_recv() {
        tally.count_unknown(&group);
    }
    Pumped { tally, why, sent_whole }
}

/// The first reason, unless the second says what the first only suffered from.
fn better(first: Option<Why>, second: Option<Why>) -> Option<Why> {
    match first {
        None | Some(Why::StreamEnded) => second.or(first),
        first => first,
    }
}

/// How input becomes requests.
struct Road {
    shape: Shape,
    /// All of the input is one record.
    whole: bool,
    /// Of the first record.
    conditions: Conditions,
}

impl Road {
    fn new(args: &Produce) -> Result<Road, BadOption> {
        let shape = Shape::new(args.json, args.key.as_deref(), &args.headers)?;
        let producer = args.producer_id.clone().map(|id| ProducerSequence {
            id,
            sequence: args.sequence.unwrap_or(0),
            gap_allowed: false,
        });
        let conditions =
            Conditions { producer, expected_offset: args.expect_offset, fencing_token: args.fencing_token };
        Ok(Road { shape, whole: args.whole, conditions })
    }

    /// One after the other if each depends on where the one before went: of two under way, the second might
    /// find its offset although the first did not.
    fn in_flight_max(&self) -> usize {
        if self.conditions.expected_offset.is_some() { 1 } else { IN_FLIGHT_MAX }
    }

    /// Whether a request has one record only: sent again, a request must have the records it had, and what
    /// comes through a pipe is not cut at the same lines twice.
    fn one_by_one(&self) -> bool {
        self.conditions.producer.is_some()
    }

    /// For what follows the first `records`.
    fn conditions_after(&self, records: u64) -> Conditions {
        let mut conditions = self.conditions.clone();
        if let Some(producer) = &mut conditions.producer {
            producer.sequence = producer.sequence.saturating_add(records);
        }
        conditions.expected_offset = conditions.expected_offset.map(|offset| offset.saturating_add(records));
        conditions
    }
}

struct Sending {
    road: Road,
    sender: ProduceSender,
    sent: mpsc::UnboundedSender<Group>,
    /// Sent so far.
    records: u64,
}

/// Sends the input, all of it or up to what cannot be sent.
async fn send(input: Input, mut sending: Sending) -> Result<(), Why> {
    if sending.road.whole { whole(input, &mut sending).await } else { lines(input, &mut sending).await }
}

async fn whole(mut input: Input, sending: &mut Sending) -> Result<(), Why> {
    let mut all = BytesMut::new();
    loop {
        let (rest, chunk) = input.next().await;
        input = rest;
        let chunk = chunk.map_err(Why::Input)?;
        if chunk.is_empty() {
            break;
        }
        all.extend_from_slice(&chunk);
        if all.len() > LINE_BYTES_MAX {
            return Err(Why::TooLarge { max: LINE_BYTES_MAX });
        }
    }
    let input_bytes = all.len() as u64;
    sending.group(Group { lines: vec![all.freeze()], records: 1, input_bytes }).await
}

async fn lines(mut input: Input, sending: &mut Sending) -> Result<(), Why> {
    let mut lines = Lines::default();
    loop {
        let (rest, chunk) = input.next().await;
        input = rest;
        let chunk = chunk.map_err(Why::Input)?;
        if chunk.is_empty() {
            break;
        }
        let (groups, too_long) = lines.push(chunk);
        for group in groups {
            sending.groups(group).await?;
        }
        if let Some(too_long) = too_long {
            return Err(Why::Line(too_long));
        }
    }
    match lines.end() {
        Some(group) => sending.group(group).await,
        None => Ok(()),
    }
}

impl Sending {
    /// One request, or one for each line of `group`, all of which ended with a newline.
    async fn groups(&mut self, group: Group) -> Result<(), Why> {
        if !self.road.one_by_one() {
            return self.group(group).await;
        }
        for line in group.lines {
            let input_bytes = line.len() as u64 + 1;
            self.group(Group { lines: vec![line], records: 1, input_bytes }).await?;
        }
        Ok(())
    }

    async fn group(&mut self, group: Group) -> Result<(), Why> {
        let mut records = Vec::with_capacity(group.lines.len());
        for (line, number) in group.lines.iter().zip(self.records + 1..) {
            match self.road.shape.record(line, number) {
                Ok(record) => records.push(record),
                Err(bad) => {
                    // What is before it in the group goes in, as what is before the group did.
                    let input_bytes = group.lines[..records.len()].iter().map(|line| line.len() as u64 + 1).sum();
                    let before = Group { records: records.len() as u64, lines: Vec::new(), input_bytes };
                    if !records.is_empty() {
                        self.request(records, before).await?;
                    }
                    return Err(Why::Record(bad));
                }
            }
        }
        // Without its lines: only the numbers are needed from here on.
        self.request(records, group.counted()).await
    }

    async fn request(&mut self, records: Vec<Record>, group: Group) -> Result<(), Why> {
        let conditions = self.road.conditions_after(self.records);
        self.records += group.records;
        match self.sender.send_if(records, &conditions).await {
            Ok(()) => self.sent.send(group).map_err(|_| Why::StreamEnded),
            Err(Error::StreamEnded) => Err(Why::StreamEnded),
            Err(error) => Err(Why::Answer(error)),
        }
    }
}

/// Takes answers until one is a failure, or all are there, or the stream has ended with none owed.
async fn answers(
    results: &mut ProduceResults,
    unanswered: &mut mpsc::UnboundedReceiver<Group>,
    tally: &mut Tally,
    progress: &ProgressBar,
) -> Option<Error> {
    while let Some(result) = results.next().await {
        let group = unanswered.recv().await?;
        tally.input_bytes += group.input_bytes;
        match result {
            Ok(produced) => {
                tally.acked += group.records;
                tally.repeated += if produced.repeated { group.records } else { 0 };
                tally.first_offset.get_or_insert(produced.first_offset);
                tally.last_offset = Some(produced.first_offset + u64::from(produced.count) - 1);
                progress.inc(group.input_bytes);
            }
            Err(error) => {
                if tally.refused || error.outcome() == Outcome::NotWritten {
                    tally.not_written += group.records;
                } else {
                    tally.unknown += group.records;
                }
                tally.refused |= ends_the_stream_unread(&error);
                return Some(error);
            }
        }
    }
    results.take_ended_idle()
}

/// A refusal upon which the server takes in nothing of what follows it in the stream.
fn ends_the_stream_unread(error: &Error) -> bool {
    use ApiError::*;
    let Error::Server(error) = error else { return false };
    match error {
        RecordTooLarge { .. } | BatchTooLarge { .. } | EmptyRequest | RecordAndRecords | Malformed { .. } => true,
        UnknownLog { .. } | Unsupported { .. } | DiskFull { .. } => true,
        // These may come from the end of the way, with more behind them on it.
        _ => false,
    }
}

fn summarise(tally: Tally, format: Output) -> io::Result<output::Reader> {
    match (format, tally.first_offset, tally.last_offset) {
        (Output::Json, ..) => output::json(&tally),
        (Output::Text, Some(first), Some(last)) => {
            let again = match tally.repeated {
                0 => String::new(),
                repeated => format!(" ({repeated} were there already)"),
            };
            let acked = tally.acked;
            output::bytes(format!("{acked} records acknowledged, offsets {first} to {last}{again}\n").as_bytes())
        }
        (Output::Text, ..) => output::bytes(b"0 records acknowledged\n"),
    }
}

/// Drawn on a terminal only; indicatif sees to that.
fn progress(bytes: Option<u64>) -> ProgressBar {
    let (bar, template) = match bytes {
        Some(bytes) => (ProgressBar::new(bytes), "{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}"),
        None => (ProgressBar::no_length(), "{spinner} {bytes} {bytes_per_sec}"),
    };
    bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
    bar.with_style(ProgressStyle::with_template(template).expect("the template is constant"))
}
