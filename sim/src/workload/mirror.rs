//! The mirror between two clusters: a machine that keeps nothing, and may be killed at any time.

use super::*;
use crate::plan::{MirrorCrash, Mirroring};
use seedlog_client::mirror::{Mirror, MirrorError, MirrorOptions, News};
use seedlog_client::{Cluster, Fetch, Header, Start};
use std::sync::Arc;

/// Both plans, and where what happens is written down.
struct Here {
    source: Plan,
    destination: Plan,
    options: MirrorOptions,
    world: World,
}

/// The machine.
pub struct MirrorMachine {
    node: NodeHandle,
    here: Arc<Here>,
}

impl MirrorMachine {
    /// Switches it on.
    pub fn build(plan: &Plan, mirroring: &Mirroring, world: &World) -> MirrorMachine {
        let options = MirrorOptions {
            skip_trimmed: plan.trims(),
            room_bytes_max: mirroring.room_bytes_max,
            delivery_max: Duration::from_millis(mirroring.delivery_ms_max),
            look_every: Duration::from_millis(mirroring.look_every_ms),
            ..MirrorOptions::default()
        };
        let (source, destination) = (plan.clone(), (*mirroring.destination).clone());
        let here = Arc::new(Here { source, destination, options, world: world.clone() });
        let ip = "10.50.0.1".parse().expect("an address");
        let living = here.clone();
        let node = Handle::current().create_node().name("mirror").ip(ip).init(move || living.clone().live()).build();
        MirrorMachine { node, here }
    }

    pub fn id(&self) -> NodeId {
        self.node.id()
    }

    /// Kills it at its times, and starts it again.
    pub async fn trouble(&self, crashes: &[MirrorCrash]) {
        let id = self.id();
        for MirrorCrash { at_ms, down_ms } in crashes {
            let wait_ns = (at_ms * 1_000_000).saturating_sub(now_ns());
            madsim::time::sleep(Duration::from_nanos(wait_ns)).await;
            self.here.world.event("the mirror is killed");
            self.here.world.fired("mirror_crash");
            Handle::current().kill(id);
            madsim::time::sleep(Duration::from_millis(*down_ms)).await;
            self.here.world.event("the mirror starts again");
            Handle::current().restart(id);
        }
    }

    /// Waits until everything of the source, to which nothing is added any more, is copied. False, and a complaint, if
    /// there is no headway within `stall_max`.
    pub async fn catches_up(&self, stall_max: Duration) -> bool {
        let here = self.here.clone();
        let seen = async move {
            let mirror = here.mirror();
            let (mut position, mut moved_ns) = (0, now_ns());
            while !here.world.complained() {
                if let Ok(standing) = mirror.standing().await {
                    if standing.lag() == 0 {
                        return true;
                    }
                    if standing.position > position {
                        (position, moved_ns) = (standing.position, now_ns());
                    }
                }
                if now_ns() - moved_ns > stall_max.as_nanos() as u64 {
                    let what =
                        format!("in peace the mirror stays at offset {position} of the source for {stall_max:?}");
                    here.world.complain("liveness", what);
                }
                madsim::time::sleep(Duration::from_millis(100)).await;
            }
            false
        };
        let node = Handle::current().get_node(self.id()).expect("it is up");
        node.spawn(seen).await.expect("it is not killed any more")
    }

    /// All records of both, as they are now.
    pub async fn read_both(&self) -> (Vec<Record>, Vec<Record>) {
        let here = self.here.clone();
        let node = Handle::current().get_node(self.id()).expect("it is up");
        let reading = async move {
            let (source, destination) = here.clusters();
            (read_all(&source, &here.world).await, read_all(&destination, &here.world).await)
        };
        node.spawn(reading).await.expect("it is not killed any more")
    }

    pub async fn source_id(&self) -> String {
        let here = self.here.clone();
        let node = Handle::current().get_node(self.id()).expect("it is up");
        let asking = async move { here.mirror().standing().await.map(|standing| standing.source_id) };
        node.spawn(asking).await.expect("it is not killed any more").unwrap_or_default()
    }

    pub fn end(&self) {
        Handle::current().kill(self.id());
    }
}

impl Here {
    fn clusters(&self) -> (Cluster, Cluster) {
        (cluster::find(MIRROR, &self.source), cluster::find(MIRROR, &self.destination))
    }

    fn mirror(&self) -> Mirror {
        let (source, destination) = self.clusters();
        Mirror::new(source, destination, self.options.clone())
    }

    async fn live(self: Arc<Here>) {
        let world = &self.world;
        let tell = |news| {
            world.event(format!("mirror: {news:?}"));
            match news {
                News::Began(standing) if standing.position > 0 => world.fired("mirror_went_on"),
                News::Began(_) => {}
                News::Skipped { .. } => world.fired("mirror_skipped_trimmed"),
                News::Trouble { error: MirrorError::OutOfStep { .. } } => world.fired("mirror_out_of_step"),
                News::Trouble { .. } => world.fired("mirror_in_trouble"),
            }
        };
        let Err(error) = self.mirror().run(tell).await else { return };
        world.complain("mirror", format!("it gives up: {error}"));
        std::future::pending::<()>().await;
    }
}

/// The record with something in every field that it may have.
pub fn whole(record: Record) -> Record {
    let bytes = record.value.len();
    Record {
        key: record.value.slice(..bytes.min(4)),
        headers: vec![Header { name: "bytes".into(), value: bytes.to_string().into() }],
        timestamp_ms: (!bytes.is_multiple_of(3)).then_some(bytes as i64 - 20),
        r#type: bytes as u32 % 5,
        ..record
    }
}

async fn read_all(cluster: &Cluster, world: &World) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    let mut at = 0;
    loop {
        let fetch = Fetch { start: Start::Offset(at), records_max: 256, bytes_max: 1 << 20, wait: Duration::ZERO };
        match cluster.fetch(fetch).await {
            Ok(read) => {
                at = read.last().map_or(at, |record| record.offset + 1);
                records.extend(read);
            }
            Err(error) => match error.out_of_range() {
                Some(valid) if at < valid.start => at = valid.start,
                Some(_) => return records,
                None => {
                    world.event(format!("mirror's reader: {error}"));
                    madsim::time::sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
}
