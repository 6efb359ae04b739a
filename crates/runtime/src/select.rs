/// `tokio::select!` that polls its branches in the order in which they are written.
///
/// tokio's own order is drawn from a generator that no seed of ours reaches, so a run would not
/// repeat. Write the branch that must not starve first (usually: shutdown).
#[macro_export]
macro_rules! select {
    ($($branches:tt)*) => {
        // An arm, because an attribute on an expression is not stable: the one use that is allowed.
        match () {
            #[allow(clippy::disallowed_macros)]
            () => $crate::__private::tokio::select! { biased; $($branches)* },
        }
    };
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    #[tokio::test]
    async fn the_first_ready_branch_wins_every_time() {
        for _ in 0..100 {
            let won = crate::select! {
                () = ready(()) => "first",
                () = ready(()) => "second",
            };
            assert_eq!(won, "first");
        }
    }
}
