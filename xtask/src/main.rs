//! The developers' front door: check, test, simulate, bench.
//!
//! Run as `cargo xtask`; `--help` lists what there is.
#![forbid(unsafe_code)]

mod bench;
mod check;
mod edges;
mod house;
mod packages;
mod sim;
mod step;
mod tally;
mod test;
mod tools;
mod tree;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What developers and CI run on EmberFS.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install the Debian packages that building needs and that are missing
    Setup,
    /// Format, clippy, house rules, crate edges, cargo-deny, documentation, unit tests
    Check,
    /// Everything that CI runs: check, then the tests that span crates
    Test,
    /// The cores of replicas, membership and the metadata group under their simulator
    Sim(sim::Seeds),
    /// What EmberFS does beside what this machine could do at best, in the same minutes
    Bench(bench::Bench),
}

fn main() -> ExitCode {
    let command = Args::parse().command;
    let result = tree::ensure_own().and_then(|()| match command {
        Command::Setup => packages::ensure(),
        Command::Check => check::run().map(|tally| println!("{tally}")),
        Command::Test => test::run(),
        Command::Sim(seeds) => sim::run(&seeds),
        Command::Bench(args) => bench::run(&args),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
