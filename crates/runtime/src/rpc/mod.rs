//! One way to serve and to dial gRPC, in production and in the simulation: a [`Listener`] serves
//! [`Services`]; [`channel`] dials; [`wire`] passes a message through its encoding.
//!
//! In the simulation the serve loop is ours: madsim-tonic's waits for each connection's first message
//! before it looks at the next connection, and leaves a unary handler running when its client is gone.

mod channel;
#[cfg(not(madsim))]
mod gathering;
#[cfg(not(madsim))]
#[path = "serve_real.rs"]
mod serve;
#[cfg(madsim)]
#[path = "serve_simulated.rs"]
mod serve;
mod undecodable;
mod wire;

use std::sync::Arc;
use std::time::Duration;

pub use channel::{BadAddress, channel, check_address};
pub use serve::{Listener, Services};
pub use undecodable::is_undecodable;
pub use wire::{MESSAGE_BYTES_MAX, wire, wire_stream};

/// What is said to whoever calls what is not served.
pub type Refusal = Arc<dyn Fn() -> tonic::Status + Send + Sync>;

/// What is still being answered when a server shuts down has this long.
pub const DRAIN_MAX: Duration = Duration::from_secs(5);

/// HTTP/2 flow control: what a peer that reads slowly can make us hold for one stream, and for all
/// of its streams together.
#[cfg(not(madsim))]
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
#[cfg(not(madsim))]
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// Above HTTP/2's 16 KiB, so that a batch, and what a tail is sent, does not travel in crumbs.
#[cfg(not(madsim))]
const FRAME_BYTES_MAX: u32 = 64 << 10;
