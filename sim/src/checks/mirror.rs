//! In the destination of a mirror the source's records stand each once, in their order, as they are; only what the
//! source trimmed may be missing.

use crate::history::{Violation, show};
use seedlog_client::Record;
use std::collections::BTreeMap;

/// Both logs, in peace and with the mirror at the end.
#[derive(Debug, Default)]
pub struct Logs {
    pub source_id: String,
    pub source: Vec<Record>,
    /// The offset after the source's last record.
    pub source_end: u64,
    /// Nothing of the source at or after this offset may be trimmed.
    pub trimmed_to: u64,
    /// It was never trimmed.
    pub destination: Vec<Record>,
}

pub fn check(logs: &Logs) -> Result<(), Violation> {
    let source: BTreeMap<u64, &Record> = logs.source.iter().map(|record| (record.offset, record)).collect();
    let mut next = 0;
    for copy in &logs.destination {
        let Some(origin) = copy.origins.last().filter(|origin| origin.cluster_id == logs.source_id) else { continue };
        let (here, there) = (copy.offset, origin.offset);
        if there < next {
            return violation(format!("offset {there} of the source stands at {here}, behind its offset {}", next - 1));
        }
        if there > next && there > logs.trimmed_to {
            let left_out = format!("offsets {next} to {} of the source are left out before {here}", there - 1);
            return violation(format!("{left_out}; only what is before {} may have been trimmed", logs.trimmed_to));
        }
        // Trimmed since, it can be compared with nothing.
        if let Some(record) = source.get(&there)
            && !is_copy(copy, record, &logs.source_id)
        {
            let (copied, value) = (show(&copy.value), show(&record.value));
            return violation(format!("offset {there} of the source, {value}, is not what stands at {here}: {copied}"));
        }
        next = there + 1;
    }
    if next < logs.source_end && logs.source_end > logs.trimmed_to {
        return violation(format!("the copy ends at offset {next} of the source, which ends at {}", logs.source_end));
    }
    Ok(())
}

/// Equal but for the place, which the copy's last origin says.
fn is_copy(copy: &Record, record: &Record, source_id: &str) -> bool {
    let Some((last, earlier)) = copy.origins.split_last() else { return false };
    let place =
        |record: &Record| Record { offset: 0, term: 0, append_time_ms: 0, origins: Vec::new(), ..record.clone() };
    place(copy) == place(record)
        && earlier == record.origins
        && (last.cluster_id.as_str(), last.offset, last.append_time_ms)
            == (source_id, record.offset, record.append_time_ms)
}

fn violation(what: String) -> Result<(), Violation> {
    Err(Violation { check: "mirror", what, at_ns: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use seedlog_client::{Header, Origin};

    fn record(offset: u64) -> Record {
        let headers = vec![Header { name: "h".into(), value: "v".into() }];
        let append_time_ms = 100 + offset as i64;
        Record { value: format!("{offset}").into(), offset, append_time_ms, headers, ..Record::default() }
    }

    fn copy(there: u64) -> Record {
        let origin = Origin { cluster_id: "a".into(), offset: there, append_time_ms: 100 + there as i64 };
        Record { origins: vec![origin], append_time_ms: 900, ..record(there) }
    }

    /// The source has these offsets up to 5, the destination these copies and a record of its own.
    fn logs(source: &[u64], copies: &[u64]) -> Logs {
        let own = Record { value: "own".into(), ..Record::default() };
        let mut destination = vec![own];
        destination.extend(copies.iter().map(|there| copy(*there)));
        for (record, offset) in destination.iter_mut().zip(0..) {
            record.offset = offset;
        }
        let source = source.iter().map(|offset| record(*offset)).collect();
        Logs { source_id: "a".into(), source, source_end: 5, trimmed_to: 0, destination }
    }

    #[test]
    fn all_records_each_once_and_in_order_pass_also_with_what_was_trimmed_missing() {
        assert_eq!(check(&logs(&[0, 1, 2, 3, 4], &[0, 1, 2, 3, 4])), Ok(()));
        for (source, copies) in [(&[3, 4][..], &[0, 1, 2, 3, 4][..]), (&[3, 4], &[0, 3, 4]), (&[3, 4], &[2, 3, 4])] {
            assert_eq!(check(&Logs { trimmed_to: 3, ..logs(source, copies) }), Ok(()));
        }
        assert_eq!(check(&Logs { trimmed_to: 5, ..logs(&[], &[0]) }), Ok(()));
    }

    #[test]
    fn canaries_a_gap_a_repeat_two_that_changed_places_and_an_end_that_is_missing() {
        let all = [0, 1, 2, 3, 4];
        for copies in [&[0, 2, 3, 4][..], &[0, 1, 1, 2, 3, 4], &[0, 2, 1, 3, 4], &[0, 1, 2, 3], &[]] {
            assert!(check(&logs(&all, copies)).is_err(), "{copies:?}");
        }
        assert!(check(&Logs { trimmed_to: 2, ..logs(&[2, 3, 4], &[0, 4]) }).is_err());
    }

    #[test]
    fn canary_a_copy_that_is_not_the_record() {
        let changes: [fn(&mut Record); 5] = [
            |copy| copy.value = "x".into(),
            |copy| copy.headers.clear(),
            |copy| copy.timestamp_ms = Some(1),
            |copy| copy.origins[0].append_time_ms += 1,
            |copy| copy.origins.insert(0, copy.origins[0].clone()),
        ];
        for change in changes {
            let mut logs = logs(&[0, 1, 2, 3, 4], &[0, 1, 2, 3, 4]);
            change(&mut logs.destination[3]);
            assert!(check(&logs).is_err());
        }
    }
}
