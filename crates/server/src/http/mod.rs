//! HTTP/JSON, for people with curl and for what speaks no gRPC: chapter 1 of the book at `/`, the calls of
//! `log.v1` under `/v1/`, health, metrics. `proto/log/v1/openapi.json` says what there is; [`routes`] is the table.
//!
//! Not part of the simulation: it adds no way to the log that gRPC does not have.

mod admin;
mod answer;
mod body;
mod chapter_1;
mod events;
mod failure;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod health;
mod listener;
mod metrics;
mod openapi;
mod query;
mod records;
mod routes;
mod servers;
mod whole;

pub use listener::HttpListener;
