//! How far the copy is, from its records themselves: for when the destination does not remember the mirror.

use super::{Mirror, MirrorError, Side};
use crate::client::{Fetch, Start};
use crate::error::Error;
use seedlog_api::v1::{DescribeResponse, Record};
use std::time::Duration;

/// Records that are looked at together.
const STRETCH: u64 = 1024;

impl Mirror {
    /// The source's offset after the last one that is in the destination, which describes itself as `there` and does
    /// not remember the mirror. `None`: nothing of the source was ever copied.
    ///
    /// # Errors
    /// [`MirrorError::PositionLost`] if that cannot be told, since the destination is trimmed.
    pub(super) async fn recall(&self, there: &DescribeResponse, source_id: &str) -> Result<Option<u64>, MirrorError> {
        // As long as there is room, nobody was forgotten.
        if there.producers < there.producers_max {
            return Ok(None);
        }
        let mut end = there.next_offset;
        while end > there.first_offset {
            let from = end.saturating_sub(STRETCH).max(there.first_offset);
            match self.last_copied(from..end, source_id).await {
                Ok(None) => end = from,
                Ok(Some(offset)) => return Ok(Some(offset + 1)),
                // Trimmed meanwhile: what was there is not known.
                Err(error) if error.out_of_range().is_some() => break,
                Err(error) => return Err(MirrorError::Call { side: Side::Destination, error }),
            }
        }
        if end == 0 {
            return Ok(None);
        }
        Err(MirrorError::PositionLost {
            source_id: source_id.to_owned(),
            producers_max: there.producers_max,
            first_offset: there.first_offset,
        })
    }

    /// The source's offset of the last record in this stretch of the destination that is from it.
    async fn last_copied(&self, stretch: std::ops::Range<u64>, source_id: &str) -> Result<Option<u64>, Error> {
        let (mut at, mut found) = (stretch.start, None);
        while at < stretch.end {
            let records_max = u32::try_from(stretch.end - at).unwrap_or(u32::MAX);
            let fetch = Fetch { start: Start::Offset(at), records_max, bytes_max: 0, wait: Duration::ZERO };
            let records = self.destination.fetch(fetch).await?;
            let last = records.last().ok_or(Error::BadAnswer { what: "a read without records" })?;
            at = last.offset + 1;
            found = records.iter().rev().find_map(|record| copied_from(record, source_id)).or(found);
        }
        Ok(found)
    }
}

/// The record's offset in the source, if that is where it was mirrored from.
fn copied_from(record: &Record, source_id: &str) -> Option<u64> {
    let origin = record.origins.last()?;
    (origin.cluster_id == source_id).then_some(origin.offset)
}
