//! The other nodes, over `raft.v1`: [`Peers`] dials them for openraft and for us, [`service`] answers them.

mod append;
mod forward;
mod network;
mod overdue;
mod room;
mod service;

pub use forward::{Applied, Forwarder};
pub use network::Peers;
pub use service::add_peer_service;
