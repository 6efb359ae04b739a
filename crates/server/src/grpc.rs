//! `log.v1.Log` and `log.v1.AdminService`: what comes in over gRPC.

use crate::consume_stream::consume_stream;
use crate::leader_hint;
use crate::limits::MESSAGE_BYTES_MAX;
use crate::produce_stream::pump;
use crate::scrub::scrub;
use crate::service::Service;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use prost::Message;
use seedlog_api::ApiError;
use seedlog_api::v1::admin_server::{Admin, AdminServer};
use seedlog_api::v1::log_server::{Log, LogServer};
use seedlog_api::v1::{
    ConsumeRequest, ConsumeResponse, DescribeRequest, DescribeResponse, FenceRequest, FenceResponse, GetServersRequest,
    GetServersResponse, ProduceRequest, ProduceResponse, RemoveServerRequest, RemoveServerResponse,
    ReplaceServerRequest, ReplaceServerResponse, ScrubRequest, ScrubResponse, SetRetentionRequest,
    SetRetentionResponse, TransferLeaderRequest, TransferLeaderResponse, TrimRequest, TrimResponse,
};
use seedlog_runtime::rpc::{Services, is_undecodable, wire, wire_stream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// Answers of a produce stream that are handed to the transport and not yet taken by it.
const ANSWERS_AHEAD: usize = 16;

/// Adds `log.v1.Log` and `log.v1.AdminService` to what a listener serves.
pub fn add_log(services: Services, service: Service) -> Services {
    let grpc = Grpc { service };
    let log = LogServer::new(grpc.clone())
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    services.add(log).add(AdminServer::new(grpc))
}

#[derive(Clone)]
struct Grpc {
    service: Service,
}

type Answers<M> = BoxStream<'static, Result<M, Status>>;

#[tonic::async_trait]
impl Log for Grpc {
    type ConsumeStreamStream = Answers<ConsumeResponse>;
    type ProduceStreamStream = Answers<ProduceResponse>;

    async fn produce(&self, request: Request<ProduceRequest>) -> Result<Response<ProduceResponse>, Status> {
        let answer = self.service.produce(received(request)?).await;
        leader_hint::hinted(&self.service, answer)
    }

    async fn consume(&self, request: Request<ConsumeRequest>) -> Result<Response<ConsumeResponse>, Status> {
        let response = self.service.consume(received(request)?).await?;
        Ok(Response::new(wire(response)?))
    }

    async fn consume_stream(
        &self,
        request: Request<ConsumeRequest>,
    ) -> Result<Response<Self::ConsumeStreamStream>, Status> {
        let answers = consume_stream(self.service.clone(), received(request)?)?;
        Ok(Response::new(wire_stream(answers.map_err(Status::from)).boxed()))
    }

    async fn produce_stream(
        &self,
        request: Request<Streaming<ProduceRequest>>,
    ) -> Result<Response<Self::ProduceStreamStream>, Status> {
        let requests = wire_stream(request.into_inner()).map_err(blame);
        let (sender, answers) = mpsc::channel(ANSWERS_AHEAD);
        seedlog_runtime::spawn(pump(self.service.clone(), requests, sender));
        let answers = Response::new(wire_stream(ReceiverStream::new(answers)).boxed());
        Ok(leader_hint::with_hint(&self.service, answers))
    }

    async fn get_servers(&self, _request: Request<GetServersRequest>) -> Result<Response<GetServersResponse>, Status> {
        Ok(Response::new(wire(self.service.get_servers().await)?))
    }
}

#[tonic::async_trait]
impl Admin for Grpc {
    type ScrubStream = Answers<ScrubResponse>;

    async fn trim(&self, request: Request<TrimRequest>) -> Result<Response<TrimResponse>, Status> {
        leader_hint::hinted(&self.service, self.service.trim(received(request)?).await)
    }

    async fn set_retention(
        &self,
        request: Request<SetRetentionRequest>,
    ) -> Result<Response<SetRetentionResponse>, Status> {
        leader_hint::hinted(&self.service, self.service.set_retention(received(request)?).await)
    }

    async fn fence(&self, request: Request<FenceRequest>) -> Result<Response<FenceResponse>, Status> {
        leader_hint::hinted(&self.service, self.service.fence(received(request)?).await)
    }

    async fn describe(&self, request: Request<DescribeRequest>) -> Result<Response<DescribeResponse>, Status> {
        leader_hint::hinted(&self.service, self.service.describe(received(request)?).await)
    }

    async fn remove_server(
        &self,
        request: Request<RemoveServerRequest>,
    ) -> Result<Response<RemoveServerResponse>, Status> {
        leader_hint::hinted(&self.service, self.service.remove_server(received(request)?).await)
    }

    async fn replace_server(
        &self,
        request: Request<ReplaceServerRequest>,
    ) -> Result<Response<ReplaceServerResponse>, Status> {
        leader_hint::hinted(&self.service, self.service.replace_server(received(request)?).await)
    }

    async fn transfer_leader(
        &self,
        request: Request<TransferLeaderRequest>,
    ) -> Result<Response<TransferLeaderResponse>, Status> {
        leader_hint::hinted(&self.service, self.service.transfer_leader(received(request)?).await)
    }

    async fn scrub(&self, request: Request<ScrubRequest>) -> Result<Response<Self::ScrubStream>, Status> {
        let answers = scrub(self.service.clone(), received(request)?)?;
        Ok(Response::new(wire_stream(answers.map_err(Status::from)).boxed()))
    }
}

/// The request as its sender encoded it.
fn received<M: Message + Default>(request: Request<M>) -> Result<M, Status> {
    wire(request.into_inner()).map_err(blame)
}

/// What cannot be read is its sender's mistake.
fn blame(status: Status) -> Status {
    if is_undecodable(&status) { ApiError::Malformed { what: status.message().to_owned() }.into() } else { status }
}
