//! Whom a command asks: the first of the servers at `--addr` that answers, or through it the cluster.

use crate::args::{Connection, Patience};
use crate::failure::Failure;
use crate::moment::Age;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use seedlog_client::{Client, Cluster, ClusterOptions, GetServersResponse};
use std::time::Duration;

/// For how long a cluster without a leader is waited for, by default.
const PATIENCE: Duration = Duration::from_secs(30);
/// A request that waits behind others for the slow disk of the only server is not lost.
const ONLY_ANSWERS_WITHIN: Duration = Duration::from_secs(60);
/// Until somebody says who leads.
const READY_MAX: Duration = Duration::from_secs(10);

/// A server that answers.
pub struct Found {
    pub addr: String,
    pub client: Client,
    pub members: GetServersResponse,
}

/// The first server to answer.
///
/// # Errors
/// If none does: what came from each.
pub async fn server(connection: &Connection) -> Result<Found, Failure> {
    let ask = |addr: &String| {
        let (addr, client) = (addr.clone(), Client::connect(addr));
        async move {
            let client = client?;
            let members = client.members().await.map_err(|error| Failure::call(&addr, error))?;
            Ok(Found { addr, client, members })
        }
    };
    let mut asked: FuturesUnordered<_> = connection.addr.iter().map(ask).collect();
    let mut failures = Vec::new();
    while let Some(answer) = asked.next().await {
        match answer {
            Ok(found) => return Ok(found),
            Err(failure @ Failure::Address(_)) => return Err(failure),
            Err(failure) => failures.push(failure),
        }
    }
    Err(if failures.len() == 1 { failures.remove(0) } else { Failure::NobodyAnswers(failures) })
}

/// The cluster, with a leader, and for how long nothing may come of a call to it.
///
/// # Errors
/// As [`server`], and if nobody leads.
pub async fn cluster(connection: &Connection, patience: &Patience) -> Result<(Cluster, Duration), Failure> {
    let found = server(connection).await?;
    // There is nobody else to go to.
    let alone = found.members.servers.len() == 1;
    let default = if alone { Duration::ZERO } else { PATIENCE };
    let call_max = patience.timeout.map_or(default, |Age(ms)| Duration::from_millis(ms));
    let options = ClusterOptions { call_max, ..ClusterOptions::default() };
    let options = if alone { ClusterOptions { try_max: ONLY_ANSWERS_WITHIN, ..options } } else { options };
    let cluster = Cluster::connect_with(&connection.addr, options)?;
    cluster.ready(call_max.max(READY_MAX)).await.map_err(|error| Failure::call(&connection.shown(), error))?;
    Ok((cluster, call_max))
}
