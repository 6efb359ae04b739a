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

/// Two steps on `state`, the second only after the first has succeeded: as two calls of [`blocking`], the
/// state handed from one to the other. In production it is one trip to a blocking thread and back, which
/// costs as much as a short disk write; in the simulation it is two, and a node may go down in between.
pub async fn blocking_in_turn<S, E>(
    mut state: S,
    first: impl FnOnce(&mut S) -> Result<(), E> + Send + 'static,
    second: impl FnOnce(&mut S) -> Result<(), E> + Send + 'static,
) -> (S, Result<(), E>)
where
    S: Send + 'static,
    E: Send + 'static,
{
    #[cfg(not(madsim))]
    return blocking(move || {
        let result = first(&mut state).and_then(|()| second(&mut state));
        (state, result)
    })
    .await;
    #[cfg(madsim)]
    {
        let (mut state, result) = blocking(move || {
            let result = first(&mut state);
            (state, result)
        })
        .await;
        if result.is_err() {
            return (state, result);
        }
        blocking(move || {
            let result = second(&mut state);
            (state, result)
        })
        .await
    }
}

#[cfg(all(test, not(madsim)))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_second_step_follows_the_first_and_only_if_that_succeeded() {
        let step = |name, result| {
            move |done: &mut Vec<&str>| {
                done.push(name);
                result
            }
        };
        let both = blocking_in_turn(vec![], step("first", Ok(())), step("second", Err(2))).await;
        assert_eq!(both, (vec!["first", "second"], Err(2)));
        let one = blocking_in_turn(vec![], step("first", Err(1)), step("second", Ok(()))).await;
        assert_eq!(one, (vec!["first"], Err(1)));
    }

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
