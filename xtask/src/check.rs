//! `cargo xtask check`: all that needs no running cluster.

use anyhow::Result;

use crate::step::{command, step, tests};
use crate::tally::Tally;
use crate::{edges, house, packages, tools};

/// Runs every check; the first that fails ends it.
pub(crate) fn run() -> Result<Tally> {
    std::env::set_current_dir(crate::tree::top())?;
    step("packages", packages::ensure)?;
    step("format", || command("cargo", &["fmt", "--all", "--check"]))?;
    step("house rules", house::run)?;
    step("crate edges", edges::run)?;
    step("bans, licences, sources", tools::deny)?;
    step("clippy", || {
        let scope = ["clippy", "--release", "--workspace", "--all-targets", "--locked"];
        command("cargo", &[&scope[..], &["--", "-D", "warnings"]].concat())
    })?;
    step("documentation", || {
        let strict = "build.rustdocflags=[\"-Dwarnings\"]";
        let scope = ["doc", "--release", "--workspace", "--no-deps", "--locked"];
        command("cargo", &[&scope[..], &["--quiet", "--config", strict]].concat())
    })?;
    step("unit and documentation tests", || {
        let scope = ["test", "--release", "--workspace", "--locked", "--exclude", "emberfs-tests"];
        tests(&[&scope[..], &["--", "--show-output"]].concat())
    })
}
