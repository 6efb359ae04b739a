//! `seedlog completions` and `seedlog man`: what a package puts beside the binary.

use crate::args::Cli;
use crate::failure::Failure;
use crate::output;
use clap::{Args, Command, CommandFactory as _};
use clap_complete::Shell;
use std::process::ExitCode;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  seedlog completions bash > /etc/bash_completion.d/seedlog
  seedlog completions zsh > \"${fpath[1]}/_seedlog\"
  seedlog completions fish > ~/.config/fish/completions/seedlog.fish")]
pub struct Completions {
    /// The shell they are for
    #[arg(value_enum)]
    pub shell: Shell,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  seedlog man | man -l -
  seedlog man agent > seedlog-agent.1")]
pub struct Man {
    /// One command's own page; without it the page of `seedlog`
    pub command: Option<String>,
}

pub fn completions(args: Completions) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "seedlog", &mut script);
    output::bytes(&script).map_err(Failure::Stdout)?;
    Ok(ExitCode::SUCCESS)
}

pub fn man(args: Man) -> Result<ExitCode, Failure> {
    let mut cli = Cli::command();
    // Gives each command its whole name and the options that all share.
    cli.build();
    let page = match &args.command {
        None => cli,
        Some(name) => match cli.find_subcommand(name).filter(|command| !command.is_hide_set()) {
            Some(command) => command.clone(),
            None => {
                let known: Vec<&str> = cli.get_subcommands().map(Command::get_name).collect();
                return Err(Failure::NoSuchCommand { given: name.clone(), known: known.join(", ") });
            }
        },
    };
    let mut roff = Vec::new();
    let source = concat!("seedlog ", env!("CARGO_PKG_VERSION"));
    clap_mangen::Man::new(page).source(source).render(&mut roff).map_err(Failure::Stdout)?;
    output::bytes(&roff).map_err(Failure::Stdout)?;
    Ok(ExitCode::SUCCESS)
}
