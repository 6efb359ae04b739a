//! Messages that cannot be read are their sender's mistake. tonic calls those that are no protobuf our
//! internal error, and those that are too large out of range, which in this API is about offsets.

use tonic::{Code, Status};

/// Whether `status` is the transport's word that a message could not be read.
pub fn is_undecodable(status: &Status) -> bool {
    match status.code() {
        Code::Internal => status.message().starts_with("failed to decode Protobuf message"),
        Code::OutOfRange => status.message().contains("decoded message length too large"),
        _ => false,
    }
}

#[cfg(not(madsim))]
pub(super) use service::Blaming;

#[cfg(not(madsim))]
mod service {
    use super::is_undecodable;
    use std::convert::Infallible;
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use tonic::body::Body;
    use tonic::codegen::Service;
    use tonic::codegen::http::{Request, Response};
    use tonic::server::NamedService;
    use tonic::{Code, Status};

    /// Answers INVALID_ARGUMENT where the generated server below it could not read the only message of
    /// a request. (In a stream of them the handler sees the status itself.)
    #[derive(Debug, Clone)]
    pub struct Blaming<S>(pub S);

    impl<S> Service<Request<Body>> for Blaming<S>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
        S::Future: Send + 'static,
    {
        type Response = Response<Body>;
        type Error = Infallible;
        type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

        fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            self.0.poll_ready(context)
        }

        fn call(&mut self, request: Request<Body>) -> Self::Future {
            let answer = self.0.call(request);
            Box::pin(async move { answer.await.map(blame) })
        }
    }

    impl<S: NamedService> NamedService for Blaming<S> {
        const NAME: &'static str = S::NAME;
    }

    fn blame(answer: Response<Body>) -> Response<Body> {
        // Only an answer that is nothing but a status has it in its headers.
        match Status::from_header_map(answer.headers()) {
            Some(status) if is_undecodable(&status) => Status::new(Code::InvalidArgument, status.message()).into_http(),
            _ => answer,
        }
    }
}
