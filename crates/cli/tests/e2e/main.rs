//! The command as its users have it: real processes, real sockets, a real disk. Ports are chosen by
//! the system and read from the ready line.

// Tests stand outside the product: they look at its files and wait for its processes.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod admin;
mod agent;
mod bad_input;
mod bad_start;
mod bench;
mod chapter_1;
mod cluster;
mod conditions;
mod copy;
mod crash;
mod deadlines;
mod faults;
mod full_disk;
mod grpc_bytes;
mod health;
mod lifecycle;
mod lines;
mod metrics;
mod mirror;
mod node;
mod read_only;
mod servers;
mod shell;
mod tail;
mod v1;
mod waiting;
