//! One named step of a check: a heading, what it ran, how long it took.
//!
//! A step that fails says which command to run again; the first failure ends the whole.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::tally::Tally;

/// Runs `work` under a heading and prints its duration.
pub(crate) fn step<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    println!("== {name}");
    let start = Instant::now();
    let result = work().with_context(|| format!("step `{name}` failed"));
    let verdict = if result.is_ok() { "ok" } else { "FAILED" };
    println!("-- {name}: {verdict} in {:.1} s\n", start.elapsed().as_secs_f64());
    result
}

/// Runs a program to its end, its output shown.
pub(crate) fn command(program: &str, args: &[&str]) -> Result<()> {
    let status = Command::new(program).args(args).stdin(Stdio::null()).status();
    let line = shown(program, args);
    let status = status.with_context(|| format!("cannot start `{line}`"))?;
    if !status.success() {
        bail!("`{line}` ended with {status}; run it alone to see more");
    }
    Ok(())
}

/// Runs a test command, its output shown as it comes, and counts the tests in it.
pub(crate) fn tests(args: &[&str]) -> Result<Tally> {
    let line = shown("cargo", args);
    let mut child = Command::new("cargo")
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{line}`"))?;
    let mut tally = Tally::default();
    let output = child.stdout.take().expect("it was asked for above");
    for text in BufReader::new(output).split(b'\n') {
        let text = text.with_context(|| format!("reading the output of `{line}`"))?;
        let text = String::from_utf8_lossy(&text);
        tally.read_line(&text);
        if !text.ends_with("... ok") {
            println!("{text}");
        }
    }
    let status = child.wait()?;
    if !status.success() || tally.failed > 0 {
        println!("{tally}");
        bail!("`{line}` ended with {status}; run it alone to see more");
    }
    Ok(tally)
}

fn shown(program: &str, args: &[&str]) -> String {
    format!("{program} {}", args.join(" "))
}
