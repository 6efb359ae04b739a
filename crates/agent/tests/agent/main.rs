//! An agent as its callers have it, on a real or a simulated network. One program: each would have the whole of it.

mod bad_input;
mod cluster;
mod grpc;
mod http;
mod promises;
mod start;
mod waiting;
