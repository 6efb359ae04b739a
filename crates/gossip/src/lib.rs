//! Who is there: SWIM over UDP (foca), with the timers, randomness and sockets of `seedlog-runtime`.
//!
//! Gossip suggests and decides nothing. It says of each node that it ever heard of whether it is alive, has
//! left, or has been silent for how long ([`Members`]); it knows no Raft, no leader and no voters.
//!
//! ```text
//!            Gossip (handle) --commands-->  task  --Arc<Members>--> whoever watches
//!                                           | ^
//!                  foca <- timers, packets -+ +- reader <- socket
//! ```
//!
//! A node is its id. Where it is, and in which of its lives, is its *identity*: the member's data and an
//! incarnation that only grows. The newest identity of a node is the node; older ones are its past.
//!
//! What is deliberately absent: any state on disk, any retry that decides something, hash maps (their order
//! would reach the network), a clock or a generator of its own.

mod config;
mod contacts;
mod counters;
mod gossip;
mod identity;
mod member;
mod members;
mod outbox;
mod reader;
mod receive;
mod task;
mod timers;
mod tuning;
mod wire;

pub use config::{BadJoinAddress, Config, StartError};
pub use contacts::Contact;
pub use counters::Counters;
pub use gossip::Gossip;
pub use member::{BadMember, Member, NAME_BYTES_MAX, RPC_ADDR_BYTES_MAX, VERSION_BYTES_MAX};
pub use members::{Known, Members, State};
pub use wire::DATAGRAM_BYTES_MAX;
