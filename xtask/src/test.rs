//! `cargo xtask test`: everything that CI runs.
//!
//! Its last line counts all tests that ran: `N passed, N failed, N skipped`.

use anyhow::{Result, ensure};

use crate::check;
use crate::step::{command, step, tests};

/// Checks, then the tests that span crates.
pub(crate) fn run() -> Result<()> {
    let mut tally = check::run()?;
    step("programs", || {
        command("cargo", &["build", "--release", "--workspace", "--bins", "--locked"])
    })?;
    tally += step("tests over all crates", || {
        let scope = ["test", "--release", "--locked", "--package", "emberfs-tests"];
        tests(&[&scope[..], &["--", "--show-output"]].concat())
    })?;
    ensure!(tally.really_passed() > 0, "no test ran");
    println!("{tally}");
    Ok(())
}
