//! The files of the checkout: what git tracks, and what it would track.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// One text file, by its path from the top.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// Refuses to run on behalf of another checkout. Cargo judges by time stamps whether a crate is built,
/// and does not tell checkouts apart that share a target directory: it would check the wrong tree.
pub(crate) fn ensure_own() -> Result<()> {
    let (built_in, asked_in) = (env!("CARGO_MANIFEST_DIR"), std::env::var("CARGO_MANIFEST_DIR"));
    match asked_in {
        Ok(asked_in) if asked_in != built_in => bail!(
            "this xtask was built in {built_in} and called for {asked_in}: \
             give each checkout a target directory of its own, or touch its sources"
        ),
        _ => Ok(()),
    }
}

/// The top of the checkout, whichever folder the command was called in.
pub(crate) fn top() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().expect("xtask/ lies in the top folder").to_owned()
}

/// All text files; what is not UTF-8 is left out.
pub(crate) fn sources() -> Result<Vec<Source>> {
    let args = ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"];
    let output =
        Command::new("git").args(args).current_dir(top()).output().context("git ls-files")?;
    if !output.status.success() {
        bail!("git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    }
    let listing = String::from_utf8(output.stdout).context("a file name is not UTF-8")?;
    let read = |path: &str| {
        let text = std::fs::read_to_string(top().join(path)).ok()?;
        Some(Source { path: path.to_owned(), text })
    };
    Ok(listing.split_terminator('\0').filter_map(read).collect())
}
