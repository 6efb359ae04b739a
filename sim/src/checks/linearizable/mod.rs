//! Whether all answers, together, are those of one log that one client after the other had used: [`floors`]
//! says what an answer must at least be, and names what is wrong; [`search`] looks for the order itself, with
//! a kept checker.

mod floors;
mod search;
#[cfg(test)]
mod second_opinion;

use crate::history::{History, Violation};

pub fn check(history: &History) -> Result<(), Violation> {
    floors::check(history)?;
    search::check(history)
}
