//! What an administrator asks of a log and its cluster.

use crate::client::{Admin, Client};
use crate::error::Error;
use futures_util::StreamExt as _;
use seedlog_api::v1::{
    DescribeRequest, DescribeResponse, FenceRequest, Fencing, RemoveServerRequest, ReplaceServerRequest, Retention,
    ScrubRequest, ScrubResponse, SetRetentionRequest, TransferLeaderRequest, TrimRequest,
};
use seedlog_runtime::rpc::{wire, wire_stream};

impl Client {
    /// Gives up the records before `first_offset`; returns the log's first offset, which is never past its
    /// end.
    ///
    /// # Errors
    /// After [`Error::outcome`] unknown it may be trimmed; to ask again does no harm.
    pub async fn trim(&self, first_offset: u64) -> Result<u64, Error> {
        let request = TrimRequest { first_offset, ..TrimRequest::default() };
        let answer =
            self.administer(request, |mut admin: Admin, request| async move { admin.trim(request).await }).await?;
        Ok(answer.first_offset)
    }

    /// From here on the log is trimmed to these bounds, in whole segments. The default keeps everything.
    ///
    /// # Errors
    /// As [`Client::trim`].
    pub async fn set_retention(&self, retention: Retention) -> Result<(), Error> {
        let request = SetRetentionRequest { retention: Some(retention), ..SetRetentionRequest::default() };
        let call = |mut admin: Admin, request| async move { admin.set_retention(request).await };
        self.administer(request, call).await.map(|_| ())
    }

    /// From here on a produce that carries an older token is refused, and one that carries none if
    /// `fencing.required`.
    ///
    /// # Errors
    /// [`ApiError::Fenced`](crate::ApiError::Fenced) if the log's token is newer already; else as
    /// [`Client::trim`].
    pub async fn fence(&self, fencing: Fencing) -> Result<(), Error> {
        let request = FenceRequest { fencing: Some(fencing), ..FenceRequest::default() };
        let call = |mut admin: Admin, request| async move { admin.fence(request).await };
        self.administer(request, call).await.map(|_| ())
    }

    /// What there is and what holds.
    ///
    /// # Errors
    /// Any of [`Error`]; nothing was changed.
    pub async fn describe(&self) -> Result<DescribeResponse, Error> {
        let call = |mut admin: Admin, request| async move { admin.describe(request).await };
        self.administer(DescribeRequest::default(), call).await
    }

    /// The same, and in `producer` what is remembered of the producer with this id.
    ///
    /// # Errors
    /// As [`Client::describe`].
    pub async fn describe_with_producer(&self, id: &str) -> Result<DescribeResponse, Error> {
        let call = |mut admin: Admin, request| async move { admin.describe(request).await };
        let request = DescribeRequest { producer_id: id.to_owned(), ..DescribeRequest::default() };
        self.administer(request, call).await
    }

    /// Has the server read through its log, and put right what is damaged from what other servers have. `told` hears
    /// how far it is; returned is the last word. That may take as long as the others are not there.
    ///
    /// # Errors
    /// If the server ends it, or is not reached.
    pub async fn scrub(&self, mut told: impl FnMut(&ScrubResponse)) -> Result<ScrubResponse, Error> {
        let mut admin = self.admin.clone();
        let answers = admin.scrub(wire(ScrubRequest::default())?).await?.into_inner();
        let mut answers = std::pin::pin!(wire_stream(answers));
        while let Some(answer) = answers.next().await {
            let answer = answer?;
            if answer.done {
                return Ok(answer);
            }
            told(&answer);
        }
        Err(Error::StreamEnded)
    }

    /// Takes the server with this id, as [`Client::servers`] lists it, out of the cluster.
    ///
    /// # Errors
    /// [`ApiError::UnknownServer`](crate::ApiError::UnknownServer),
    /// [`ApiError::LastVoter`](crate::ApiError::LastVoter),
    /// [`ApiError::ChangeInProgress`](crate::ApiError::ChangeInProgress): it is as it was. After
    /// [`Error::outcome`] unknown it may be out.
    pub async fn remove_server(&self, id: &str) -> Result<(), Error> {
        let call = |mut admin: Admin, request| async move { admin.remove_server(request).await };
        self.administer(RemoveServerRequest { id: id.to_owned() }, call).await.map(|_| ())
    }

    /// Puts the server `new_id`, which does not vote, in the place of the voter `old_id`, which leaves the cluster.
    ///
    /// # Errors
    /// As [`Client::remove_server`], and [`ApiError::ChangeRefused`](crate::ApiError::ChangeRefused) with the reason.
    pub async fn replace_server(&self, old_id: &str, new_id: &str) -> Result<(), Error> {
        let call = |mut admin: Admin, request| async move { admin.replace_server(request).await };
        let request = ReplaceServerRequest { old_id: old_id.to_owned(), new_id: new_id.to_owned() };
        self.administer(request, call).await.map(|_| ())
    }

    /// Hands the leadership to this server, or to the voter whose log is furthest. Returns the id of the one that
    /// leads now, if the server that was asked has heard of it already.
    ///
    /// # Errors
    /// [`ApiError::UnknownServer`](crate::ApiError::UnknownServer),
    /// [`ApiError::NotAVoter`](crate::ApiError::NotAVoter): it is as it was. After [`Error::outcome`] unknown it
    /// may lead.
    pub async fn transfer_leader(&self, id: Option<&str>) -> Result<Option<String>, Error> {
        let request = TransferLeaderRequest { id: id.unwrap_or_default().to_owned() };
        let call = |mut admin: Admin, request| async move { admin.transfer_leader(request).await };
        let answer = self.administer(request, call).await?;
        Ok(Some(answer.id).filter(|id| !id.is_empty()))
    }
}
