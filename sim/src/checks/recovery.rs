//! A restart never serves less than was acked, and never more than was tried; and no restart is
//! refused unless synced bytes were damaged (the supervisor notices, as it happens).

use crate::history::{History, Violation};

pub fn check(history: &History) -> Result<(), Violation> {
    for restart in &history.restarts {
        let what = if restart.next_offset < restart.acked_next_offset {
            format!("serves up to offset {}, but {} was acked", restart.next_offset, restart.acked_next_offset)
        } else if restart.next_offset > restart.tried_records {
            format!(
                "serves up to offset {}, but only {} records were tried",
                restart.next_offset, restart.tried_records
            )
        } else if restart.first_offset > history.trimmed_to() {
            format!("serves from offset {} on, but only {} was trimmed", restart.first_offset, history.trimmed_to())
        } else if restart.first_offset < restart.trims_done {
            format!("serves from offset {} on, but {} was trimmed", restart.first_offset, restart.trims_done)
        } else {
            continue;
        };
        return Err(Violation {
            check: "recovery",
            what: format!("a restart of node {} {what}", restart.node),
            at_ns: Some(restart.at_ns),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::history::{History, Restarted};

    fn restart(first_offset: u64, next_offset: u64) -> History {
        let (acked_next_offset, tried_records, trims_done) = (5, 7, 0);
        let restarted =
            Restarted { node: 1, at_ns: 1, first_offset, next_offset, acked_next_offset, tried_records, trims_done };
        History { restarts: vec![restarted], ..History::default() }
    }

    #[test]
    fn a_restart_between_acked_and_tried_passes() {
        assert!((5..=7).all(|next| check(&restart(0, next)).is_ok()));
    }

    #[test]
    fn canaries_less_than_acked_more_than_tried_and_a_start_that_moved() {
        assert!(check(&restart(0, 4)).is_err());
        assert!(check(&restart(0, 8)).is_err());
        assert!(check(&restart(1, 6)).is_err());
    }

    #[test]
    fn canary_a_trim_that_was_forgotten() {
        let mut history = restart(0, 6);
        history.restarts[0].trims_done = 1;
        history.trims_done = 1;
        assert!(check(&history).is_err());
    }
}
