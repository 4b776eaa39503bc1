//! The command line of a server's program: it serves by a configuration, or does what a verb says and prints what
//! came of it. Wrong usage is told from a failure, as [`ending`] has it.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use serde::de::DeserializeOwned;

use crate::config::{self, ConfigError, Validate};
use crate::ending;
use crate::reference::{self, Described};
use crate::sample;

#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Arguments<V: Subcommand> {
    /// Serve, by this configuration; `sample-config` prints one to start from.
    #[arg(long, required = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    verb: Option<Verb<V>>,
}

#[derive(Subcommand)]
enum Verb<V: Subcommand> {
    #[command(flatten)]
    Own(V),
    /// Check a configuration file, and print every key: its value, default, unit and meaning.
    Config(Checked),
    /// Print a configuration file to start from, with every key explained.
    SampleConfig,
}

#[derive(Args)]
struct Checked {
    /// The file.
    file: PathBuf,
}

/// Does what the command line of `name` says: `serve`s by the configuration that it names, or hands one of the
/// program's own verbs to `carry_out` and prints the answer. `about` is the program in a sentence.
pub fn run<C, V, E>(
    name: &'static str,
    about: &'static str,
    serve: impl FnOnce(C) -> Result<(), E>,
    carry_out: impl FnOnce(V) -> Result<String, E>,
) -> ExitCode
where
    C: DeserializeOwned + Validate + Described,
    V: Subcommand,
    E: From<ConfigError> + AsRef<dyn Error>,
{
    let said = Arguments::<V>::command().name(name).about(about).try_get_matches();
    let said = said.and_then(|mut said| Arguments::<V>::from_arg_matches_mut(&mut said));
    let Arguments { config, verb } = match said {
        Ok(arguments) => arguments,
        Err(error) => return ending::of_usage(&error),
    };
    let answer = match verb {
        None => {
            let file = config.expect("required without a verb");
            return ending::of(config::load(&file).map_err(E::from).and_then(serve));
        }
        Some(Verb::Own(verb)) => carry_out(verb),
        Some(Verb::Config(Checked { file })) => {
            let config = config::load::<C>(&file).map_err(E::from);
            config.map(|config| reference::to_text(&config))
        }
        Some(Verb::SampleConfig) => Ok(sample::text::<C>(name)),
    };
    match answer {
        Ok(answer) => ending::of_answer(answer.trim_end()),
        Err(error) => ending::of(Err(error)),
    }
}
