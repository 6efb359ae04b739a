use crate::error::Error;
use seedlog_api::v1::{ConsumeResponse, Record};
use seedlog_runtime::rpc::wire;
use std::collections::VecDeque;
use tonic::Streaming;

/// Records in order, the ones to come included.
#[derive(Debug)]
pub struct Tail {
    answers: Streaming<ConsumeResponse>,
    received: VecDeque<Record>,
}

impl Tail {
    pub(crate) fn new(answers: Streaming<ConsumeResponse>) -> Tail {
        Tail { answers, received: VecDeque::new() }
    }

    /// The next record, as soon as there is one. `None` when the server ends the stream in good
    /// order. May be dropped and called again: no record is lost.
    ///
    /// # Errors
    /// The stream is over; a new one from the offset after the last record goes on where this stopped.
    pub async fn next(&mut self) -> Option<Result<Record, Error>> {
        loop {
            if let Some(record) = self.received.pop_front() {
                return Some(Ok(record));
            }
            let answer = match self.answers.message().await {
                Ok(answer) => wire(answer?),
                Err(status) => Err(status),
            };
            match answer {
                Ok(answer) => self.received.extend(answer.record.into_iter().chain(answer.records)),
                Err(status) => return Some(Err(status.into())),
            }
        }
    }
}
