//! Tools that the checks need and cargo does not bring: installed once, into the cache.
//!
//! The cache is `$EMBERFS_CACHE`, else `emberfs/` under `$XDG_CACHE_HOME` or `~/.cache`.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::step::command;

/// The cargo-deny whose verdicts we know.
const DENY_VERSION: &str = "0.20.2";

/// Holds the dependency tree against deny.toml. The advisory database is left to a job with access to
/// it.
pub(crate) fn deny() -> Result<()> {
    let program = installed_deny()?;
    let args = ["--log-level", "error", "--locked", "check", "bans", "licenses", "sources"];
    command(&program, &args)
}

/// The path of cargo-deny, compiled into the cache if it is not there yet.
fn installed_deny() -> Result<String> {
    let root = cache()?.join("tools");
    let program = root.join("bin/cargo-deny").to_string_lossy().into_owned();
    let version = Command::new(&program).arg("--version").stdin(Stdio::null()).output();
    let found =
        version.is_ok_and(|out| String::from_utf8_lossy(&out.stdout).contains(DENY_VERSION));
    if !found {
        println!("cargo-deny {DENY_VERSION} is missing: compiling it, a few minutes, once");
        let root = root.to_string_lossy();
        let package = ["install", "cargo-deny", "--version", DENY_VERSION, "--locked", "--force"];
        command("cargo", &[&package[..], &["--quiet", "--root", &root]].concat())?;
    }
    Ok(program)
}

fn cache() -> Result<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    variable("EMBERFS_CACHE")
        .or_else(|| variable("XDG_CACHE_HOME").map(|dir| dir.join("emberfs")))
        .or_else(|| variable("HOME").map(|dir| dir.join(".cache/emberfs")))
        .context("no cache folder: set EMBERFS_CACHE or HOME")
}
