//! Is it alive (else restart it), and can it be asked (else ask another).

use super::answer;
use super::failure::Failure;
use crate::service::Service;
use axum::response::Response;
use seedlog_raft::StopReason;
use serde::Serialize;

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

/// A full disk or a lost leader is nothing that a restart would mend; a failed disk may be.
pub fn live(service: &Service) -> Result<Response, Failure> {
    match service.node().stop_reason() {
        Some(failed @ StopReason::Failed(_)) => Err(Failure::NotLive { what: failed.to_string() }),
        Some(StopReason::Shutdown) | None => Ok(answer::json(&Health { status: "live" })),
    }
}

/// As `grpc.health.v1` has it, and why not.
pub fn ready(service: &Service) -> Result<Response, Failure> {
    let reasons = not_ready(service);
    match reasons.is_empty() {
        true => Ok(answer::json(&Health { status: "ready" })),
        false => Err(Failure::NotReady { reasons, what: None }),
    }
}

/// Why not; nothing if it is.
pub fn not_ready(service: &Service) -> Vec<&'static str> {
    let node = service.node();
    let stopped = node.stop_reason();
    let has_leader = node.status().leader_id.is_some();
    let reasons = [
        ("SHUTTING_DOWN", service.stopping().is_set() || stopped == Some(StopReason::Shutdown)),
        ("NODE_FAILED", matches!(stopped, Some(StopReason::Failed(_)))),
        ("NO_LEADER", !has_leader),
        // What was committed before this term is not all applied here.
        ("CATCHING_UP", has_leader && !node.is_ready()),
    ];
    reasons.into_iter().filter(|(_, holds)| *holds).map(|(reason, _)| reason).collect()
}

/// A start may take long (a cluster to join must be there first), and a restart would not shorten it.
pub fn live_while_starting() -> Response {
    answer::json(&Health { status: "live" })
}
