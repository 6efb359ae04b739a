//! A failure as one file: its plan, and what became of it. `run --plan` sees it again, on any machine at that commit.

use super::{commit, to_toml, write};
use crate::each::Broken;
use crate::plan::{Failure, Plan};
use crate::run::Report;
use std::path::{Path, PathBuf};

/// What failed, if something did.
pub fn failure(result: &Result<Report, Broken>) -> Option<Failure> {
    match result {
        Ok(report) => report.violations.first().map(|first| Failure {
            commit: commit(),
            check: first.check.clone(),
            what: first.what.clone(),
            at_s: first.at_s,
            trace_hash: report.trace_hash.clone(),
        }),
        Err(broken) => Some(Failure {
            commit: commit(),
            check: broken.cause(),
            what: broken.stderr.lines().last().unwrap_or_default().to_owned(),
            at_s: None,
            trace_hash: String::new(),
        }),
    }
}

/// Writes it to `directory`; says where.
///
/// # Errors
/// If the file cannot be written.
pub fn keep(directory: &Path, plan: &Plan, failure: Failure) -> Result<PathBuf, String> {
    let file = directory.join(format!("seed-{}-of-{}.toml", plan.seed, plan.nodes));
    write(&file, &to_toml(&Plan { failure: Some(failure), ..plan.clone() }))?;
    Ok(file)
}

/// What a run of a plan says of the failure that was kept with it.
pub fn compare(kept: &Failure, now: Option<&Failure>) -> String {
    let Failure { commit, check, trace_hash, .. } = kept;
    match now {
        Some(now) if now.trace_hash == *trace_hash && now.check == *check => {
            format!("the same failure as at commit {commit}, event by event")
        }
        Some(now) if now.check == *check => format!(
            "the same check failed at commit {commit}, in a run that went otherwise: trace hash {trace_hash}, now {}",
            now.trace_hash
        ),
        Some(now) => format!("at commit {commit} it was {check} that failed, now it is {}", now.check),
        None => format!("at commit {commit} it failed: {check}: {}", kept.what),
    }
}

#[cfg(test)]
mod tests {
    use super::super::read_plan;
    use super::*;
    use crate::plan::plan;

    fn failure(check: &str, trace_hash: &str) -> Failure {
        let (check, trace_hash) = (check.to_owned(), trace_hash.to_owned());
        Failure {
            commit: "abc".to_owned(),
            check,
            what: "two \"leaders\"\nof a term".to_owned(),
            at_s: Some(1.5),
            trace_hash,
        }
    }

    #[test]
    fn a_kept_failure_is_read_again_with_its_plan() {
        let directory = tempfile::tempdir().unwrap();
        for seed in 0..20 {
            let plan = plan(seed, None, false);
            let file = keep(&directory.path().join("a/b"), &plan, failure("raft", "77")).unwrap();
            let read = read_plan(&file).unwrap();
            assert_eq!(read.failure, Some(failure("raft", "77")));
            assert_eq!(Plan { failure: None, ..read }, plan);
        }
    }

    #[test]
    fn a_file_that_is_no_plan_is_an_error_that_names_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("x.toml");
        assert!(read_plan(&file).unwrap_err().contains("x.toml"));
        std::fs::write(&file, "seed = \"seven\"").unwrap();
        assert!(read_plan(&file).unwrap_err().contains("x.toml"));
    }

    #[test]
    fn another_run_says_whether_it_is_the_same_failure() {
        let kept = failure("raft", "77");
        let says = |now: Option<Failure>| compare(&kept, now.as_ref());
        assert!(says(Some(failure("raft", "77"))).contains("event by event"));
        assert!(says(Some(failure("raft", "78"))).contains("went otherwise"));
        assert!(says(Some(failure("liveness", "77"))).contains("now it is liveness"));
        assert!(says(None).contains("it failed: raft"));
    }
}
