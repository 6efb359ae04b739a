//! `log.v1.AdminService`: trim, retention, fence, describe; and who belongs to the cluster.

use crate::heard::HeardState;
use crate::produce::default_log;
use crate::servers;
use crate::service::Service;
use seedlog_api::ApiError;
use seedlog_api::v1::{
    DescribeRequest, DescribeResponse, FenceRequest, FenceResponse, Fencing, RememberedProducer, RemoveServerRequest,
    RemoveServerResponse, ReplaceServerRequest, ReplaceServerResponse, Retention, SetRetentionRequest,
    SetRetentionResponse, TransferLeaderRequest, TransferLeaderResponse, TrimRequest, TrimResponse,
};
use seedlog_log::{Fence, LastBatch, PRODUCERS_MAX};
use seedlog_raft::{Description, Peer};

impl Service {
    /// # Errors
    /// See the table in [`ApiError`]; after [`ApiError::OutcomeUnknown`] it may be trimmed.
    pub async fn trim(&self, request: TrimRequest) -> Result<TrimResponse, ApiError> {
        default_log(&request.log)?;
        let trimmed = self.node().trim(request.first_offset).await;
        trimmed.map(|first_offset| TrimResponse { first_offset }).map_err(|error| self.trim_error(error))
    }

    /// # Errors
    /// As [`Service::trim`].
    pub async fn set_retention(&self, request: SetRetentionRequest) -> Result<SetRetentionResponse, ApiError> {
        default_log(&request.log)?;
        let Retention { bytes_max, age_ms_max } = request.retention.unwrap_or_default();
        let set = self.node().set_retention(seedlog_log::Retention { bytes_max, age_ms_max }).await;
        let set = set.map_err(|error| self.produce_error(error))?;
        Ok(SetRetentionResponse { retention: Some(retention(set)) })
    }

    /// # Errors
    /// As [`Service::trim`]; [`ApiError::Fenced`] if the log's token is newer already.
    pub async fn fence(&self, request: FenceRequest) -> Result<FenceResponse, ApiError> {
        default_log(&request.log)?;
        let Some(Fencing { token, required }) = request.fencing else {
            return Err(ApiError::Malformed { what: "a fence without fencing: set its token".into() });
        };
        let set = self.node().fence(Fence { token, required }).await;
        let set = set.map_err(|error| self.produce_error(error))?;
        Ok(FenceResponse { fencing: Some(fencing(set)) })
    }

    /// # Errors
    /// See the table in [`ApiError`].
    pub async fn describe(&self, request: DescribeRequest) -> Result<DescribeResponse, ApiError> {
        default_log(&request.log)?;
        // Before the rest: then it is not remembered only if it was not, or was forgotten, by what `producers` says.
        let producer = match request.producer_id.as_str() {
            "" => None,
            id => self.node().producer(id).await.map_err(crate::error::read)?,
        };
        let Description { first_offset, next_offset, last_time_ms, fence, retention: kept, producers, segments, bytes } =
            self.node().describe().await.map_err(crate::error::read)?;
        Ok(DescribeResponse {
            first_offset,
            next_offset,
            last_time_ms: i64::try_from(last_time_ms).unwrap_or(i64::MAX),
            fencing: Some(fencing(fence)),
            retention: Some(retention(kept)),
            producers: producers as u32,
            producers_max: PRODUCERS_MAX as u32,
            segments: u32::try_from(segments).unwrap_or(u32::MAX),
            bytes,
            record_bytes_max: self.limits().record_bytes_max as u64,
            batch_bytes_max: self.limits().batch_bytes_max as u64,
            producer: producer
                .map(|LastBatch { next_sequence, next_offset }| RememberedProducer { next_sequence, next_offset }),
        })
    }

    /// # Errors
    /// See the table in [`ApiError`]; after [`ApiError::OutcomeUnknown`] it may be out.
    pub async fn remove_server(&self, request: RemoveServerRequest) -> Result<RemoveServerResponse, ApiError> {
        let node_id = servers::parse_id(&request.id)?;
        self.node().remove_member(node_id).await.map_err(|error| self.change_error(error, Some(node_id)))?;
        Ok(RemoveServerResponse {})
    }

    /// # Errors
    /// See the table in [`ApiError`]; after [`ApiError::OutcomeUnknown`] it may lead, or may still.
    pub async fn transfer_leader(&self, request: TransferLeaderRequest) -> Result<TransferLeaderResponse, ApiError> {
        let to = match request.id.as_str() {
            "" => None,
            id => Some(servers::parse_id(id)?),
        };
        let before = self.node().status().leader_id;
        self.node().transfer_leader(to).await.map_err(|error| self.change_error(error, to))?;
        // Whoever was not named is known when this node hears from it.
        let leader = to.or_else(|| self.node().status().leader_id.filter(|now| Some(*now) != before));
        Ok(TransferLeaderResponse { id: leader.map(servers::shown_id).unwrap_or_default() })
    }
}

impl Service {
    /// # Errors
    /// See the table in [`ApiError`]; after [`ApiError::OutcomeUnknown`] it may be done.
    pub async fn replace_server(&self, request: ReplaceServerRequest) -> Result<ReplaceServerResponse, ApiError> {
        let (old, new) = (servers::parse_id(&request.old_id)?, servers::parse_id(&request.new_id)?);
        let stranger = self.stranger(new)?;
        let replaced = self.node().replace_member(old, new, stranger).await;
        replaced.map_err(|error| self.change_error(error, Some(old)))?;
        Ok(ReplaceServerResponse {})
    }

    /// Where `node_id` is, if it is no member as far as this node knows, and what gossip tells of it is no obstacle.
    fn stranger(&self, node_id: u64) -> Result<Option<Peer>, ApiError> {
        let heard = self.heard().into_iter().find(|heard| heard.node_id == node_id);
        let is_member = self.node().status().members.iter().any(|member| member.node_id == node_id);
        let id = servers::shown_id(node_id);
        let refused = |what: String| ApiError::ChangeRefused { what: format!("server {id} {what}") };
        match heard {
            Some(heard) if heard.state != HeardState::Alive => Err(refused("is not there".to_owned())),
            _ if is_member => Ok(None),
            None => Err(ApiError::UnknownServer { id }),
            Some(heard) => match heard.cluster_id {
                Some(cluster_id) if cluster_id == self.cluster_id() => {
                    Ok(Some(Peer { name: heard.name, rpc_addr: heard.rpc_addr }))
                }
                Some(cluster_id) => Err(refused(format!("belongs to another cluster, {cluster_id:032x}"))),
                None => Err(refused("belongs to no cluster yet".to_owned())),
            },
        }
    }
}

fn fencing(Fence { token, required }: Fence) -> Fencing {
    Fencing { token, required }
}

fn retention(kept: seedlog_log::Retention) -> Retention {
    Retention { bytes_max: kept.bytes_max, age_ms_max: kept.age_ms_max }
}
