//! emberfs, the one command with which an operator does everything.
//!
//! Cluster things are `noun verb`; file verbs take `ember:/path` for what lies in the cluster. It knows
//! the client library alone: whatever it does, a program of the user's could do too.
#![forbid(unsafe_code)]

mod args;
mod commands;
mod connection;
mod exit;
mod health;
mod listing;
mod local;
mod location;
mod mountpoint;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        Err(error) => return exit::of_usage(&error),
    };
    exit::of(commands::run(args))
}
