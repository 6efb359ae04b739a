//! The other nodes, over `raft.v1`: [`Peers`] dials them for openraft and for us, [`service`] answers them.

mod acknowledged;
mod append;
mod forward;
mod lend;
mod network;
mod overdue;
mod room;
mod service;

pub use forward::{Applied, Forwarder};
pub use lend::{Asked, understand};
pub use network::{Peers, why_not};
pub use service::{add_lending_service, add_peer_service};
