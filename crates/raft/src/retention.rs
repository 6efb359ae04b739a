//! Retention: the leader looks at what is kept, and what exceeds the bounds it trims, by a committed
//! command like anyone else. The bounds are in the log itself.

use crate::error::TrimError;
use crate::node::Node;
use crate::status::Role;
use seedlog_log::Retention;
use seedlog_runtime::{blocking, clock, select};

/// Carries retention out until the node stops.
pub async fn follow(node: Node) {
    let every = node.config().retention_check;
    loop {
        let retention = select! {
            _ = node.stopped() => return,
            applied = node.progress().wait_for(|applied| !applied.retention.keeps_all()) => applied.retention,
        };
        if node.status().role == Role::Leader
            && let Err(error) = carry_out(&node, retention).await
        {
            // Next time, or another leader. Nothing was lost, only kept too long.
            tracing::warn!(%error, "retention could not be carried out");
        }
        select! {
            _ = node.stopped() => return,
            () = clock::sleep(every) => {}
        }
    }
}

async fn carry_out(node: &Node, retention: Retention) -> Result<(), TrimError> {
    let reader = node.store().reader().clone();
    let now_ms = clock::wall_ms();
    let Some(offset) = blocking(move || reader.retention_point(retention, now_ms)).await? else { return Ok(()) };
    if offset <= node.range().0 {
        return Ok(());
    }
    let first_offset = node.trim(offset).await?;
    tracing::info!(first_offset, "trimmed by retention");
    Ok(())
}
