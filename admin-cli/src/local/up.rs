//! `emberfs up`: a cluster on this machine, or what is missing of it.
//!
//! Every step looks first whether it is done, so a run that was cut short is finished by the next, and
//! one on a running cluster starts what is missing.
//!
//! ```text
//!   plan ── metadata: configuration, format, start ── storage: the same ── admit disks ── chain table
//!                                               ── wait for the chains ── clusters.toml ── mounts
//! ```
//! Directories are formatted, disks admitted and the table made while the cluster is, and never again: what is
//! missing later is lost, and said.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use emberfs_client::ClusterAddress;
use emberfs_layout::ClusterId;

use super::launch::Launch;
use super::place::{Asked, NAME, Places};
use super::plan::{Plan, Shape};
use crate::args::UpArgs;
use crate::exit::Usage;
use crate::mount_daemon::Daemon;
use crate::mountpoint::{self, Found};

/// Starts the cluster that is meant.
pub(crate) async fn run(asked: Asked<'_>, args: &UpArgs) -> Result<()> {
    let places = Places::of_user()?;
    let name = args.name.as_deref();
    let directory = places.of_up(asked, name.unwrap_or(NAME))?;
    let new_mount = args.mount.as_deref().map(mountpoint::prepared).transpose()?;
    let plan = plan(&places, &directory, args)?;
    let _lock = lock(&plan)?;
    let mut launch = Launch::new(plan);
    let id = launch.metadata()?;
    let address = address(&launch.plan, id)?;
    let cluster = launch.connect(&address).await?;
    launch.storage(&cluster).await?;
    let problems = launch.settled(&cluster).await?;
    places.known().insert(&launch.plan.name, &address, Some(&launch.plan.directory))?;
    mount(&mut launch, &address, new_mount).await?;
    let plan = launch.end();
    println!("cluster {} is up: {} in {}", plan.name, id, plan.directory.display());
    for path in &plan.mounts {
        println!("mounted at {}", path.display());
    }
    for problem in problems {
        println!("{}: {}", problem.verdict.word(), problem.text);
    }
    let (which, down) = (places.which(&plan.name)?, places.down(&plan)?);
    println!(
        "try: emberfs{which} status; emberfs{which} cp -r DIR ember:/; emberfs{which} ls ember:/; {down}"
    );
    Ok(())
}

fn plan(places: &Places, directory: &Path, args: &UpArgs) -> Result<Plan> {
    let Some(plan) = Plan::load(directory)? else {
        let shape = Shape {
            meta: args.meta.unwrap_or(1),
            storage: args.storage.unwrap_or(3),
            disks: args.disks.unwrap_or(2),
            replicas: args.replicas.unwrap_or(3),
        };
        shape.check()?;
        let name = args.name.as_deref().unwrap_or(NAME);
        places.check_name(name, directory)?;
        return Plan::make(directory, name, shape);
    };
    let shape = plan.shape;
    let number = |asked: Option<u16>| asked.map(|asked| asked.to_string());
    for (what, asked, there) in [
        ("--name", args.name.clone(), plan.name.clone()),
        ("--meta", number(args.meta), shape.meta.to_string()),
        ("--storage", number(args.storage), shape.storage.to_string()),
        ("--disks", number(args.disks), shape.disks.to_string()),
        ("--replicas", number(args.replicas.map(Into::into)), shape.replicas.to_string()),
    ] {
        if asked.is_some_and(|asked| asked != there) {
            let at = plan.directory.display();
            return Err(Usage(format!(
                "the cluster in {at} has {what} {there}: leave {what} out, or choose another --dir"
            ))
            .into());
        }
    }
    Ok(plan)
}

/// One `up` at a time in one directory.
fn lock(plan: &Plan) -> Result<File> {
    let path = plan.directory.join("local.lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(file)
}

fn address(plan: &Plan, id: ClusterId) -> Result<ClusterAddress> {
    let meta = plan.meta_addresses();
    let meta = meta.iter().map(|address| address.parse().context("a loopback address"));
    Ok(ClusterAddress { cluster: Some(id), meta: meta.collect::<Result<_>>()? })
}

/// Mounts it wherever it was once said; a mount whose daemon is dead is made anew.
async fn mount(launch: &mut Launch, address: &ClusterAddress, new: Option<PathBuf>) -> Result<()> {
    let ours = address.cluster.map(|id| id.to_string());
    let is_ours = |daemon: &Daemon| !daemon.is_of_other(ours.as_deref());
    if let Some(path) = new {
        if let Found::Served(daemon) = mountpoint::found(&path).await {
            ensure!(is_ours(&daemon), "another cluster is mounted at {}", path.display());
        }
        launch.plan.mount_at(path)?;
    }
    for (place, path) in launch.plan.mounts.iter().enumerate() {
        match mountpoint::found(path).await {
            Found::Served(daemon) if !is_ours(&daemon) => {
                eprintln!("another cluster is mounted at {}: it stays", path.display());
                continue;
            }
            Found::Served(daemon) if daemon.serves() => continue,
            Found::Served(daemon) => {
                eprintln!("{daemon}");
                continue;
            }
            Found::Deserted => mountpoint::let_go(path, true)?,
            Found::Nothing => {}
        }
        launch.say(format!("mounting {}", path.display()));
        let path = mountpoint::prepared(path)?;
        let log = if place == 0 { "mount.log".into() } else { format!("mount-{}.log", place + 1) };
        let log = format!("log={}", launch.plan.directory.join(log).display());
        mountpoint::mount(address, &path, &[log], false)?;
    }
    Ok(())
}
