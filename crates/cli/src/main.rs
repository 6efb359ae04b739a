//! The `seedlog` command. Data goes to stdout, all else to stderr.

mod admin;
mod agent;
mod args;
mod bench;
mod change;
mod connect;
mod consume;
mod dev;
mod failure;
mod host_port;
mod input;
mod lines;
mod members;
mod mirror;
mod moment;
mod node;
mod output;
mod produce;
mod record;
mod scrub;
mod servers;
mod shell;
mod signals;
mod size;
mod status;
mod table;
mod verify;

use args::{Cli, Command};
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _};
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let given = Cli::command().get_matches();
    let cli = Cli::from_arg_matches(&given).unwrap_or_else(|error| error.exit());
    let quiet = if matches!(cli.command, Command::Dev(_) | Command::Agent(_) | Command::Mirror(_)) {
        "info,openraft=warn"
    } else {
        "warn,openraft=error"
    };
    let filter = match EnvFilter::try_new(cli.log.as_deref().unwrap_or(quiet)) {
        Ok(filter) => filter,
        Err(error) => {
            let from_environment = given.value_source("log") == Some(ValueSource::EnvVariable);
            let place = if from_environment { "the environment variable SEEDLOG_LOG is" } else { "--log" };
            eprintln!(
                "seedlog: {place} {:?}: {error}; an example: info,seedlog_raft=debug",
                cli.log.unwrap_or_default()
            );
            return ExitCode::from(failure::USAGE);
        }
    };
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).init();

    if let Err(error) = seedlog_runtime::disk::raise_open_files_max() {
        tracing::warn!(%error, "the limit of open files stays as it is: a log keeps one open for each 64 MB");
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("seedlog: cannot start: {error}");
            return ExitCode::from(failure::FAILED);
        }
    };
    let done = runtime.block_on(run(cli, &given));
    // Not a plain drop: a thread may still wait for a line on stdin that nobody will write.
    runtime.shutdown_background();
    match done {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("seedlog: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

async fn run(cli: Cli, given: &ArgMatches) -> Result<ExitCode, failure::Failure> {
    match cli.command {
        Command::Agent(args) => agent::run(*args, given, cli.output).await,
        Command::Dev(args) => dev::run(args, cli.output, cli.log.as_deref()).await,
        Command::Produce(args) => produce::run(args, cli.output).await,
        Command::Consume(args) => consume::run(args, cli.output).await,
        Command::Status(args) => status::run(args, cli.output).await,
        Command::Servers(args) => servers::run(args, cli.output).await,
        Command::Members(args) => members::run(args, cli.output).await,
        Command::Remove(args) => change::remove(args, cli.output).await,
        Command::Replace(args) => change::replace(args, cli.output).await,
        Command::TransferLeader(args) => change::transfer_leader(args, cli.output).await,
        Command::Mirror(args) => mirror::run(args, cli.output).await,
        Command::Verify(args) => verify::run(args, cli.output).await,
        Command::Trim(args) => admin::trim(args, cli.output).await,
        Command::Scrub(args) => scrub::run(args, cli.output).await,
        Command::Describe(args) => admin::describe(args, cli.output).await,
        Command::Fence(args) => admin::fence(args, cli.output).await,
        Command::Retention(args) => admin::retention(args, cli.output).await,
        Command::Completions(args) => shell::completions(args),
        Command::Man(args) => shell::man(args),
        Command::Bench(args) => bench::run(args, cli.output).await,
    }
}
