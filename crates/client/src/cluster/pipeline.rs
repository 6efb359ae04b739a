//! What a producer was given and is not settled yet: queued, or in batches that were sent. No I/O here, and no clock.
//!
//! A record keeps its sequence for ever, and a batch its records: copies of a request that was given up may still
//! arrive, and must be known for what they are.

use crate::client::Produced;
use crate::error::{Error, Outcome};
use seedlog_api::ApiError;
use seedlog_api::v1::Record;
use seedlog_runtime::buggify;
use seedlog_runtime::clock::Instant;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// Batches that are not full are sent as long as fewer than this are unanswered: while two are, what comes gathers.
const PARTIAL_MAX: usize = 2;

/// Where a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivered {
    pub offset: u64,
    /// It was there before: a try that seemed lost had succeeded, or an earlier life of this producer sent it.
    pub repeated: bool,
}

/// What is said of each record, once.
pub(super) type Settled = Result<Delivered, Error>;

#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub batch_records_max: usize,
    pub batch_bytes_max: usize,
    /// Batches sent and not answered.
    pub in_flight_max: usize,
    /// For how long a record is tried; without `past_failures`, for how long nothing is acknowledged.
    pub delivery_max: Duration,
    /// What is behind a record that failed may go in all the same.
    pub past_failures: bool,
}

#[derive(Debug)]
pub(super) struct Pipeline {
    limits: Limits,
    next_sequence: u64,
    queued: VecDeque<Entry>,
    queued_bytes: usize,
    /// In the order of their sequences.
    open: VecDeque<Batch>,
    /// So many of `open`, from the front on, went out over the stream that there is.
    sent: usize,
    /// The one behind them is about to.
    handed: bool,
    /// Records before the next new batch will never be sent.
    gap: bool,
    /// Without `past_failures`: from when on a failure is the end, as long as nothing is acknowledged.
    due: Instant,
    /// Why no record is taken any more.
    ended: Option<Error>,
}

#[derive(Debug)]
struct Entry {
    record: Record,
    bytes: usize,
    deadline: Instant,
    settled: oneshot::Sender<Settled>,
    /// Its part of the memory; given back with it.
    _room: OwnedSemaphorePermit,
}

#[derive(Debug)]
struct Batch {
    sequence: u64,
    gap_allowed: bool,
    /// It went out over a stream that ended before its answer.
    maybe_written: bool,
    entries: Vec<Entry>,
}

/// A batch as it goes out.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Request {
    pub records: Vec<Record>,
    pub sequence: u64,
    pub gap_allowed: bool,
}

impl Pipeline {
    /// With `gap`, sequences before the first may be missing in the log.
    pub fn new(limits: Limits, first_sequence: u64, gap: bool, now: Instant) -> Pipeline {
        Pipeline {
            limits,
            next_sequence: first_sequence,
            queued: VecDeque::new(),
            queued_bytes: 0,
            open: VecDeque::new(),
            sent: 0,
            handed: false,
            gap,
            due: now,
            ended: None,
        }
    }

    /// Why no record is taken any more.
    pub fn ended(&self) -> Option<&Error> {
        self.ended.as_ref()
    }

    /// Takes a record in, which is given up at `deadline`; what becomes of it, the receiver is told.
    ///
    /// # Errors
    /// Why this producer takes nothing any more.
    pub fn push(
        &mut self,
        record: Record,
        bytes: usize,
        deadline: Instant,
        room: OwnedSemaphorePermit,
    ) -> Result<oneshot::Receiver<Settled>, Error> {
        if let Some(ended) = &self.ended {
            return Err(ended.clone());
        }
        if self.is_empty() {
            self.due = deadline;
        }
        let (settled, receiver) = oneshot::channel();
        self.queued.push_back(Entry { record, bytes, deadline, settled, _room: room });
        self.queued_bytes += bytes;
        Ok(receiver)
    }

    pub fn is_empty(&self) -> bool {
        self.open.is_empty() && self.queued.is_empty()
    }

    /// Nothing is on its way: all that is left may go over another stream.
    pub fn is_idle(&self) -> bool {
        self.open.is_empty()
    }

    /// When the oldest record is given up that is not on its way; or, without `past_failures`, everything.
    pub fn next_deadline(&self) -> Option<Instant> {
        if !self.limits.past_failures {
            return (!self.is_empty()).then_some(self.due);
        }
        let waiting = self.open.get(self.on_their_way()).and_then(|batch| batch.entries.first());
        waiting.or_else(|| self.queued.front()).map(|entry| entry.deadline)
    }

    fn on_their_way(&self) -> usize {
        self.sent + usize::from(self.handed)
    }

    /// What is to go out next over the stream that there is: what went out over an earlier one, and then, unless
    /// `old_only`, what is new. It stays the next until [`Pipeline::went_out`].
    pub fn next(&mut self, old_only: bool) -> Option<Request> {
        if self.sent == self.open.len() {
            if old_only {
                return None;
            }
            self.form()?;
        }
        let batch = &mut self.open[self.sent];
        self.handed = true;
        let records = batch.entries.iter().map(|entry| entry.record.clone()).collect();
        Some(Request { records, sequence: batch.sequence, gap_allowed: batch.gap_allowed })
    }

    /// What [`Pipeline::next`] gave has gone out, unless it was given up meanwhile.
    pub fn went_out(&mut self) {
        self.sent += usize::from(std::mem::take(&mut self.handed));
    }

    fn form(&mut self) -> Option<()> {
        let Limits { mut batch_records_max, batch_bytes_max, in_flight_max, .. } = self.limits;
        if buggify!("short_batch") {
            batch_records_max = 1;
        }
        let is_full = self.queued.len() >= batch_records_max || self.queued_bytes >= batch_bytes_max;
        let has_place = self.open.len() < if is_full { in_flight_max } else { in_flight_max.min(PARTIAL_MAX) };
        if self.queued.is_empty() || !has_place {
            return None;
        }
        let (mut entries, mut bytes) = (Vec::new(), 0);
        while let Some(entry) = self.queued.front()
            && entries.len() < batch_records_max
            && (entries.is_empty() || bytes + entry.bytes <= batch_bytes_max)
        {
            bytes += entry.bytes;
            entries.extend(self.queued.pop_front());
        }
        self.queued_bytes -= bytes;
        let sequence = self.next_sequence;
        self.next_sequence += entries.len() as u64;
        let gap_allowed = std::mem::take(&mut self.gap);
        self.open.push_back(Batch { sequence, gap_allowed, maybe_written: false, entries });
        Some(())
    }

    /// The oldest that went out is in the log.
    ///
    /// # Errors
    /// If the answer cannot be one to it. It stays, and nobody knows what became of it.
    pub fn acked(&mut self, produced: Produced, now: Instant) -> Result<(), Error> {
        let count = self.open.front().filter(|_| self.sent > 0).map(|batch| batch.entries.len());
        if count != Some(produced.count as usize) {
            return Err(Error::BadAnswer { what: "an answer for another number of records" });
        }
        self.sent -= 1;
        self.due = now + self.limits.delivery_max;
        let batch = self.open.pop_front().expect("just seen");
        for (entry, offset) in batch.entries.into_iter().zip(produced.first_offset..) {
            // Who does not wait for it need not know.
            _ = entry.settled.send(Ok(Delivered { offset, repeated: produced.repeated }));
        }
        Ok(())
    }

    /// The stream is over: with this answer to the oldest that went out, or before it had any.
    /// `once_more`: whatever the time, there is a server that was not tried yet.
    pub fn broken(&mut self, error: &Error, now: Instant, once_more: bool) {
        self.handed = false;
        let sent = std::mem::take(&mut self.sent);
        let refused = match error {
            Error::Server(refused) if sent > 0 && error.outcome() == Outcome::NotWritten => Some(refused),
            _ => None,
        };
        // A server that refuses a request for what it is takes nothing of what follows; any other end leaves that open.
        let at_the_door = refused.is_some_and(|refused| !error.is_passing() && !is_about_the_log(refused));
        let unanswered = usize::from(refused.is_some());
        if !at_the_door {
            self.open.range_mut(unanswered..sent.max(unanswered)).for_each(|batch| batch.maybe_written = true);
        }
        let Some(refused) = refused.filter(|_| !error.is_passing()) else {
            return self.lose_patience(error, now, once_more);
        };
        if is_about_the_log(refused) {
            // Older than what the log remembers: it may well be there.
            let forgotten = matches!(refused, ApiError::SequenceTooOld { .. });
            self.open[0].maybe_written |= forgotten;
            return self.end(error);
        }
        let batch = self.open.pop_front().expect("something went out");
        if batch.entries.len() == 1 || batch.maybe_written {
            self.settle(batch, error);
            return if self.limits.past_failures { self.leave_a_gap(0) } else { self.end(error) };
        }
        // One of them is to blame for all: each alone, so that only that one fails.
        let Batch { sequence, gap_allowed, entries, .. } = batch;
        for (nth, entry) in entries.into_iter().enumerate().rev() {
            let (gap_allowed, sequence) = (gap_allowed && nth == 0, sequence + nth as u64);
            self.open.push_front(Batch { sequence, gap_allowed, maybe_written: false, entries: vec![entry] });
        }
    }

    /// Without `past_failures` a failure is the end, unless another try may help and there is time for it.
    fn lose_patience(&mut self, error: &Error, now: Instant, once_more: bool) {
        let due = if self.is_empty() { now + self.limits.delivery_max } else { self.due };
        let in_vain = now >= due && !once_more;
        if !self.limits.past_failures && (in_vain || !error.is_passing()) {
            self.end(error);
        }
    }

    /// Nothing more is taken or sent. Of what is on its way nobody knows what becomes of it.
    pub fn end(&mut self, why: &Error) {
        let on_their_way = self.on_their_way();
        (self.sent, self.handed) = (0, false);
        self.open.range_mut(..on_their_way).for_each(|batch| batch.maybe_written = true);
        self.ended.get_or_insert_with(|| why.clone());
        for batch in std::mem::take(&mut self.open) {
            self.settle(batch, why);
        }
        self.queued_bytes = 0;
        for entry in self.queued.drain(..) {
            _ = entry.settled.send(Err(never_sent(why)));
        }
    }

    /// Whether records are given up for themselves.
    pub fn expires(&self) -> bool {
        self.limits.past_failures
    }

    /// Gives up what is due and not on its way.
    pub fn expire(&mut self, now: Instant, last: &Error) {
        if !self.expires() {
            return;
        }
        let is_due = |entry: &Entry| entry.deadline <= now;
        let at = self.on_their_way();
        while self.open.get(at).is_some_and(|batch| batch.entries.iter().any(is_due)) {
            let batch = self.open.remove(at).expect("just seen");
            self.settle(batch, last);
            self.leave_a_gap(at);
        }
        while self.queued.front().is_some_and(is_due) {
            let entry = self.queued.pop_front().expect("just seen");
            self.queued_bytes -= entry.bytes;
            _ = entry.settled.send(Err(never_sent(last)));
        }
    }

    /// What was before the batch that is at `at` now will never be sent.
    fn leave_a_gap(&mut self, at: usize) {
        match self.open.get_mut(at) {
            Some(next) => next.gap_allowed = true,
            None => self.gap = true,
        }
    }

    /// It is over for these: an error about the last try says nothing about those before it.
    fn settle(&self, batch: Batch, error: &Error) {
        let error = if batch.maybe_written {
            Error::Unsettled { after: self.limits.delivery_max, last: Box::new(error.clone()) }
        } else {
            never_sent(error)
        };
        for entry in batch.entries {
            _ = entry.settled.send(Err(error.clone()));
        }
    }
}

/// Said when the record's turn in the log has come, and not before: what follows may have been taken in already. After it
/// nothing will be: somebody else is this producer, or has the log.
fn is_about_the_log(refused: &ApiError) -> bool {
    matches!(
        refused,
        ApiError::SequenceTooOld { .. }
            | ApiError::SequenceGap { .. }
            | ApiError::Fenced { .. }
            | ApiError::ExpectedOffset { .. }
    )
}

/// What is said of a record that is surely not in the log, when `last` may be about another try than its own.
fn never_sent(last: &Error) -> Error {
    if last.outcome() == Outcome::NotWritten {
        return last.clone();
    }
    Error::NoServer { why: format!("none took the record in time, the last one failed with: {last}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conditions::IN_FLIGHT_MAX;
    use seedlog_runtime::clock;
    use std::sync::Arc;
    use tokio::sync::Semaphore;

    const LIMITS: Limits = Limits {
        batch_records_max: 3,
        batch_bytes_max: 100,
        in_flight_max: IN_FLIGHT_MAX,
        delivery_max: Duration::from_secs(9),
        past_failures: true,
    };
    const IN_ORDER: Limits = Limits { past_failures: false, ..LIMITS };

    struct Bench {
        pipeline: Pipeline,
        room: Arc<Semaphore>,
        start: Instant,
        receivers: Vec<oneshot::Receiver<Settled>>,
    }

    impl Bench {
        /// A producer with these records, of ten bytes each, each due a second after the one before; its first
        /// sequence is 5.
        fn with(values: &[&str]) -> Bench {
            Bench::limited(LIMITS, values)
        }

        fn limited(limits: Limits, values: &[&str]) -> Bench {
            let (room, start) = (Arc::new(Semaphore::new(1000)), clock::now());
            let pipeline = Pipeline::new(limits, 5, false, start);
            let mut bench = Bench { pipeline, room, start, receivers: Vec::new() };
            values.iter().for_each(|value| bench.push(value));
            bench
        }

        fn push(&mut self, value: &str) {
            let due = self.at(self.receivers.len() as u64 + 1);
            let room = self.room.clone().try_acquire_owned().unwrap();
            let record = Record { value: value.to_owned().into(), ..Record::default() };
            self.receivers.push(self.pipeline.push(record, 10, due, room).unwrap());
        }

        fn at(&self, seconds: u64) -> Instant {
            self.start + Duration::from_secs(seconds)
        }

        /// Everything that goes out now: sequence, gap allowed, values.
        fn sent(&mut self) -> Vec<(u64, bool, String)> {
            let next = std::iter::from_fn(|| {
                let next = self.pipeline.next(false)?;
                self.pipeline.went_out();
                Some(next)
            });
            let shown = next.map(|request| {
                let values: Vec<_> = request.records.iter().map(|r| String::from_utf8_lossy(&r.value)).collect();
                (request.sequence, request.gap_allowed, values.concat())
            });
            shown.collect()
        }

        fn ack(&mut self, first_offset: u64, count: u32) -> Result<(), Error> {
            self.pipeline.acked(Produced { first_offset, count, repeated: false }, self.start)
        }

        fn broken(&mut self, error: &Error) {
            self.pipeline.broken(error, self.start, false);
        }

        /// What each record came to: its offset, or whether it may be written; `None` as long as nobody knows.
        fn settled(&mut self) -> Vec<Option<Result<u64, Outcome>>> {
            let said = |receiver: &mut oneshot::Receiver<Settled>| {
                let said = receiver.try_recv().ok()?;
                Some(said.map(|there| there.offset).map_err(|error| error.outcome()))
            };
            self.receivers.iter_mut().map(said).collect()
        }
    }

    fn went(sequence: u64, values: &str) -> (u64, bool, String) {
        (sequence, false, values.to_owned())
    }

    const LOST: Error = Error::Deadline { after: Duration::ZERO };
    const NO_LEADER: Error = Error::Server(ApiError::NoLeader);
    const TOO_LARGE: Error = Error::Server(ApiError::RecordTooLarge { index: 0, bytes: 2, max: 1 });

    #[tokio::test]
    async fn what_comes_while_two_are_on_their_way_gathers_until_a_batch_is_full() {
        let mut bench = Bench::with(&["a"]);
        assert_eq!(bench.sent(), [went(5, "a")]);
        bench.push("b");
        assert_eq!(bench.sent(), [went(6, "b")]);
        bench.push("c");
        bench.push("d");
        assert_eq!(bench.sent(), []);
        bench.push("e");
        assert_eq!(bench.sent(), [went(7, "cde")], "it is full");
        bench.push("f");
        bench.ack(0, 1).unwrap();
        assert_eq!(bench.sent(), []);
        bench.ack(1, 1).unwrap();
        assert_eq!(bench.sent(), [went(10, "f")]);
        bench.ack(2, 3).unwrap();
        bench.ack(5, 1).unwrap();
        assert!(bench.pipeline.is_empty());
        assert_eq!(bench.settled(), (0..6).map(|offset| Some(Ok(offset))).collect::<Vec<_>>());
        assert_eq!(bench.room.available_permits(), 1000);
    }

    #[tokio::test]
    async fn a_batch_never_has_more_bytes_than_it_may_but_one_record_may() {
        let mut bench = Bench::with(&[]);
        for bytes in [60, 40, 1, 150, 1] {
            let room = bench.room.clone().try_acquire_owned().unwrap();
            drop(bench.pipeline.push(Record::default(), bytes, bench.start, room));
        }
        let mut counts = Vec::new();
        while let Some(request) = bench.pipeline.next(false) {
            bench.pipeline.went_out();
            counts.push(request.records.len());
        }
        assert_eq!(counts, [2, 1, 1], "the last one waits: there is room for more with it");
        bench.ack(0, 2).unwrap();
        bench.ack(2, 1).unwrap();
        assert_eq!(bench.pipeline.next(false).unwrap().records.len(), 1);
    }

    #[tokio::test]
    async fn a_broken_stream_sends_the_same_batches_again_before_what_is_new() {
        let mut bench = Bench::with(&["a", "b", "c", "d"]);
        assert_eq!(bench.sent(), [went(5, "abc"), went(8, "d")]);
        bench.ack(0, 3).unwrap();
        bench.push("e");
        bench.broken(&Error::StreamBroken { why: String::new() });
        assert_eq!(bench.pipeline.next(true).unwrap().sequence, 8);
        bench.pipeline.went_out();
        assert_eq!(bench.pipeline.next(true), None, "old ones only");
        assert_eq!(bench.sent(), [went(9, "e")]);
        bench.ack(3, 1).unwrap();
        bench.ack(4, 1).unwrap();
        assert_eq!(bench.settled()[3..], [Some(Ok(3)), Some(Ok(4))]);
    }

    #[tokio::test]
    async fn a_refused_batch_goes_again_record_by_record_and_only_the_one_to_blame_is_left_out() {
        let mut bench = Bench::with(&["a", "b", "c", "d"]);
        assert_eq!(bench.sent(), [went(5, "abc"), went(8, "d")]);
        bench.broken(&TOO_LARGE);
        assert_eq!(bench.sent(), [went(5, "a"), went(6, "b"), went(7, "c"), went(8, "d")]);
        bench.ack(0, 1).unwrap();
        bench.broken(&TOO_LARGE);
        assert_eq!(bench.sent(), [(7, true, "c".to_owned()), went(8, "d")], "6 is left out");
        bench.ack(1, 1).unwrap();
        bench.ack(2, 1).unwrap();
        assert_eq!(bench.settled(), [Some(Ok(0)), Some(Err(Outcome::NotWritten)), Some(Ok(1)), Some(Ok(2))]);
    }

    #[tokio::test]
    async fn a_refusal_after_a_lost_answer_leaves_the_outcome_open() {
        let mut bench = Bench::with(&["a", "b"]);
        bench.sent();
        bench.broken(&LOST);
        bench.sent();
        bench.broken(&TOO_LARGE);
        assert_eq!(bench.settled(), [Some(Err(Outcome::Unknown)), Some(Err(Outcome::Unknown))]);
        bench.push("c");
        assert_eq!(bench.sent(), [(7, true, "c".to_owned())]);
    }

    #[tokio::test]
    async fn two_refused_records_in_neighbouring_batches_cost_nobody_else_anything() {
        let mut bench = Bench::with(&["a", "b", "c", "d", "e", "f"]);
        assert_eq!(bench.sent(), [went(5, "abc"), went(8, "def")]);
        bench.broken(&TOO_LARGE);
        assert_eq!(bench.sent(), [went(5, "a"), went(6, "b"), went(7, "c"), went(8, "def")]);
        (0..3).for_each(|offset| bench.ack(offset, 1).unwrap());
        bench.broken(&TOO_LARGE);
        assert_eq!(bench.sent(), [went(8, "d"), went(9, "e"), went(10, "f")], "they were behind a refused one");
    }

    #[tokio::test]
    async fn what_did_not_go_out_was_not_tried() {
        let mut bench = Bench::with(&["a"]);
        assert!(bench.pipeline.next(false).is_some());
        bench.pipeline.expire(bench.at(99), &LOST);
        assert_eq!(bench.settled(), [None], "it is about to");
        bench.broken(&LOST);
        bench.pipeline.expire(bench.at(99), &LOST);
        assert_eq!(bench.settled(), [Some(Err(Outcome::NotWritten))]);
    }

    #[tokio::test]
    async fn what_is_due_is_given_up_and_what_follows_it_may_leave_a_gap() {
        let mut bench = Bench::with(&["a", "b", "c", "d", "e"]);
        assert_eq!(bench.pipeline.next_deadline(), Some(bench.at(1)));
        assert_eq!(bench.pipeline.next(false).unwrap().sequence, 5);
        bench.broken(&NO_LEADER);
        bench.pipeline.expire(bench.at(1), &NO_LEADER);
        let not_written = Some(Err(Outcome::NotWritten));
        assert_eq!(bench.settled(), [not_written, not_written, not_written, None, None]);
        assert_eq!(bench.sent(), [(8, true, "de".to_owned())]);
    }

    #[tokio::test]
    async fn what_went_out_is_not_given_up_before_its_stream_and_then_its_outcome_is_open() {
        let mut bench = Bench::with(&["a", "b", "c", "d"]);
        assert_eq!(bench.sent(), [went(5, "abc"), went(8, "d")]);
        assert_eq!(bench.pipeline.next_deadline(), None);
        bench.pipeline.expire(bench.at(99), &NO_LEADER);
        assert_eq!(bench.settled(), [None; 4]);
        // An answer to the first says nothing of the second, and nothing that is said later does.
        bench.broken(&NO_LEADER);
        bench.pipeline.expire(bench.at(99), &NO_LEADER);
        let (not_written, unknown) = (Some(Err(Outcome::NotWritten)), Some(Err(Outcome::Unknown)));
        assert_eq!(bench.settled(), [not_written, not_written, not_written, unknown]);
    }

    #[tokio::test]
    async fn a_producer_whose_place_somebody_else_has_ends() {
        let (not_written, unknown) = (Some(Err(Outcome::NotWritten)), Some(Err(Outcome::Unknown)));
        let fenced = ApiError::Fenced { given: None, current: 3 };
        let too_old = ApiError::SequenceTooOld { sequence: 5, expected: 9 };
        for (refused, first) in [(fenced, not_written), (too_old, unknown)] {
            let mut bench = Bench::with(&["a", "b", "c", "d"]);
            bench.sent();
            bench.push("e");
            bench.broken(&Error::Server(refused));
            assert_eq!(bench.settled(), [first, first, first, unknown, not_written]);
            let room = bench.room.clone().try_acquire_owned().unwrap();
            assert!(bench.pipeline.push(Record::default(), 1, bench.start, room).is_err());
        }
    }

    #[tokio::test]
    async fn the_first_batch_may_own_up_to_a_gap_before_it() {
        let mut pipeline = Pipeline::new(LIMITS, 5, true, clock::now());
        let room = Arc::new(Semaphore::new(2));
        for _ in 0..2 {
            let room = room.clone().try_acquire_owned().unwrap();
            drop(pipeline.push(Record::default(), 90, clock::now(), room).unwrap());
        }
        let mut gap = || {
            let next = pipeline.next(false).map(|request| request.gap_allowed);
            pipeline.went_out();
            next
        };
        assert_eq!([gap(), gap()], [Some(true), Some(false)]);
    }

    #[tokio::test]
    async fn an_answer_that_does_not_fit_settles_nothing() {
        let mut bench = Bench::with(&["a", "b"]);
        assert!(bench.ack(0, 2).is_err(), "nothing went out");
        bench.sent();
        assert!(bench.ack(0, 1).is_err());
        assert_eq!(bench.settled(), [None, None]);
    }

    #[tokio::test]
    async fn in_order_what_is_written_is_all_that_is_before_the_first_failure() {
        let (not_written, unknown) = (Some(Err(Outcome::NotWritten)), Some(Err(Outcome::Unknown)));
        // One that is refused, alone in its batch in the end; what went out behind it was refused at the door.
        let mut bench = Bench::limited(IN_ORDER, &["a", "b", "c", "d"]);
        assert_eq!(bench.sent(), [went(5, "abc"), went(8, "d")]);
        bench.broken(&TOO_LARGE);
        assert_eq!(bench.sent(), [went(5, "a"), went(6, "b"), went(7, "c"), went(8, "d")]);
        bench.ack(0, 1).unwrap();
        bench.broken(&TOO_LARGE);
        assert_eq!(bench.settled(), [Some(Ok(0)), not_written, not_written, not_written]);
        assert_eq!(bench.pipeline.ended(), Some(&TOO_LARGE));
        // A way that ends, while nothing was acknowledged for too long.
        let mut bench = Bench::limited(IN_ORDER, &["a", "b", "c", "d", "e", "f", "g"]);
        assert_eq!(bench.sent().len(), 2);
        bench.ack(0, 3).unwrap();
        assert_eq!(bench.sent(), [went(11, "g")]);
        bench.pipeline.broken(&LOST, bench.at(8), false);
        assert_eq!(bench.sent(), [went(8, "def"), went(11, "g")], "there is time for another try");
        bench.push("h");
        bench.pipeline.expire(bench.at(99), &LOST);
        assert_eq!(bench.settled()[3..], [None; 5], "only a failure is the end");
        bench.pipeline.broken(&LOST, bench.at(9), true);
        assert_eq!(bench.sent().len(), 2, "there is a server that was not tried");
        bench.pipeline.broken(&LOST, bench.at(9), false);
        assert_eq!(bench.settled()[3..], [unknown, unknown, unknown, unknown, not_written]);
        // Something that no try can change.
        let mut bench = Bench::limited(IN_ORDER, &["a"]);
        bench.sent();
        bench.broken(&Error::Status { code: tonic::Code::PermissionDenied, message: String::new() });
        assert!(bench.pipeline.ended().is_some());
    }

    #[tokio::test]
    async fn without_any_patience_the_first_failure_is_the_end_with_nothing_on_its_way_too() {
        let limits = Limits { delivery_max: Duration::ZERO, ..IN_ORDER };
        let mut bench = Bench::limited(limits, &[]);
        bench.push("a");
        assert_eq!(bench.sent(), [went(5, "a")]);
        bench.ack(0, 1).unwrap();
        bench.broken(&LOST);
        assert_eq!(bench.pipeline.ended(), Some(&LOST));
        let mut patient = Bench::limited(IN_ORDER, &[]);
        patient.pipeline.broken(&LOST, patient.at(99), false);
        assert_eq!(patient.pipeline.ended(), None, "nobody waits for anything");
    }

    #[tokio::test]
    async fn one_at_a_time_the_next_waits_for_the_answer() {
        let mut bench = Bench::limited(Limits { in_flight_max: 1, ..IN_ORDER }, &["a", "b", "c", "d", "e"]);
        assert_eq!(bench.sent(), [went(5, "abc")]);
        assert_eq!(bench.sent(), []);
        bench.ack(0, 3).unwrap();
        assert_eq!(bench.sent(), [went(8, "de")]);
    }
}
