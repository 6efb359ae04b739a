//! `seedlog produce`: lines in, offsets out.
//!
//! Lines are on their way many at a time, and it ends at the first that fails: what is in the log is then a prefix of
//! the input (and whoever else wrote), and each line of it once.

use crate::args::{Output, Produce};
use crate::connect;
use crate::failure::{FAILED, Failure, UNKNOWN_OUTCOME};
use crate::input::Input;
use crate::lines::{LINE_BYTES_MAX, Lines, TooLong};
use crate::output;
use crate::record::{BadOption, BadRecord, Shape};
use crate::signals::Signals;
use bytes::{Bytes, BytesMut};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use seedlog_client::{ApiError, Delivered, Delivery, Error, Outcome, Producer, ProducerOptions};
use serde::Serialize;
use std::io;
use std::pin::pin;
use std::process::ExitCode;
use tokio::sync::mpsc;

/// What the lines that are not settled yet take in memory, about.
const ROOM_BYTES_MAX: usize = 8 << 20;

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
    /// What all of these took in the input.
    #[serde(skip)]
    input_bytes: u64,
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
            Why::Answer(Error::Server(ApiError::RecordTooLarge { bytes, max, .. })) => {
                write!(f, "line {} has {bytes} bytes, the limit is {max}", acked + 1)?;
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
    let input = Input::open(&args.file).map_err(|error| Failure::Open { path: args.file.clone(), error })?;
    let shape = shape(&args).map_err(Failure::Record)?;
    // From here on it ends with a summary, whatever ends it.
    let mut signals = Signals::install()?;
    let found = seedlog_runtime::select! {
        () = signals.next() => Err(None),
        found = connect::cluster(&args.connection, &args.patience) => found.map_err(Some),
    };
    let (cluster, patience) = match found {
        Ok(found) => found,
        Err(failed) => {
            let tally = Tally::default();
            summarise(tally, format).map_err(Failure::Stdout)?;
            let interrupted = Broken { tally, why: Why::Interrupted, sent_whole: false };
            return Err(failed.unwrap_or_else(|| Failure::Produce(Box::new(interrupted))));
        }
    };
    let producer = cluster.producer(ProducerOptions { delivery_max: patience, ..options(&args) });

    let input_bytes = input.bytes;
    let progress = progress(input_bytes);
    let mut tally = Tally::default();
    // What nobody else is called was not there before: only a try of ours that seemed lost.
    let named = args.producer_id.is_some();
    let pumped = pump(input, Sender { producer, shape, whole: args.whole }, signals, &mut tally, &progress).await;
    progress.finish_and_clear();
    let (why, sent_whole) = pumped;
    tally.repeated = if named { tally.repeated } else { 0 };
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

fn shape(args: &Produce) -> Result<Shape, BadOption> {
    Shape::new(args.json, args.key.as_deref(), &args.headers)
}

fn options(args: &Produce) -> ProducerOptions {
    let default = ProducerOptions::default();
    ProducerOptions {
        id: args.producer_id.clone(),
        first_sequence: args.sequence.unwrap_or(0),
        room_bytes_max: ROOM_BYTES_MAX,
        // Sent again, a batch must have the records it had, and what comes through a pipe is not cut at the same lines
        // twice.
        batch_records_max: if args.producer_id.is_some() { 1 } else { default.batch_records_max },
        past_failures: false,
        expected_offset: args.expect_offset,
        fencing_token: args.fencing_token,
        ..default
    }
}

/// Sends the input and takes what becomes of it: why it ended early, if so, and whether all of the input was sent.
async fn pump(
    input: Input,
    sender: Sender,
    mut signals: Signals,
    tally: &mut Tally,
    progress: &ProgressBar,
) -> (Option<Why>, bool) {
    let (sent, unsettled) = mpsc::unbounded_channel();
    let mut unsettled = Unsettled { unsettled, next: None };
    let mut sending = Box::pin(send(input, sender, sent));
    let mut sent_whole = false;
    let mut why = {
        let mut settling = pin!(settle(&mut unsettled, tally, progress));
        let ended = seedlog_runtime::select! {
            failed = &mut settling => Err(failed.map(Why::Answer)),
            () = signals.next() => Err(Some(Why::Interrupted)),
            ended = &mut sending => Ok(ended),
        };
        // A read of stdin may go on, but nobody waits for it. What was taken from it is sent all the same.
        drop(sending);
        match ended {
            Err(failed) => failed,
            Ok(ended) => {
                sent_whole = ended.is_ok();
                let broken = ended.err();
                let failed = seedlog_runtime::select! {
                    failed = settling => failed.map(Why::Answer),
                    () = signals.next() => Some(Why::Interrupted),
                };
                // What became of an earlier line says more than that no further one is taken.
                match broken {
                    None | Some(Why::Answer(_)) => failed.or(broken),
                    broken => broken,
                }
            }
        }
    };
    let about_the_log = why.as_ref().is_some_and(is_about_the_log);
    loop {
        let settled = seedlog_runtime::select! {
            settled = unsettled.next() => settled,
            // Not the first: whoever asks again does not wait for answers that may take long.
            () = signals.next() => break,
        };
        let Some((settled, input_bytes)) = settled else { break };
        // After such a refusal nothing else was sent.
        if about_the_log && settled.as_ref().is_err_and(|error| error.outcome() == Outcome::NotWritten) {
            continue;
        }
        if let Some(failed) = tally.settled(settled, input_bytes, progress) {
            why = why.or(Some(Why::Answer(failed)));
        }
    }
    // Nobody waits for these any more.
    for Sent { input_bytes, .. } in unsettled.rest() {
        tally.unknown(input_bytes);
    }
    (why, sent_whole)
}

/// A record on its way.
struct Sent {
    delivery: Delivery,
    input_bytes: u64,
}

/// What was sent, in order.
struct Unsettled {
    unsettled: mpsc::UnboundedReceiver<Sent>,
    next: Option<Sent>,
}

impl Unsettled {
    /// What became of the next one, and what it took in the input. May be dropped and called again: none is lost.
    async fn next(&mut self) -> Option<(Result<Delivered, Error>, u64)> {
        if self.next.is_none() {
            self.next = Some(self.unsettled.recv().await?);
        }
        let Sent { delivery, input_bytes } = self.next.as_mut()?;
        let settled = (delivery.await, *input_bytes);
        self.next = None;
        Some(settled)
    }

    fn rest(mut self) -> impl Iterator<Item = Sent> {
        let next = self.next.take();
        next.into_iter().chain(std::iter::from_fn(move || self.unsettled.try_recv().ok()))
    }
}

impl Tally {
    fn unknown(&mut self, input_bytes: u64) {
        self.unknown += 1;
        self.input_bytes += input_bytes;
    }

    /// The failure, if it is one.
    fn settled(
        &mut self,
        settled: Result<Delivered, Error>,
        input_bytes: u64,
        progress: &ProgressBar,
    ) -> Option<Error> {
        self.input_bytes += input_bytes;
        let error = match settled.map_err(plain) {
            Ok(there) => {
                self.acked += 1;
                self.repeated += u64::from(there.repeated);
                self.first_offset.get_or_insert(there.offset);
                self.last_offset = Some(there.offset);
                progress.inc(input_bytes);
                return None;
            }
            Err(error) => error,
        };
        match error.outcome() {
            Outcome::NotWritten => self.not_written += 1,
            Outcome::Unknown => self.unknown += 1,
        }
        Some(error)
    }
}

/// A sequence that is too old was so for a producer before this one: of ours nothing is open.
fn plain(error: Error) -> Error {
    match error {
        Error::Unsettled { last, .. } if matches!(*last, Error::Server(ApiError::SequenceTooOld { .. })) => *last,
        error => error,
    }
}

fn is_about_the_log(why: &Why) -> bool {
    use ApiError::{ExpectedOffset, Fenced, SequenceGap, SequenceTooOld};
    let Why::Answer(Error::Server(refused)) = why else { return false };
    matches!(refused, SequenceTooOld { .. } | SequenceGap { .. } | ExpectedOffset { .. } | Fenced { .. })
}

struct Sender {
    producer: Producer,
    shape: Shape,
    /// All of the input is one record.
    whole: bool,
}

/// Sends the input, all of it or up to what cannot be sent; ends early when nothing is taken any more.
async fn send(input: Input, sender: Sender, sent: mpsc::UnboundedSender<Sent>) -> Result<(), Why> {
    let sending =
        async { if sender.whole { whole(input, &sender, &sent).await } else { lines(input, &sender, &sent).await } };
    seedlog_runtime::select! {
        ended = sending => ended,
        why = sender.producer.ended() => Err(Why::Answer(why)),
    }
}

async fn whole(mut input: Input, sender: &Sender, sent: &mpsc::UnboundedSender<Sent>) -> Result<(), Why> {
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
    sender.send(&all.freeze(), 1, input_bytes, sent).await
}

async fn lines(mut input: Input, sender: &Sender, sent: &mpsc::UnboundedSender<Sent>) -> Result<(), Why> {
    let mut lines = Lines::default();
    let mut number = 0;
    loop {
        let (rest, chunk) = input.next().await;
        input = rest;
        let chunk = chunk.map_err(Why::Input)?;
        if chunk.is_empty() {
            break;
        }
        let (complete, too_long) = lines.push(chunk);
        for line in complete {
            number += 1;
            sender.send(&line, number, line.len() as u64 + 1, sent).await?;
        }
        if let Some(too_long) = too_long {
            return Err(Why::Line(too_long));
        }
    }
    match lines.end() {
        Some(line) => sender.send(&line, number + 1, line.len() as u64, sent).await,
        None => Ok(()),
    }
}

impl Sender {
    /// Line `number`, as soon as there is room for it.
    async fn send(
        &self,
        line: &Bytes,
        number: u64,
        input_bytes: u64,
        sent: &mpsc::UnboundedSender<Sent>,
    ) -> Result<(), Why> {
        let record = self.shape.record(line, number).map_err(Why::Record)?;
        let delivery = self.producer.send(record).await.map_err(Why::Answer)?;
        // Nobody waits for it any more after an interrupt.
        _ = sent.send(Sent { delivery, input_bytes });
        Ok(())
    }
}

/// Takes what becomes of each until one has failed, or all are in the log.
async fn settle(unsettled: &mut Unsettled, tally: &mut Tally, progress: &ProgressBar) -> Option<Error> {
    while let Some((settled, input_bytes)) = unsettled.next().await {
        if let Some(failed) = tally.settled(settled, input_bytes, progress) {
            return Some(failed);
        }
    }
    None
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
