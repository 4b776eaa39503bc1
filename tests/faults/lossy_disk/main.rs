//! `lossy-disk DIRECTORY`: a file system in memory that loses with the power what nobody synced.
//!
//! It is mounted at a directory that is there. Each line that it reads is an order, and answered by the same
//! line when it is done:
//!
//! | line | what it does |
//! | --- | --- |
//! | `off` | forgets all that was not synced; every call is refused from now on |
//! | `off SEED` | the same, but part of it survives, as the seed decides |
//! | `on` | calls are answered again |
//!
//! At the end of its input it unmounts and ends: a test that dies leaves no mount behind.
//!
//! * `image`: what is where, and on the medium; `contents`, `names`: of one file, of one directory.
//! * `luck`: what survives. `adapter`: the kernel's questions.
#![forbid(unsafe_code)]
#![expect(clippy::cast_possible_truncation, reason = "offsets in pages and pieces of 1 MiB fit")]

mod adapter;
mod contents;
mod image;
mod luck;
mod names;
#[cfg(test)]
mod tests;

use std::io::{self, BufRead};
use std::path::PathBuf;
use std::process::Command;

use adapter::Disk;
use anyhow::{Context, Result, bail, ensure};
use luck::Luck;

fn main() -> Result<()> {
    let path = PathBuf::from(std::env::args_os().nth(1).context("lossy-disk DIRECTORY")?);
    let disk = Disk::default();
    let mut config = fuser::Config::default();
    config.mount_options = vec![fuser::MountOption::FSName("lossy-disk".to_owned())];
    let _session = fuser::Session::new(disk.clone(), &path, &config)?.spawn()?;
    println!("mounted");
    let obeyed = obey(&disk);
    // Also where somebody still has files open: for them it ends with this process.
    let unmounted = Command::new("fusermount3").args(["-u", "-z", "--"]).arg(&path).status()?;
    obeyed?;
    ensure!(unmounted.success(), "{} is not unmounted", path.display());
    Ok(())
}

/// Does as it is told until the input ends.
fn obey(disk: &Disk) -> Result<()> {
    for line in io::stdin().lock().lines() {
        let line = line?;
        match line.split_once(' ') {
            None if line == "off" => disk.power_off(&mut Luck::none()),
            None if line == "on" => disk.power_on(),
            Some(("off", seed)) => disk.power_off(&mut Luck::seeded(seed.parse()?)),
            _ => bail!("`{line}` is no order"),
        }
        println!("{line}");
    }
    Ok(())
}
