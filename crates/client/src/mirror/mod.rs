//! One cluster's log copied into another's, each record once and in order, for as long as it runs: a mirror.
//!
//! The mirror is a producer of the destination, named after the source's cluster id, and a record's sequence is its
//! offset in the source. So the destination itself says how far the copy is, and takes no record twice, whoever sends
//! it: there is no other position, and nothing to be lost in a crash. A second mirror of the same source, or what is
//! left of one that was killed, does no harm; it is only in the way.
//!
//! A record is copied as it is: value, key, headers, timestamp and type. What its place in the source says of it,
//! cluster, offset and append time, is added to its origins. Batches are not kept: a copy may stop inside one.

mod copy;
mod error;
mod look;
mod recall;

pub use error::{MirrorError, Side};
pub use look::Standing;

use crate::Cluster;
use crate::cluster::{PAUSE_LEAST, next_pause};
use copy::Ended;
use seedlog_runtime::clock;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How a mirror behaves.
#[derive(Debug, Clone)]
pub struct MirrorOptions {
    /// The source's offset to begin at, if nothing of the source was ever copied; otherwise the destination says where.
    pub start_at: u64,
    /// And to go on from, if it cannot be known any more how far the copy is ([`MirrorError::PositionLost`]).
    pub resume_at: Option<u64>,
    /// What the source has trimmed before it was copied is left out. Otherwise it is an error.
    pub skip_trimmed: bool,
    /// Ends when all is copied that the source had when it began.
    pub ends_at_end: bool,
    /// See [`Conditions::fencing_token`](crate::Conditions::fencing_token).
    pub fencing_token: Option<u64>,
    /// What is on its way takes at most so many bytes of memory, about.
    pub room_bytes_max: usize,
    /// For how long a record is given to the destination, before it is asked again how far it is.
    pub delivery_max: Duration,
    /// How often both clusters are asked who they are, and the source where it ends.
    pub look_every: Duration,
}

impl Default for MirrorOptions {
    fn default() -> MirrorOptions {
        MirrorOptions {
            start_at: 0,
            resume_at: None,
            skip_trimmed: false,
            ends_at_end: false,
            fencing_token: None,
            room_bytes_max: 32 << 20,
            delivery_max: Duration::from_secs(60),
            look_every: Duration::from_secs(1),
        }
    }
}

/// How far a mirror is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// The source's offset up to which the destination is known to have everything, and where the source ended last.
    /// `None`: not asked yet.
    pub position: Option<u64>,
    pub source_end: Option<u64>,
    /// Records that this mirror has copied itself.
    pub copied: u64,
}

impl Progress {
    /// Records of the source that are not known to be in the destination.
    pub fn lag(&self) -> Option<u64> {
        Some(self.source_end?.saturating_sub(self.position?))
    }
}

/// What is to be told while a mirror runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// It goes on from here.
    Began(Standing),
    /// These offsets of the source were trimmed before they were copied, and are left out.
    Skipped { trimmed: Range<u64> },
    /// It makes no headway, and goes on trying.
    Trouble { error: MirrorError },
}

/// A mirror of one cluster's log in another's. See the [module](self).
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let config = seedlog_agent::Config::new(dir.path().into(), ([127, 0, 0, 1], 0).into());
/// # let node = seedlog_agent::Agent::start(config, std::sync::Arc::new(seedlog_runtime::disk::RealDisk)).await?;
/// # let other_dir = tempfile::tempdir()?;
/// # let config = seedlog_agent::Config::new(other_dir.path().into(), ([127, 0, 0, 1], 0).into());
/// # let other = seedlog_agent::Agent::start(config, std::sync::Arc::new(seedlog_runtime::disk::RealDisk)).await?;
/// # let (from, to) = (node.rpc_addr().to_string(), other.rpc_addr().to_string());
/// use seedlog_client::mirror::{Mirror, MirrorOptions};
/// use seedlog_client::{Cluster, Record};
///
/// let (source, destination) = (Cluster::connect([&from])?, Cluster::connect([&to])?);
/// source.produce(vec![Record { value: "hello".into(), ..Record::default() }]).await?;
/// let options = MirrorOptions { ends_at_end: true, ..MirrorOptions::default() };
/// let mirror = Mirror::new(source, destination.clone(), options);
/// mirror.run(|news| eprintln!("{news:?}")).await?;
/// assert_eq!(mirror.progress().lag(), Some(0));
/// assert_eq!(destination.consume(0).await?.value, "hello");
/// # other.shutdown().await;
/// # node.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Mirror {
    source: Cluster,
    destination: Cluster,
    options: MirrorOptions,
    progress: Mutex<Progress>,
}

/// The producer as which a mirror of this cluster writes.
pub fn producer_id(source_cluster_id: &str) -> String {
    format!("mirror-of-{source_cluster_id}")
}

impl Mirror {
    pub fn new(source: Cluster, destination: Cluster, options: MirrorOptions) -> Mirror {
        Mirror { source, destination, options, progress: Mutex::default() }
    }

    pub fn progress(&self) -> Progress {
        self.locked().clone()
    }

    /// Copies, and goes on after whatever passes. Returns only with [`MirrorOptions::ends_at_end`]. May be dropped at
    /// any time: the next one goes on where the destination is.
    ///
    /// # Errors
    /// What does not pass by itself: see [`MirrorError`].
    pub async fn run(&self, mut tell: impl FnMut(News) + Send) -> Result<(), MirrorError> {
        let tell: &mut (dyn FnMut(News) + Send) = &mut tell;
        let (mut pause, mut first) = (PAUSE_LEAST, None::<Standing>);
        loop {
            let before = self.progress().copied;
            let error = match self.attempt(&mut first, tell).await {
                Ok(Ended::Complete) => return Ok(()),
                // Copied up to where the source is trimmed now: the next look says so.
                Ok(Ended::Overtaken) => continue,
                Err(error) if !error.is_passing() => return Err(error),
                Err(error) => error,
            };
            tell(News::Trouble { error });
            if self.progress().copied > before {
                pause = PAUSE_LEAST;
            }
            clock::sleep(next_pause(&mut pause)).await;
        }
    }

    /// `first`: what the first look saw, which fixes who the two clusters are and where a copy ends that ends.
    async fn attempt(
        &self,
        first: &mut Option<Standing>,
        tell: &mut (dyn FnMut(News) + Send),
    ) -> Result<Ended, MirrorError> {
        let standing = self.look(first.as_ref()).await?;
        let first = first.get_or_insert_with(|| standing.clone());
        if let Some(trimmed) = standing.trimmed() {
            if !self.options.skip_trimmed {
                return Err(MirrorError::Trimmed { trimmed, source_id: standing.source_id });
            }
            tell(News::Skipped { trimmed });
        }
        let end = self.options.ends_at_end.then_some(first.source_range.end);
        tell(News::Began(standing.clone()));
        self.copy(&standing, end, tell).await
    }

    fn locked(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
