//! `cargo xtask test`: everything that CI runs.
//!
//! Its last line counts all tests that ran: `N passed, N failed, N skipped`.

use anyhow::{Context, Result, ensure};
use cargo_metadata::MetadataCommand;

use crate::check;
use crate::step::{command, step, tests};

/// Checks, then the tests that span crates.
pub(crate) fn run() -> Result<()> {
    let mut tally = check::run()?;
    step("programs", || {
        command("cargo", &["build", "--release", "--workspace", "--bins", "--locked"])
    })?;
    tally += step("tests over all crates", || {
        let names = spanning_tests()?;
        let mut args = vec!["test", "--release", "--locked", "--workspace"];
        names.iter().for_each(|(kind, name)| args.extend([*kind, name.as_str()]));
        tests(&[&args[..], &["--", "--show-output"]].concat())
    })?;
    ensure!(tally.really_passed() > 0, "no test ran");
    println!("{tally}");
    Ok(())
}

/// The tests that span crates, and those of their programs, by kind and name. They are asked for in the whole
/// workspace: their package alone has dependencies with fewer features, which would be compiled once more.
fn spanning_tests() -> Result<Vec<(&'static str, String)>> {
    let metadata =
        MetadataCommand::new().no_deps().other_options(["--locked".to_owned()]).exec()?;
    let mut packages = metadata.packages.into_iter();
    let package = packages.find(|package| package.name.as_str() == "emberfs-tests");
    let targets = package.context("the workspace has a package emberfs-tests")?.targets;
    let kinds = targets.into_iter().filter_map(|target| {
        let kind = if target.is_test() { "--test" } else { "--bin" };
        (target.is_test() || target.is_bin()).then_some((kind, target.name))
    });
    Ok(kinds.collect())
}
