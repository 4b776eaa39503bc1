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
//! missing later is lost, and said. In one directory one is at work at a time, and whoever comes second finds what the
//! first has made.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use emberfs_client::ClusterAddress;
use emberfs_layout::ClusterId;

use super::configs;
use super::launch::Launch;
use super::place::{Asked, NAME, Places};
use super::plan::{Plan, Shape};
use crate::args::UpArgs;
use crate::exit::{End, Usage, print, say};
use crate::health::{self, Verdict};
use crate::mount_daemon::Daemons;
use crate::mountpoint::{self, Found};

/// Starts the cluster that is meant. It ends with what `emberfs status` says then.
pub(crate) async fn run(asked: Asked<'_>, args: &UpArgs) -> Result<End> {
    let places = Places::of_user()?;
    let directory = places.of_up(asked, args.name.as_deref())?;
    let new_mount = args.mount.as_deref().map(mountpoint::prepared).transpose()?;
    let (plan, _lock) = plan(&places, &directory, args)?;
    if let Some(path) = &new_mount {
        refuse_taken(path, &plan).await?;
    }
    let mut launch = Launch::new(plan);
    let id = launch.metadata()?;
    let address = address(&launch.plan, id)?;
    let cluster = launch.connect(&address).await?;
    launch.storage(&cluster).await?;
    let problems = launch.settled(&cluster).await?;
    places.known().insert(&launch.plan.name, &address, Some(&launch.plan.directory))?;
    let mounted = mount(&mut launch, &address, new_mount).await?;
    let plan = launch.end();
    for problem in &problems {
        print(&format!("{}: {}", problem.verdict.word(), problem.words()))?;
    }
    let verdict = health::verdict(&problems);
    let state = match verdict {
        Verdict::Healthy => "is up",
        Verdict::Degraded => "is up, and degraded",
        Verdict::Unavailable => "runs, and is unavailable",
    };
    print(&format!("cluster {} {state}: {id} in {}", plan.name, plan.directory.display()))?;
    for path in mounted {
        print(&format!("mounted at {}", path.display()))?;
    }
    let (which, down) = (places.which(&plan.name)?, places.down(&plan)?);
    print(&format!(
        "try: emberfs{which} status; emberfs{which} cp -r DIR ember:/; emberfs{which} ls ember:/; {down}"
    ))?;
    Ok(End::Status(verdict))
}

/// What was decided about the cluster in `directory`, or is now; and that nobody else is at work there for as long as
/// the file is held. What cannot be is refused before anything is made.
fn plan(places: &Places, directory: &Path, args: &UpArgs) -> Result<(Plan, File)> {
    let name = args.name.as_deref().unwrap_or(NAME);
    let shape = Shape {
        meta: args.meta.unwrap_or(3),
        storage: args.storage.unwrap_or(3),
        disks: args.disks.unwrap_or(2),
        replicas: args.replicas.unwrap_or(3),
    };
    if Plan::load(directory)?.is_none() {
        shape.check()?;
        places.check_name(name, directory)?;
    }
    let lock = lock(directory)?;
    // Whoever was at work may just have made it.
    let plan = match Plan::load(directory)? {
        Some(plan) => plan,
        None => Plan::make(directory, name, shape)?,
    };
    agree(&plan, args)?;
    Ok((plan, lock))
}

/// Whether nothing else is asked for than was decided once.
fn agree(plan: &Plan, args: &UpArgs) -> Result<()> {
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
    Ok(())
}

/// One `up` at a time in one directory, which is made; the next waits.
fn lock(directory: &Path) -> Result<File> {
    let at = directory.display();
    fs::create_dir_all(directory).with_context(|| format!("cannot make {at}"))?;
    let path = directory.join("local.lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    let locked = file.try_lock().or_else(|error| match error {
        TryLockError::WouldBlock => {
            say(&format!("another `emberfs up` is at work in {at}: this one goes on after it"));
            file.lock()
        }
        TryLockError::Error(error) => Err(error),
    });
    locked.with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(file)
}

fn address(plan: &Plan, id: ClusterId) -> Result<ClusterAddress> {
    let meta = plan.meta_addresses();
    let meta = meta.iter().map(|address| address.parse().context("a loopback address"));
    Ok(ClusterAddress { cluster: Some(id), meta: meta.collect::<Result<_>>()? })
}

/// Refuses a path where something is mounted that is not this cluster's, or nobody knows whose it is.
async fn refuse_taken(path: &Path, plan: &Plan) -> Result<()> {
    let cluster = configs::cluster(plan)?.map(|id| id.to_string());
    let found = mountpoint::found(path, &mut Daemons::find().await)?;
    let found = found.of_cluster(cluster.as_deref());
    ensure!(!matches!(found, Found::Other | Found::Unheard(_)), "{}", found.words(path));
    Ok(())
}

/// Mounts it wherever it was once said, and says where it is mounted then. A mount whose daemon is dead is made anew.
async fn mount(
    launch: &mut Launch,
    address: &ClusterAddress,
    new: Option<PathBuf>,
) -> Result<Vec<PathBuf>> {
    let ours = address.cluster.map(|id| id.to_string());
    if let Some(path) = new {
        launch.plan.mount_at(path)?;
    }
    let (mut all, mut mounted) = (Daemons::find().await, Vec::new());
    for (place, path) in launch.plan.mounts.iter().enumerate() {
        let found = mountpoint::found(path, &mut all)?.of_cluster(ours.as_deref());
        match &found {
            Found::Nothing => {}
            Found::Dead => mountpoint::let_go(path, true)?,
            Found::Served(daemon, _) if daemon.serves() => {
                mounted.push(path.clone());
                continue;
            }
            Found::Served(daemon, _) => {
                say(&daemon.to_string());
                continue;
            }
            Found::Other | Found::Unheard(_) => {
                say(&format!("{}; it stays as it is", found.words(path)));
                continue;
            }
        }
        launch.say(format!("mounting {}", path.display()));
        let path = mountpoint::prepared(path)?;
        let log = if place == 0 { "mount.log".into() } else { format!("mount-{}.log", place + 1) };
        let log = format!("log={}", launch.plan.directory.join(log).display());
        let metrics = launch.plan.mount_metrics(place).map(|address| format!("metrics={address}"));
        let options: Vec<String> = std::iter::once(log).chain(metrics).collect();
        mountpoint::mount(address, &path, &options, false, None)?;
        mounted.push(path);
    }
    Ok(mounted)
}
