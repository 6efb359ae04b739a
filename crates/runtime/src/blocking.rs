//! Work that blocks a thread: the disk's.

/// Runs `f` where blocking is allowed and returns what it returned; a panic in `f` comes through.
///
/// As with tokio's, `f` runs to its end even if the caller stops waiting. In the simulation time
/// passes before and after `f`, and a node that goes down on the way never answers: the future stays
/// pending until the node's tasks are dropped.
#[cfg(not(madsim))]
pub async fn blocking<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> R {
    match tokio::task::spawn_blocking(f).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The tokio runtime is shutting down and dropped `f`: nobody is left to answer to.
            Err(_) => std::future::pending().await,
        },
    }
}

#[cfg(madsim)]
pub async fn blocking<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> R {
    match tokio::spawn(crate::sim::blocking_step(f)).await {
        Ok(result) => result,
        // The node was killed: this future goes with it, just after the one that ran `f`.
        Err(_) => std::future::pending().await,
    }
}

#[cfg(all(test, not(madsim)))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_result_comes_back_from_another_thread() {
        let here = std::thread::current().id();
        assert_ne!(blocking(|| std::thread::current().id()).await, here);
    }

    #[tokio::test]
    #[should_panic(expected = "the disk driver went wild")]
    async fn a_panic_comes_through() {
        blocking(|| panic!("the disk driver went wild")).await
    }
}
