//! `sweeper DIRECTORY`: waits until the program that started it ends; then ends all that this left running about the
//! directory, and removes it.
#![forbid(unsafe_code)]

use std::os::unix::process::parent_id;
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::{fs, io, thread};

use anyhow::{Context, Result};
use emberfs_tests::scratch::{LOOK_EVERY, sweep};

fn main() -> Result<()> {
    let directory = PathBuf::from(std::env::args_os().nth(1).context("sweeper DIRECTORY")?);
    let (ended, end) = channel();
    let also_ended = ended.clone();
    thread::spawn(move || ended.send(io::copy(&mut io::stdin().lock(), &mut io::sink()).map(drop)));
    // A process that dies with a file open on a mount that hangs closes nothing before the mount goes; but it has
    // no memory then, and so no command line.
    let line = format!("/proc/{}/cmdline", parent_id());
    thread::spawn(move || {
        while !fs::read(&line).unwrap_or_default().is_empty() {
            thread::park_timeout(LOOK_EVERY);
        }
        also_ended.send(Ok(()))
    });
    end.recv().expect("one of both sees it")?;
    sweep(&directory).with_context(|| directory.display().to_string())
}
