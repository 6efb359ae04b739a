//! `cargo sim`: see `cargo sim --help`.

#[cfg(madsim)]
fn main() -> std::process::ExitCode {
    seedlog_sim::command::main()
}

#[cfg(not(madsim))]
fn main() -> std::process::ExitCode {
    eprintln!("the simulation needs its own build: run `cargo sim`, an alias that adds --cfg madsim");
    std::process::ExitCode::from(2)
}
