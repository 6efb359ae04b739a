//! `sim/bugs/MATRIX.md`: a row for each planted bug. What was measured stays until it is measured again.

use super::Bug;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What was measured of one bug.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub name: String,
    /// Of each range of seeds: how many it took, if it was caught.
    pub counts: Vec<Option<u64>>,
    /// So many were tried in each.
    pub seeds: u64,
    /// The checks that failed first.
    pub checks: BTreeSet<String>,
    /// Of the first failing seed, made small.
    pub faults_left: Option<usize>,
    pub commit: String,
}

impl Row {
    /// The median of all ranges; `None` if in most of them it was not caught.
    fn median(&self) -> Option<u64> {
        let mut counts: Vec<u64> = self.counts.iter().map(|count| count.unwrap_or(u64::MAX)).collect();
        counts.sort_unstable();
        counts.get(counts.len().saturating_sub(1) / 2).copied().filter(|count| *count != u64::MAX)
    }

    pub fn is_caught(&self) -> bool {
        self.median().is_some()
    }

    pub fn told(&self) -> String {
        let checks = self.checks.iter().cloned().collect::<Vec<_>>().join(", ");
        let left =
            self.faults_left.map(|left| format!("; {left} faults are left of its first seed")).unwrap_or_default();
        match self.median() {
            Some(median) => format!("caught {}: after {median} seeds ({}), by {checks}{left}", self.name, self.each()),
            None => format!("NOT CAUGHT within {} seeds ({}): {}", self.seeds, self.each(), self.name),
        }
    }

    fn each(&self) -> String {
        let count = |count: &Option<u64>| count.map_or("-".to_owned(), |count| count.to_string());
        self.counts.iter().map(count).collect::<Vec<_>>().join(", ")
    }

    /// The cells after the name and what it breaks.
    fn cells(&self) -> String {
        let median = self.median().map_or("not caught".to_owned(), |median| median.to_string());
        let checks: Vec<&str> = self.checks.iter().map(String::as_str).collect();
        let left = self.faults_left.map_or(String::new(), |left| left.to_string());
        let Row { seeds, commit, .. } = self;
        format!("{median} | {} of {seeds} | {} | {left} | {commit}", self.each(), checks.join(", "))
    }
}

const NOT_MEASURED: &str = "not measured | | | | ";

/// By the name of the bug: the cells after the first two.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Matrix(BTreeMap<String, String>);

impl Matrix {
    /// # Errors
    /// If there is a file and it cannot be read. None at all is an empty one.
    pub fn read(file: &Path) -> Result<Matrix, String> {
        match std::fs::read_to_string(file) {
            Ok(text) => Ok(Matrix::parse(&text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Matrix::default()),
            Err(error) => Err(format!("{}: {error}", file.display())),
        }
    }

    fn parse(text: &str) -> Matrix {
        let row = |line: &str| {
            let line = line.strip_prefix("| `")?.strip_suffix(" |")?;
            let (name, rest) = line.split_once("` | ")?;
            let (_, cells) = rest.split_once(" | ")?;
            (!cells.starts_with("not measured")).then(|| (name.to_owned(), cells.to_owned()))
        };
        Matrix(text.lines().filter_map(row).collect())
    }

    pub fn put(&mut self, row: Row) {
        self.0.insert(row.name.clone(), row.cells());
    }

    /// With a row for each of `bugs`, measured or not, and for no others.
    pub fn written(&self, bugs: &[Bug]) -> String {
        let measured = bugs.iter().filter(|bug| self.0.contains_key(&bug.name)).count();
        let rows = bugs.iter().map(|bug| {
            let cells = self.0.get(&bug.name).map_or(NOT_MEASURED, String::as_str);
            format!("| `{}` | {} | {cells} |\n", bug.name, bug.breaks.replace('|', "/"))
        });
        format!("{HEAD}\n{measured} of {} are measured.\n\n{TABLE}{}", bugs.len(), rows.collect::<String>())
    }
}

const HEAD: &str = "\
# How soon a planted bug is caught

Written by `cargo sim bugs`, which builds a copy of the tree with each and sweeps ranges of seeds until one fails. The
median counts; a range in which nothing failed is a `-`. The check is the one that failed first; *faults left*, where it was asked
for, are those of the first failing seed that `cargo sim shrink` could not take away.
";

const TABLE: &str = "\
| bug | breaks | seeds to catch | in each range | check | faults left | at commit |
|---|---|---|---|---|---|---|
";

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, counts: &[Option<u64>]) -> Row {
        let checks = ["raft".to_owned(), "liveness".to_owned()].into();
        let (counts, commit) = (counts.to_vec(), "abc".to_owned());
        Row { name: name.to_owned(), counts, seeds: 100, checks, faults_left: Some(2), commit }
    }

    #[test]
    fn the_median_counts_and_what_mostly_hides_is_not_caught() {
        assert_eq!(row("a", &[Some(9), Some(1), Some(3)]).median(), Some(3));
        assert_eq!(row("a", &[None, Some(1), Some(3)]).median(), Some(3));
        assert_eq!(row("a", &[None, Some(1), None]).median(), None);
        assert_eq!(row("a", &[Some(7)]).median(), Some(7));
        assert_eq!(row("a", &[None]).median(), None);
        assert!(row("a", &[None]).told().starts_with("NOT CAUGHT"));
    }

    #[test]
    fn what_was_measured_stays_what_is_gone_goes_and_what_is_new_is_not_measured() {
        let bug = |name: &str| Bug {
            name: name.to_owned(),
            patch: "x".into(),
            breaks: "a | b".to_owned(),
            nodes: None,
            mirror: false,
        };
        let mut matrix = Matrix::default();
        matrix.put(row("one", &[Some(3), None, Some(1)]));
        matrix.put(row("gone", &[Some(3)]));
        let text = matrix.written(&[bug("new"), bug("one")]);
        assert!(text.contains("1 of 2 are measured."));
        assert!(text.contains("| `one` | a / b | 3 | 3, -, 1 of 100 | liveness, raft | 2 | abc |\n"), "{text}");
        assert!(text.contains("| `new` | a / b | not measured |") && !text.contains("gone"), "{text}");
        let read = Matrix::parse(&text);
        assert_eq!(read.written(&[bug("new"), bug("one")]), text);
    }
}
