//! The copying itself: read ahead, send, and wait for what becomes of each record, all at once.

use super::look::Standing;
use super::{Mirror, MirrorError, News, Side, producer_id};
use crate::client::Start;
use crate::cluster::{Delivery, Producer, ProducerOptions};
use seedlog_api::v1::{Origin, Record};
use seedlog_runtime::clock;
use tokio::sync::mpsc;

/// Why a copy has ended with all settled that was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It has all that it should.
    Complete,
    /// The source's next record was trimmed.
    Overtaken,
}

/// Records on their way: the source's offset of each.
type Sent = mpsc::UnboundedSender<(u64, Delivery)>;

impl Mirror {
    /// Copies from where the destination is, up to `end` if there is one.
    pub(super) async fn copy(
        &self,
        standing: &Standing,
        end: Option<u64>,
        tell: &mut (dyn FnMut(News) + Send),
    ) -> Result<Ended, MirrorError> {
        let producer = self.destination.producer(ProducerOptions {
            id: Some(producer_id(&standing.source_id)),
            first_sequence: standing.position.max(standing.source_range.start),
            room_bytes_max: self.options.room_bytes_max,
            delivery_max: self.options.delivery_max,
            fencing_token: self.options.fencing_token,
            first_after_gap: standing.trimmed().is_some(),
            // Whoever comes after a record that is missing must not be there: the position says that all before it is.
            past_failures: false,
            ..ProducerOptions::default()
        });
        let (sent, mut deliveries) = mpsc::unbounded_channel();
        let reading = self.read(standing, end, producer, sent, tell);
        let settling = async {
            while let Some((offset, delivery)) = deliveries.recv().await {
                delivery.await.map_err(|error| MirrorError::delivery(offset, error))?;
                let mut progress = self.locked();
                progress.position = Some(offset + 1);
                progress.source_end = progress.source_end.max(progress.position);
                progress.copied += 1;
            }
            Ok(())
        };
        let watching = async {
            loop {
                clock::sleep(self.options.look_every).await;
                match self.look_again(standing).await {
                    Err(error) if !error.is_passing() => return error,
                    // Whoever reads or writes will say so.
                    _ => {}
                }
            }
        };
        // All that was read is settled before it is said why there is no more of it.
        let copying = async {
            let mut settling = std::pin::pin!(settling);
            let read = seedlog_runtime::select! {
                settled = &mut settling => return settled.map(|()| Ended::Complete),
                read = reading => read,
            };
            settling.await?;
            read
        };
        seedlog_runtime::select! {
            ended = copying => ended,
            error = watching => Err(error),
        }
    }

    /// Reads, and gives what was read to `producer`.
    async fn read(
        &self,
        standing: &Standing,
        end: Option<u64>,
        producer: Producer,
        sent: Sent,
        tell: &mut (dyn FnMut(News) + Send),
    ) -> Result<Ended, MirrorError> {
        let mut next = standing.position.max(standing.source_range.start);
        let mut tail = self.source.tail(Start::Offset(next));
        while end.is_none_or(|end| next < end) {
            let record = match tail.next().await {
                Ok(record) => record,
                Err(error) => match error.out_of_range() {
                    Some(valid) if next < valid.start => return Ok(Ended::Overtaken),
                    _ if error.is_passing() => {
                        tell(News::Trouble { error: MirrorError::Call { side: Side::Source, error } });
                        continue;
                    }
                    _ => return Err(MirrorError::Call { side: Side::Source, error }),
                },
            };
            let offset = record.offset;
            let delivery = producer.send(copied(record, standing)?).await;
            let delivery = delivery.map_err(|error| MirrorError::delivery(offset, error))?;
            // Who settles is there for as long as this is.
            _ = sent.send((offset, delivery));
            next = offset + 1;
        }
        Ok(Ended::Complete)
    }
}

/// The record as it goes into the destination.
fn copied(record: Record, standing: &Standing) -> Result<Record, MirrorError> {
    let Standing { source_id, destination_id, .. } = standing;
    let Record { offset, append_time_ms, mut origins, .. } = record;
    if let Some(home) = origins.iter().find(|origin| origin.cluster_id == *destination_id) {
        let (destination_id, at_home) = (destination_id.clone(), home.offset);
        return Err(MirrorError::Loop { offset, destination_id, at_home });
    }
    origins.push(Origin { cluster_id: source_id.clone(), offset, append_time_ms });
    Ok(Record { offset: 0, term: 0, append_time_ms: 0, origins, ..record })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Header;

    fn standing() -> Standing {
        Standing { source_id: "source".into(), destination_id: "here".into(), position: 0, source_range: 0..9 }
    }

    fn from(cluster_id: &str, offset: u64) -> Origin {
        Origin { cluster_id: cluster_id.into(), offset, append_time_ms: 1 }
    }

    #[test]
    fn a_record_is_copied_as_it_is_with_the_places_where_it_was() {
        let sent = Record {
            value: "v".into(),
            key: "k".into(),
            headers: vec![Header { name: "h".into(), value: "1".into() }],
            timestamp_ms: Some(-3),
            r#type: 2,
            ..Record::default()
        };
        let read = Record { offset: 7, term: 4, append_time_ms: 50, origins: vec![from("first", 3)], ..sent.clone() };
        let origin = Origin { cluster_id: "source".into(), offset: 7, append_time_ms: 50 };
        let wanted = Record { origins: vec![from("first", 3), origin], ..sent };
        assert_eq!(copied(read, &standing()), Ok(wanted));
    }

    #[test]
    fn what_was_in_the_destination_before_goes_no_further_however_long_its_way() {
        let read = Record { offset: 7, origins: vec![from("here", 5), from("between", 2)], ..Record::default() };
        let refused = MirrorError::Loop { offset: 7, destination_id: "here".into(), at_home: 5 };
        assert_eq!(copied(read, &standing()), Err(refused));
    }
}
