//! `cargo xtask sim`: the cores of replicas, membership and the metadata group under their simulator, over as many
//! seeds as wanted, or one seed again. Prints how often each transition and each fault happened.

use std::process::{Command, Stdio};

use anyhow::{Result, ensure};
use clap::Args;

/// Which runs.
#[derive(Args)]
pub(crate) struct Seeds {
    /// How many seeds, from 0 on
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// This seed alone
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Show every message and fault
    #[arg(long)]
    trace: bool,
}

/// The test that takes its seeds from the environment.
const TEST: &str = "every_answer_can_be_explained_under_all_faults";

/// Runs the simulator's main test over these seeds.
pub(crate) fn run(wanted: &Seeds) -> Result<()> {
    let mut cargo = Command::new("cargo");
    cargo.args(["test", "--release", "--package", "emberfs-tests", "--test", "sim", "--"]);
    cargo.args(["--exact", TEST, "--nocapture"]).stdin(Stdio::null());
    match wanted.seed {
        Some(seed) => cargo.env("SIM_SEED", seed.to_string()),
        None => cargo.env("SIM_SEEDS", wanted.seeds.to_string()),
    };
    if wanted.trace {
        cargo.env("SIM_TRACE", "1");
    }
    ensure!(cargo.status()?.success(), "a seed failed; the line that repeats it stands above");
    Ok(())
}
