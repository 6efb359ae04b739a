use std::future::Future;

pub use tokio::task::JoinHandle;

/// Starts a task. In the simulation it belongs to the current node and dies with it.
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(future)
}
