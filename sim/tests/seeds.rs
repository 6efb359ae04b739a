//! A fixed set of seeds, each in a process of its own: this program runs itself once per seed.

#[cfg(not(madsim))]
fn main() {
    println!("the seeds need --cfg madsim: see the README");
}

#[cfg(madsim)]
fn main() -> std::process::ExitCode {
    use seedlog_sim::each::run_each;
    use std::path::Path;

    /// Drawn once; they reach every kind of fault.
    const SEEDS: std::ops::Range<u64> = 1_000..1_040;

    if std::env::args().any(|argument| argument == "--list") {
        // What a test lister asks; the seeds are one test.
        println!("seeds: test");
        return std::process::ExitCode::SUCCESS;
    }
    let program = Path::new(env!("CARGO_BIN_EXE_seedlog-sim"));
    println!("\nrunning {} tests", SEEDS.end - SEEDS.start);
    let (mut passed, mut failed) = (0, 0);
    run_each(program, &[], SEEDS, 2, |result| {
        match result {
            Ok(done) if done.violations.is_empty() => {
                passed += 1;
                println!("test seed {} ... ok", done.seed);
            }
            Ok(done) => {
                failed += 1;
                let violation = &done.violations[0];
                println!("test seed {} ... FAILED: {}: {}", done.seed, violation.check, violation.what);
            }
            Err(broken) => {
                failed += 1;
                println!("test seed {} ... FAILED: {}\n{}", broken.seed, broken.status, broken.stderr);
            }
        }
        true
    })
    .expect("the simulation can be started");
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {verdict}. {passed} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out\n");
    std::process::ExitCode::from(u8::from(failed > 0))
}
