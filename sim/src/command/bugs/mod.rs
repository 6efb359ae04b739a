//! Planted bugs: how many seeds it takes to catch each, and which check does.

mod matrix;
mod tree;

use super::shrink::shrink_with;
use super::{Size, build, commit, jobs, say, write};
use crate::each::{failed_check, run_each};
use clap::Args;
use matrix::{Matrix, Row};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use tree::Tree;

#[derive(Args)]
pub struct BugsArgs {
    /// Only this one, by the name of its patch; may be given several times.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// So many seeds a bug has to hide in, in each range.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=RANGE))]
    seeds: u64,
    /// How many ranges of seeds are swept, of which the median counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=99))]
    ranges: u64,
    /// Processes at a time; by default one a core.
    #[arg(long)]
    jobs: Option<usize>,
    /// Makes the first failing seed small, too: more than five faults left is a failure.
    #[arg(long)]
    shrink: bool,
    /// Builds faster, and runs slower.
    #[arg(long)]
    unoptimised: bool,
    /// Leaves sim/bugs/MATRIX.md as it is.
    #[arg(long)]
    no_matrix: bool,
}

/// From one range's first seed to the next one's.
const RANGE: u64 = 10_000;
/// A shrunk plan has so many faults at most.
const FAULTS_MAX: usize = 5;
const SHRINK_BUDGET: u64 = 1_000;

pub fn bugs(args: &BugsArgs) -> Result<bool, String> {
    let root = tree::root()?;
    let bugs = Bug::all(&root.join("sim/bugs"))?;
    let wanted = chosen(&bugs, &args.only)?;
    let file = root.join("sim/bugs/MATRIX.md");
    let tree = Tree::new(&root, &root.join("target/bugs"))?;
    let how = if args.unoptimised { build::How::Unoptimised } else { build::How::Usual };
    let mut all_caught = true;
    for bug in wanted {
        tree.with(&bug.patch)?;
        let program = build::build(&tree.path, how, build::Told::IfItFails)?;
        let measured = measure(bug, &program, args)?;
        say!("{}", measured.told());
        all_caught &= measured.is_caught() && measured.faults_left.is_none_or(|left| left <= FAULTS_MAX);
        if !args.no_matrix {
            // After each: a long run that is ended has told what it knows.
            let mut matrix = Matrix::read(&file)?;
            matrix.put(measured);
            write(&file, &matrix.written(&bugs))?;
        }
    }
    Ok(all_caught)
}

fn chosen<'a>(bugs: &'a [Bug], only: &[String]) -> Result<Vec<&'a Bug>, String> {
    let find = |name: &String| {
        let found = bugs.iter().find(|bug| bug.name == name.trim_end_matches(".patch"));
        found.ok_or_else(|| format!("there is no planted bug {name:?}: see sim/bugs"))
    };
    if only.is_empty() { Ok(bugs.iter().collect()) } else { only.iter().map(find).collect() }
}

fn measure(bug: &Bug, program: &Path, args: &BugsArgs) -> Result<Row, String> {
    let size = Size { nodes: bug.nodes, mirror: bug.mirror };
    let (mut counts, mut checks, mut first) = (Vec::new(), BTreeSet::new(), None);
    for range in 0..args.ranges {
        let seeds = range * RANGE..range * RANGE + args.seeds;
        let (mut tried, mut caught) = (0, None);
        run_each(program, &size.arguments(), seeds, jobs(args.jobs), |result| {
            tried += 1;
            caught = failed_check(&result);
            if caught.is_some() {
                first.get_or_insert(range * RANGE + tried - 1);
            }
            caught.is_none()
        })
        .map_err(|error| error.to_string())?;
        counts.push(caught.as_ref().map(|_| tried));
        checks.extend(caught);
    }
    let faults_left = match first.filter(|_| args.shrink) {
        None => None,
        Some(seed) => {
            let shrunk = shrink_with(program, &size.plan(seed), jobs(args.jobs), SHRINK_BUDGET, false)?;
            shrunk.map(|shrunk| shrunk.plan.faults.len())
        }
    };
    Ok(Row { name: bug.name.clone(), counts, seeds: args.seeds, checks, faults_left, commit: commit() })
}

/// One patch, and what its header says.
pub struct Bug {
    name: String,
    patch: PathBuf,
    breaks: String,
    /// Of the clusters in which it shows soonest.
    nodes: Option<u32>,
    /// It is one of the mirror, and shows only where there is one.
    mirror: bool,
}

impl Bug {
    fn all(directory: &Path) -> Result<Vec<Bug>, String> {
        let failed = |error: std::io::Error| format!("{}: {error}", directory.display());
        let files = std::fs::read_dir(directory).map_err(failed)?;
        let files = files.map(|file| Ok(file.map_err(failed)?.path())).collect::<Result<BTreeSet<_>, String>>()?;
        files.into_iter().filter(|file| file.extension().is_some_and(|end| end == "patch")).map(Bug::read).collect()
    }

    fn read(patch: PathBuf) -> Result<Bug, String> {
        let text = std::fs::read_to_string(&patch).map_err(|error| format!("{}: {error}", patch.display()))?;
        let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let nodes = line("Nodes").map(str::parse).transpose();
        let nodes = nodes.map_err(|error| format!("{}: its line \"Nodes\": {error}", patch.display()))?;
        let breaks = line("Breaks").ok_or_else(|| format!("{}: it does not say what it breaks", patch.display()))?;
        let name = patch.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mirror = line("Mirror") == Some("yes");
        Ok(Bug { name, breaks: breaks.to_owned(), nodes, mirror, patch })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_patch_says_what_it_breaks_and_is_found_by_its_name() {
        let bugs = Bug::all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("bugs")).unwrap();
        assert!(bugs.len() >= 30, "{}", bugs.len());
        let only = |name: &str| chosen(&bugs, &[name.to_owned()]).map(|found| found[0].nodes);
        assert_eq!(only("sync_left_out"), Ok(Some(1)));
        assert_eq!(only("sync_left_out.patch"), Ok(Some(1)));
        assert!(only("sync_left_in").unwrap_err().contains("sync_left_in"));
        assert_eq!(chosen(&bugs, &[]).unwrap().len(), bugs.len());
    }
}
