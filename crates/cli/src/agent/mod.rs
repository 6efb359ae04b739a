//! `seedlog agent`: a node as a service.

pub mod args;
mod environment;
mod error;
mod file;
mod layers;
mod print;
mod settings;
mod source;
mod value;

use crate::args::{Agent as Args, Output};
use crate::failure::Failure;
use crate::node::{self, Patience};
use crate::output;
use crate::signals::Signals;
use clap::ArgMatches;
pub use error::BadSetting;
use seedlog_agent::{Agent, StartError};
use serde_json::json;
use settings::Settings;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// A node alone leads within a second. It is said again after each such time that it does not.
const READY_SOON: Duration = Duration::from_secs(30);

pub async fn run(args: Args, given: &ArgMatches, format: Output) -> Result<ExitCode, Failure> {
    let matches = given.subcommand_matches("agent").expect("it is this command's");
    let settings = Settings::read(&args, matches).map_err(Failure::Setting)?;
    environment::warn_of_misspelt();
    if args.print_config {
        print::print(&settings.shown, format)?;
        return Ok(ExitCode::SUCCESS);
    }
    // From here on a signal is a wish to stop, also during the start.
    let signals = Signals::install()?;
    let config = settings.config().await.map_err(Failure::Setting)?;
    let (data_dir, node_name) = (config.data_dir.clone(), config.node_name.clone());
    let say_ready = |agent: &Agent| say_ready(agent, &data_dir, &node_name, format);
    let ended = node::run(config, signals, Patience::SayingSo(READY_SOON), say_ready).await;
    ended.map_err(|failure| match failure {
        Failure::Start(error) => match *error {
            StartError::Listen { what, .. } => Failure::Listen { settings: settings.of_listener(what), error },
            _ => Failure::Start(error),
        },
        other => other,
    })
}

fn say_ready(agent: &Agent, data_dir: &Path, node_name: &str, format: Output) -> Result<(), Failure> {
    let (node_id, cluster_id) = (agent.identity().node_id, agent.identity().cluster_id);
    if format == Output::Json {
        let ready = json!({
            "rpc_addr": agent.rpc_addr().to_string(),
            "http_addr": agent.http_addr().map(|addr| addr.to_string()),
            "data_dir": data_dir.display().to_string(),
            "node_name": node_name,
            "node_id": format!("{node_id:016x}"),
            "cluster_id": format!("{cluster_id:032x}"),
            "pid": std::process::id(),
        });
        output::json(&ready).map_err(Failure::Stdout)?;
    } else {
        let http = agent.http_addr().map_or_else(String::new, |http| format!(", HTTP {http}"));
        eprintln!("ready: {node_name} serves gRPC {}{http}; data in {}", agent.rpc_addr(), data_dir.display());
    }
    Ok(())
}
