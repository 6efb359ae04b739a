//! openraft over the log: the Raft log *is* the log, and everything else is the fold over it.
//!
//! [`Node`] is what the rest of the product sees. Inside, data goes one way:
//!
//! ```text
//! produce ─> openraft ─> store (append) ─> tail ─> writer ─> seedlog_log::Writer ─> disk
//!                 │                          ▲        │ one sync per batch, then the callbacks
//!                 └─> machine (apply) <──────┴────────┘
//!                        └─> the applied range, which wakes readers
//! ```
//!
//! Absent here: a second copy of any record, a snapshot with records in it, a poll.

mod addresses;
mod admin;
mod applied;
mod changes;
mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod handover;
mod heal;
mod late_clock;
mod leader;
mod machine;
mod mark;
mod membership;
mod node;
mod observe;
mod pace;
mod peer;
mod produce;
mod read;
mod repair;
mod replace;
mod retention;
mod rt;
mod scrub;
mod settings;
mod space;
mod status;
mod stop;
mod store;
mod tail;
mod tally;
mod trim;
mod types;
mod vote;
mod wire;
mod writer;

pub use addresses::Addresses;
pub use admin::Description;
pub use changes::Changes;
pub use error::{ChangeError, LeaderHint, NotReady, ProduceError, ReadError, StartError, TrimError};
pub use heal::Healed;
pub use node::Node;
pub use observe::{Observation, ObservedVote};
pub use pace::Pace;
pub use peer::{add_lending_service, add_peer_service};
pub use produce::{Pending, Produced};
pub use repair::{Outside, Repairing};
pub use replace::LAG_MAX;
pub use scrub::Scrubbing;
pub use settings::NodeConfig;
pub use status::{Member, Role, Status};
pub use stop::StopReason;
pub use tally::{Tallied, Tally};
pub use types::Peer;
