//! emberfs, the one command with which an operator does everything.
//!
//! Cluster things are `noun verb`; file verbs take `ember:/path` for what lies in the cluster. It knows
//! the client library, and of mounts what anybody can see: whatever it does, a program of the user's could do too.
#![forbid(unsafe_code)]

mod args;
mod commands;
mod connection;
mod evenness;
mod exit;
mod health;
mod listing;
mod local;
mod location;
mod log;
mod mount_daemon;
mod mountpoint;
mod printable;
#[cfg(test)]
mod sample;
mod spinner;

use std::process::ExitCode;

fn main() -> ExitCode {
    match args::Args::read(std::env::args_os()) {
        Ok((args, named)) => exit::of(commands::run(args, named)),
        Err(error) => exit::of_usage(&error),
    }
}
