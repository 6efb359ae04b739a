//! A fixed set of seeds, and the scenarios: plans that once found a bug. Each runs in a process of its own.

#[cfg(not(madsim))]
fn main() {
    println!("the seeds need --cfg madsim: see the README");
}

#[cfg(madsim)]
fn main() -> std::process::ExitCode {
    use seedlog_sim::each::{run_each, run_plan};
    use std::path::Path;

    /// Drawn once; they reach every kind of fault.
    const SEEDS: std::ops::Range<u64> = 1_000..1_040;

    if std::env::args().any(|argument| argument == "--list") {
        // What a test lister asks; the seeds are one test.
        println!("seeds: test");
        return std::process::ExitCode::SUCCESS;
    }
    let program = Path::new(env!("CARGO_BIN_EXE_seedlog-sim"));
    let scenarios = scenarios();
    println!("\nrunning {} tests", SEEDS.end - SEEDS.start + scenarios.len() as u64);
    let (mut passed, mut failed) = (0, 0);
    let mut tell = |name: String, verdict: Result<(), String>| match verdict {
        Ok(()) => {
            passed += 1;
            println!("test {name} ... ok");
        }
        Err(what) => {
            failed += 1;
            println!("test {name} ... FAILED: {what}");
        }
    };
    run_each(program, &[], SEEDS, 2, |result| {
        let seed = result.as_ref().map_or_else(|broken| broken.seed, |done| done.seed);
        tell(format!("seed {seed}"), verdict(result));
        true
    })
    .expect("the simulation can be started");
    for scenario in scenarios {
        let name = scenario.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let result = run_plan(program, &scenario).expect("the simulation can be started");
        tell(format!("scenario {name}"), verdict(result));
    }
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {verdict}. {passed} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out\n");
    std::process::ExitCode::from(u8::from(failed > 0))
}

#[cfg(madsim)]
fn verdict(result: Result<seedlog_sim::run::Report, seedlog_sim::each::Broken>) -> Result<(), String> {
    match result {
        Ok(done) => match done.violations.first() {
            None => Ok(()),
            Some(violation) => Err(format!("{}: {}", violation.check, violation.what)),
        },
        Err(broken) => Err(format!("{}\n{}", broken.status, broken.stderr)),
    }
}

/// The plans beside this test, in the order of their names.
#[cfg(madsim)]
fn scenarios() -> Vec<std::path::PathBuf> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");
    // A test's own files, past every seam.
    #[allow(clippy::disallowed_methods)]
    let files = std::fs::read_dir(directory).expect("the scenarios are there");
    let mut plans: Vec<_> = files.map(|file| file.expect("they can be listed").path()).collect();
    plans.sort();
    plans
}
