//! A scrub that somebody asked for, who is told how far it is.

use crate::error;
use crate::produce::default_log;
use crate::service::Service;
use futures_util::Stream;
use seedlog_api::ApiError;
use seedlog_api::v1::{ScrubRequest, ScrubResponse};
use seedlog_raft::Scrubbing;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// It ends when it is done, when the server stops, or when nobody listens any more.
///
/// # Errors
/// If the log is another one than there is.
pub fn scrub(
    service: Service,
    request: ScrubRequest,
) -> Result<impl Stream<Item = Result<ScrubResponse, ApiError>>, ApiError> {
    default_log(&request.log)?;
    let (answers, receiver) = mpsc::channel(1);
    drop(seedlog_runtime::spawn(async move {
        let told = |seen| {
            // Who does not keep up is told later.
            let _ = answers.try_send(Ok(shown(seen)));
        };
        let done = seedlog_runtime::select! {
            () = answers.closed() => return,
            () = service.stopping().wait() => Err(ApiError::ShuttingDown),
            scrubbed = service.node().scrub(told) => match scrubbed {
                Ok((seen, lost)) => Ok(ScrubResponse { lost, done: true, ..shown(seen) }),
                Err(reason) => Err(error::stopped(reason)),
            },
        };
        // Gone meanwhile, perhaps.
        let _ = answers.send(done).await;
    }));
    Ok(ReceiverStream::new(receiver))
}

fn shown(Scrubbing { bytes, damaged, healed }: Scrubbing) -> ScrubResponse {
    ScrubResponse { bytes, damaged_segments: damaged, healed_segments: healed, ..ScrubResponse::default() }
}
