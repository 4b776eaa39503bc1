//! `emberfs up`: a cluster on this machine, or what is missing of it.
//!
//! Every step looks first whether it is done, so a run that was cut short is finished by the next, and
//! one on a running cluster starts what is missing.
//!
//! ```text
//!   plan ── metadata: configuration, format, start ── storage: the same ── admit disks ── chain table
//!                                               ── wait for the chains ── clusters.toml ── mount
//! ```

use std::fs::File;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use emberfs_client::GetStatusReply;
use emberfs_client::{ClientOptions, Cluster, ClusterAddress, Directory};
use emberfs_layout::{ClusterId, DiskId};

use super::plan::{Plan, Shape};
use super::process::Server;
use super::{configs, process};
use crate::args::UpArgs;
use crate::commands::{chain_table, disk};
use crate::exit::Usage;
use crate::health::{self, Problem};
use crate::mountpoint;
use crate::spinner::Spinner;

/// Targets on each disk: enough to spread a dead one's load over a handful of servers.
const TARGETS_PER_DISK: u16 = 4;
/// How long the whole may take to become healthy. All servers that were killed at once wait up to a
/// minute for each other.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long one question may take, before the servers are looked at again.
const QUESTION: Duration = Duration::from_secs(2);
/// How often is asked.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// Starts the cluster in `directory`.
pub(crate) async fn run(directory: &Path, args: &UpArgs) -> Result<()> {
    let plan = plan(directory, args)?;
    let _lock = lock(&plan)?;
    let mut launch = Launch::new(plan);
    let id = launch.metadata()?;
    let cluster = launch.connect(id).await?;
    launch.storage(id)?;
    launch.admit(&cluster).await?;
    if cluster.routing().await?.tables().next().is_none() {
        chain_table::create(&cluster, launch.plan.shape.replicas, None, None).await?;
    }
    let problems = launch.settled(&cluster).await?;
    let address = address(&launch.plan, id)?;
    Directory::of_user()?.insert(&launch.plan.name, &address)?;
    launch.mount(&address, args.mount.as_deref())?;
    let Launch { plan, spinner, .. } = launch;
    drop(spinner);
    println!("cluster {} is up: {} in {}", plan.name, id, plan.directory.display());
    if let Some(path) = &plan.mount {
        println!("mounted at {}", path.display());
    }
    for problem in problems {
        println!("{}: {}", problem.verdict.word(), problem.text);
    }
    let down = plan.command("emberfs down", args.dir.is_some());
    println!("try: emberfs status; emberfs cp -r DIR ember:/; emberfs ls ember:/; {down}");
    Ok(())
}

fn plan(directory: &Path, args: &UpArgs) -> Result<Plan> {
    let Some(plan) = Plan::load(directory)? else {
        let shape = Shape {
            meta: args.meta.unwrap_or(1),
            storage: args.storage.unwrap_or(3),
            disks: args.disks.unwrap_or(2),
            replicas: args.replicas.unwrap_or(3),
        };
        return Plan::make(directory, args.name.as_deref().unwrap_or("local"), shape);
    };
    let same = |what: &str, asked: Option<u16>, there: u16| {
        if asked.is_none_or(|asked| asked == there) {
            return Ok(());
        }
        let at = plan.directory.display();
        Err(Usage(format!(
            "the cluster in {at} has {what} {there}: leave {what} out, or choose another --dir"
        )))
    };
    let shape = plan.shape;
    same("--meta", args.meta, shape.meta)?;
    same("--storage", args.storage, shape.storage)?;
    same("--disks", args.disks, shape.disks)?;
    same("--replicas", args.replicas.map(Into::into), shape.replicas.into())?;
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

/// A cluster that is being started.
struct Launch {
    plan: Plan,
    /// What this run started: a process that ends early says why.
    started: Vec<(Server, Child)>,
    spinner: Spinner,
}

impl Launch {
    fn new(plan: Plan) -> Self {
        Self { plan, started: Vec::new(), spinner: Spinner::new() }
    }

    fn say(&self, what: String) {
        self.spinner.say(what);
    }

    /// Brings the metadata members up; which cluster it is.
    fn metadata(&mut self) -> Result<ClusterId> {
        configs::write_meta(&self.plan)?;
        let servers = self.plan.meta_servers();
        let mut id = None;
        for server in &servers {
            id = Some(process::format_meta(&server.config())?);
        }
        self.start_missing(&servers)?;
        id.context("a cluster has a metadata member")
    }

    /// Brings the storage servers up.
    fn storage(&mut self, cluster: ClusterId) -> Result<()> {
        configs::write_storage(&self.plan, cluster)?;
        let servers = self.plan.storage_servers();
        for server in &servers {
            for directory in configs::disks(&self.plan, server) {
                process::format_disk(&directory, cluster)?;
            }
        }
        self.start_missing(&servers)
    }

    fn start_missing(&mut self, servers: &[Server]) -> Result<()> {
        for server in servers {
            if server.pid().is_none() {
                self.say(format!("starting {}", server.name));
                self.started.push((server.clone(), server.start()?));
            }
        }
        Ok(())
    }

    /// Waits until the metadata leader answers.
    async fn connect(&mut self, id: ClusterId) -> Result<Cluster> {
        let address = address(&self.plan, id)?;
        let what = "emberfs up".to_owned();
        let options = ClientOptions { deadline: Some(QUESTION), what, ..ClientOptions::default() };
        let begin = Instant::now();
        loop {
            self.say("waiting for the metadata leader".to_owned());
            match Cluster::connect(&address, &options).await {
                Ok(cluster) => return Ok(cluster),
                Err(error) => self.still_waiting(begin, &error.to_string())?,
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    /// Waits until every server has shown its disks, and admits those that are new.
    async fn admit(&mut self, cluster: &Cluster) -> Result<()> {
        let all = usize::from(self.plan.shape.storage) * usize::from(self.plan.shape.disks);
        let begin = Instant::now();
        let found = loop {
            let found = match cluster.status().await {
                Ok(status) => disks(&status),
                Err(error) => {
                    self.still_waiting(begin, &error.to_string())?;
                    Vec::new()
                }
            };
            if found.len() >= all {
                break found;
            }
            let waiting = format!("{} of {all} disks have been seen", found.len());
            self.still_waiting(begin, &waiting)?;
            self.say(waiting);
            tokio::time::sleep(ASK_EVERY).await;
        };
        let routing = cluster.routing().await?;
        let new: Vec<DiskId> =
            found.into_iter().filter(|id| routing.disks().all(|disk| disk.id != *id)).collect();
        disk::add(cluster, &new, TARGETS_PER_DISK).await
    }

    /// Waits until all that may pass has passed; what is left is for the operator: a full disk, say.
    async fn settled(&mut self, cluster: &Cluster) -> Result<Vec<Problem>> {
        let begin = Instant::now();
        loop {
            let (status, routing) = (cluster.status().await?, cluster.routing().await?);
            let problems = health::problems(&status, &routing);
            let Some(passing) = problems.iter().find(|problem| problem.passes) else {
                return Ok(problems);
            };
            self.still_waiting(begin, &passing.text)?;
            self.say(passing.text.clone());
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    /// Mounts it where it was once said; a mount whose daemon is dead is made anew.
    fn mount(&mut self, address: &ClusterAddress, asked: Option<&Path>) -> Result<()> {
        if let Some(path) = asked {
            self.plan.mount_at(mountpoint::prepared(path)?)?;
        }
        let Some(path) = &self.plan.mount else { return Ok(()) };
        if mountpoint::is_mounted(path) {
            if mountpoint::answers(path) {
                return Ok(());
            }
            mountpoint::let_go(path, true)?;
        }
        self.say(format!("mounting {}", path.display()));
        let path = mountpoint::prepared(path)?;
        let log = format!("log={}", self.plan.directory.join("mount.log").display());
        mountpoint::mount(address, &path, &[log], false)
    }

    /// Gives up if a server has ended, or the time has.
    fn still_waiting(&mut self, begin: Instant, what: &str) -> Result<()> {
        for (server, child) in &mut self.started {
            if let Some(status) = child.try_wait()? {
                bail!("{} ended with {status}:\n{}", server.name, server.last_words());
            }
        }
        if begin.elapsed() > PATIENCE {
            bail!(
                "after {} s: {what}. The servers run on; their logs are below {}; \
                 `emberfs status` says more",
                PATIENCE.as_secs(),
                self.plan.directory.display()
            );
        }
        Ok(())
    }
}

fn disks(status: &GetStatusReply) -> Vec<DiskId> {
    let live = status.nodes.iter().filter(|node| node.heard_ms_ago.is_some());
    live.flat_map(|node| node.disks.iter().map(|report| report.disk)).collect()
}
