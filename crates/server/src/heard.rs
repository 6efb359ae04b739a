//! What is heard of the nodes by gossip, told by whoever gossips: nothing here knows how.

use seedlog_api::v1::{Gossip, Liveness};
use std::net::SocketAddr;
use std::time::Duration;

/// One node, this one among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    pub node_id: u64,
    pub name: String,
    pub rpc_addr: String,
    pub gossip_addr: SocketAddr,
    /// None: it belongs to no cluster yet.
    pub cluster_id: Option<u128>,
    pub state: HeardState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeardState {
    Alive,
    /// It said goodbye so long ago.
    Left(Duration),
    /// It fell silent so long ago.
    Dead(Duration),
}

/// Tells what is heard at the moment.
pub trait Hearsay: Send + Sync + 'static {
    fn heard(&self) -> Vec<Heard>;
}

/// Of a node that does not gossip.
pub struct NoHearsay;

impl Hearsay for NoHearsay {
    fn heard(&self) -> Vec<Heard> {
        Vec::new()
    }
}

impl Heard {
    pub(crate) fn shown(&self) -> Gossip {
        let (liveness, gone) = match self.state {
            HeardState::Alive => (Liveness::Alive, Duration::ZERO),
            HeardState::Left(gone) => (Liveness::Left, gone),
            HeardState::Dead(gone) => (Liveness::Dead, gone),
        };
        let gone_ms = u64::try_from(gone.as_millis()).unwrap_or(u64::MAX);
        Gossip { addr: self.gossip_addr.to_string(), liveness: liveness.into(), gone_ms }
    }
}
