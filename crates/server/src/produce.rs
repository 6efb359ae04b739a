//! From a produce request to records in the log.

use crate::limits::Limits;
use crate::service::Service;
use bytes::Bytes;
use seedlog_api::v1::{ProduceRequest, ProduceResponse, Record};
use seedlog_api::{ApiError, stored};
use seedlog_log::{Conditions, PRODUCER_ID_BYTES_MAX, ProducerSequence, RecordBatch};
use seedlog_raft::Produced;

impl Service {
    /// Appends the record, or the batch, if its conditions hold: all of it or nothing. Returns once it is
    /// committed.
    ///
    /// # Errors
    /// See the table in [`ApiError`]. After [`ApiError::OutcomeUnknown`] the records may be in the log.
    pub async fn produce(&self, request: ProduceRequest) -> Result<ProduceResponse, ApiError> {
        let batch = accept(request, self.limits())?;
        self.node().produce(batch).await.map(response).map_err(|error| self.produce_error(error))
    }
}

pub(crate) fn response(produced: Produced) -> ProduceResponse {
    let Produced { first_offset, count, repeated, .. } = produced;
    ProduceResponse { offset: first_offset, count, repeated, error: None }
}

/// The batch of a request as it is kept, or why it is refused: before anything is proposed.
pub(crate) fn accept(request: ProduceRequest, limits: &Limits) -> Result<RecordBatch, ApiError> {
    default_log(&request.log)?;
    default_group(request.group)?;
    let mut conditions =
        Conditions { expected_offset: request.expected_offset, fencing_token: request.fencing_token, producer: None };
    let producer = producer(&request)?;
    let records = match (request.record, request.records) {
        (Some(record), records) if records.is_empty() => vec![record],
        (Some(_), _) => return Err(ApiError::RecordAndRecords),
        (None, records) if records.is_empty() => return Err(ApiError::EmptyRequest),
        (None, records) => records,
    };
    if let Some(one) = &producer
        && one.sequence.checked_add(records.len() as u64).is_none()
    {
        let (sequence, count) = (one.sequence, records.len());
        return Err(malformed(format!("sequence {sequence} and {count} records go past {}", u64::MAX)));
    }
    conditions.producer = producer;
    for (index, record) in records.iter().enumerate() {
        let bytes = bytes_of(record);
        if bytes > limits.record_bytes_max {
            return Err(ApiError::RecordTooLarge { index, bytes, max: limits.record_bytes_max });
        }
    }
    let records: Vec<Bytes> = records.into_iter().map(stored).collect();
    let bytes = records.iter().map(|record| 4 + record.len()).sum();
    if bytes > limits.batch_bytes_max {
        return Err(ApiError::BatchTooLarge { bytes, max: limits.batch_bytes_max });
    }
    Ok(RecordBatch { conditions, records })
}

fn producer(request: &ProduceRequest) -> Result<Option<ProducerSequence>, ApiError> {
    let ProduceRequest { producer_id, sequence, allow_sequence_gap, .. } = request;
    let bytes = producer_id.len();
    if bytes > PRODUCER_ID_BYTES_MAX {
        return Err(malformed(format!("producer_id has {bytes} bytes, the limit is {PRODUCER_ID_BYTES_MAX}")));
    }
    if producer_id.is_empty() {
        let without = [("sequence", *sequence != 0), ("allow_sequence_gap", *allow_sequence_gap)];
        return match without.into_iter().find(|(_, given)| *given) {
            Some((field, _)) => Err(malformed(format!("{field} is set without producer_id"))),
            None => Ok(None),
        };
    }
    let id = Bytes::copy_from_slice(producer_id.as_bytes());
    Ok(Some(ProducerSequence { id, sequence: *sequence, gap_allowed: *allow_sequence_gap }))
}

fn malformed(what: String) -> ApiError {
    ApiError::Malformed { what }
}

/// What the limit for one record counts: what its sender chose.
fn bytes_of(record: &Record) -> usize {
    let headers: usize = record.headers.iter().map(|header| header.name.len() + header.value.len()).sum();
    record.value.len() + record.key.len() + headers
}

/// There is one log, and its name is empty.
pub(crate) fn default_log(name: &str) -> Result<(), ApiError> {
    if name.is_empty() { Ok(()) } else { Err(ApiError::UnknownLog { name: name.to_owned() }) }
}

/// There is one Raft group. Better an error than an ignored wish.
pub(crate) fn default_group(group: u32) -> Result<(), ApiError> {
    if group == 0 { Ok(()) } else { Err(ApiError::Unsupported { field: "group".into() }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seedlog_api::v1::Header;

    fn record(value_bytes: usize) -> Record {
        Record { value: vec![b'x'; value_bytes].into(), ..Record::default() }
    }

    fn one(record: Record) -> ProduceRequest {
        ProduceRequest { record: Some(record), ..ProduceRequest::default() }
    }

    fn batch(records: Vec<Record>) -> ProduceRequest {
        ProduceRequest { records, ..ProduceRequest::default() }
    }

    fn refusal(request: ProduceRequest) -> String {
        accept(request, &Limits::default()).unwrap_err().to_string()
    }

    #[test]
    fn a_record_of_exactly_the_limit_goes_in_and_one_byte_more_names_both_numbers() {
        let max = Limits::default().record_bytes_max;
        assert_eq!(accept(one(record(max)), &Limits::default()).map(|batch| batch.records.len()), Ok(1));
        let refused = refusal(one(record(max + 1)));
        assert!(refused.contains(&(max + 1).to_string()) && refused.contains(&max.to_string()), "{refused}");
    }

    #[test]
    fn key_and_headers_count_too() {
        let headers = vec![Header { name: "n".repeat(1 << 19), value: vec![0; 1 << 18].into() }];
        let large =
            Record { value: vec![0; 1 << 17].into(), key: vec![0; 1 << 17].into(), headers, ..Record::default() };
        assert_eq!(bytes_of(&large), 1 << 20);
        assert!(accept(one(large.clone()), &Limits::default()).is_ok());
        let larger = Record { key: vec![0; (1 << 17) + 1].into(), ..large };
        assert!(refusal(one(larger)).contains("1048577"));
    }

    #[test]
    fn a_batch_of_empty_records_is_measured_as_it_is_kept() {
        let records = vec![Record::default(); (4 << 20) / 4];
        assert!(accept(batch(records.clone()), &Limits::default()).is_ok());
        let refused = refusal(batch([records, vec![Record::default()]].concat()));
        assert!(refused.contains("4194308") && refused.contains("4194304"), "{refused}");
    }

    #[test]
    fn exactly_one_of_record_and_records() {
        assert_eq!(accept(ProduceRequest::default(), &Limits::default()), Err(ApiError::EmptyRequest));
        let both = ProduceRequest { records: vec![record(1)], ..one(record(1)) };
        assert_eq!(accept(both, &Limits::default()), Err(ApiError::RecordAndRecords));
        assert_eq!(accept(batch(vec![record(1); 3]), &Limits::default()).map(|batch| batch.records.len()), Ok(3));
    }

    #[test]
    fn what_has_no_effect_or_no_meaning_is_refused_by_name() {
        let base = one(record(1));
        let cases = [
            ("group", ProduceRequest { group: 1, ..base.clone() }),
            ("orders", ProduceRequest { log: "orders".into(), ..base.clone() }),
            ("sequence is set without producer_id", ProduceRequest { sequence: 1, ..base.clone() }),
            ("allow_sequence_gap is set without", ProduceRequest { allow_sequence_gap: true, ..base.clone() }),
            ("129 bytes, the limit is 128", ProduceRequest { producer_id: "p".repeat(129), ..base.clone() }),
            (
                "sequence 18446744073709551615 and 1 records go past 18446744073709551615",
                ProduceRequest { producer_id: "p".into(), sequence: u64::MAX, ..base },
            ),
        ];
        for (name, request) in cases {
            assert!(refusal(request).contains(name), "{name}");
        }
    }

    #[test]
    fn conditions_go_into_the_entry_as_they_were_given() {
        let request = ProduceRequest {
            producer_id: "p".into(),
            sequence: 7,
            expected_offset: Some(0),
            fencing_token: Some(3),
            ..one(record(1))
        };
        let Conditions { producer, expected_offset, fencing_token } =
            accept(request, &Limits::default()).unwrap().conditions;
        assert_eq!(producer, Some(ProducerSequence { id: "p".into(), sequence: 7, gap_allowed: false }));
        assert_eq!((expected_offset, fencing_token), (Some(0), Some(3)));
    }
}
