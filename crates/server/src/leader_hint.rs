//! `seedlog-leader: ID@HOST:PORT` in the metadata of what a node that does not lead answers where the leader
//! does the work: a client that can follow it saves the next call the detour. A hint: it may lead no more.

use crate::servers::shown_id;
use crate::service::Service;
use prost::Message;
use seedlog_api::{ApiError, LEADER};
use seedlog_runtime::rpc::wire;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Response, Status};

/// None if this node leads, or does not know who does.
fn hint(service: &Service) -> Option<MetadataValue<Ascii>> {
    let leader = service.node().leader_elsewhere()?;
    // An address that does not go into a header is none that anybody could use.
    MetadataValue::try_from(format!("{}@{}", shown_id(leader.node_id), leader.rpc_addr)).ok()
}

/// The answer, or its failure, with the hint.
pub fn hinted<M: Message + Default>(service: &Service, answer: Result<M, ApiError>) -> Result<Response<M>, Status> {
    match answer {
        Ok(answer) => Ok(with_hint(service, Response::new(wire(answer)?))),
        Err(error) => {
            let mut status = Status::from(error);
            if let Some(hint) = hint(service) {
                status.metadata_mut().insert(LEADER, hint);
            }
            Err(status)
        }
    }
}

pub fn with_hint<M>(service: &Service, mut answer: Response<M>) -> Response<M> {
    if let Some(hint) = hint(service) {
        answer.metadata_mut().insert(LEADER, hint);
    }
    answer
}
