//! Who the two clusters are, and how far the one is copied into the other.

use super::{Mirror, MirrorError, Side, producer_id};
use crate::Cluster;
use seedlog_api::v1::DescribeResponse;
use std::ops::Range;

/// How far a copy is, and whether it may go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub source_id: String,
    pub destination_id: String,
    /// The source's offset to go on from: the destination has everything before it that it will ever have.
    pub position: u64,
    /// What the source has.
    pub source_range: Range<u64>,
}

impl Standing {
    /// The source's offsets that are neither in the destination nor in the source any more.
    pub fn trimmed(&self) -> Option<Range<u64>> {
        let trimmed = self.position..self.source_range.start;
        (!trimmed.is_empty()).then_some(trimmed)
    }

    /// Records of the source that are to be copied.
    pub fn lag(&self) -> u64 {
        self.source_range.end - self.position.max(self.source_range.start).min(self.source_range.end)
    }
}

impl Mirror {
    /// Looks once at both clusters.
    ///
    /// # Errors
    /// If one of them cannot be asked, and if this copy is refused: see [`MirrorError`]. That something was trimmed is
    /// none here.
    pub async fn standing(&self) -> Result<Standing, MirrorError> {
        self.look(None).await
    }

    /// As [`Mirror::standing`]; the clusters must be those that they were `before`.
    pub(super) async fn look(&self, before: Option<&Standing>) -> Result<Standing, MirrorError> {
        let source_id = cluster_id(&self.source, Side::Source, before).await?;
        let destination_id = cluster_id(&self.destination, Side::Destination, before).await?;
        if source_id == destination_id {
            return Err(MirrorError::SameCluster { cluster_id: source_id });
        }
        // The destination first: what it has, the source has too.
        let there = describe(&self.destination, Side::Destination, &source_id).await?;
        let position = match &there.producer {
            Some(mirror) => mirror.next_sequence,
            None => match (self.recall(&there, &source_id).await, self.options.resume_at) {
                (Ok(copied_to), _) => copied_to.unwrap_or(self.options.start_at),
                (Err(MirrorError::PositionLost { .. }), Some(resume_at)) => resume_at,
                (Err(error), _) => return Err(error),
            },
        };
        let here = describe(&self.source, Side::Source, &destination_id).await?;
        let source_range = here.first_offset..here.next_offset;
        if let Some(back) = here.producer
            && position < back.next_offset
        {
            let mirrored_to = back.next_offset - 1;
            return Err(MirrorError::MirroredBack { source_id, destination_id, position, mirrored_to });
        }
        if position > source_range.end {
            return Err(MirrorError::SourceIsShorter { source_id, position, source_end: source_range.end });
        }
        {
            let mut progress = self.locked();
            progress.position = Some(position);
            progress.source_end = Some(source_range.end);
        }
        Ok(Standing { source_id, destination_id, position, source_range })
    }

    /// The clusters are still those of `standing`; where the source ends now.
    pub(super) async fn look_again(&self, standing: &Standing) -> Result<(), MirrorError> {
        cluster_id(&self.source, Side::Source, Some(standing)).await?;
        cluster_id(&self.destination, Side::Destination, Some(standing)).await?;
        let end = self.source.next_offset().await.map_err(MirrorError::at(Side::Source))?;
        let mut progress = self.locked();
        progress.source_end = progress.source_end.max(Some(end));
        Ok(())
    }
}

/// What the log holds, and what it remembers of a mirror of the cluster `mirrored_id`.
async fn describe(cluster: &Cluster, side: Side, mirrored_id: &str) -> Result<DescribeResponse, MirrorError> {
    let described = cluster.describe_with_producer(&producer_id(mirrored_id)).await;
    described.map_err(MirrorError::at(side))
}

async fn cluster_id(cluster: &Cluster, side: Side, before: Option<&Standing>) -> Result<String, MirrorError> {
    let members = cluster.members().await.map_err(MirrorError::at(side))?;
    let mut ids = members.servers.into_iter().map(|server| server.cluster_id);
    let is = ids.find(|id| !id.is_empty()).ok_or(MirrorError::NoClusterId { side })?;
    let was = before.map(|before| match side {
        Side::Source => &before.source_id,
        Side::Destination => &before.destination_id,
    });
    match was {
        Some(was) if *was != is => Err(MirrorError::ClusterChanged { side, was: was.clone(), is }),
        _ => Ok(is),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(position: u64, source_range: Range<u64>) -> Standing {
        Standing { source_id: "a".into(), destination_id: "b".into(), position, source_range }
    }

    #[test]
    fn what_was_trimmed_before_it_was_copied_is_told_from_what_was_trimmed_after() {
        assert_eq!(standing(3, 0..9).trimmed(), None);
        assert_eq!(standing(3, 3..9).trimmed(), None);
        assert_eq!(standing(3, 5..9).trimmed(), Some(3..5));
        assert_eq!([standing(3, 0..9), standing(3, 5..9), standing(9, 9..9)].map(|it| it.lag()), [6, 4, 0]);
    }
}
