//! A cluster that is being started: its processes, and what is waited for until all is well.
//!
//! Whatever is waited for, a server that was started here and ends is told at once.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use emberfs_client::{
    ClientError, ClientOptions, Cluster, ClusterAddress, GetStatusReply, RoutingTable,
};
use emberfs_layout::{ClusterId, DiskId};
use tokio::time::{sleep, timeout};

use super::arrival::Arrival;
use super::disks::{self, LocalDisk};
use super::plan::Plan;
use super::process::{Server, Started};
use super::{configs, process};
use crate::args::TableArgs;
use crate::commands::{chain_table, disk};
use crate::connection::MEMBER_WAIT;
use crate::exit;
use crate::health::members::Group;
use crate::health::{self, Problem};
use crate::spinner::Spinner;

/// Targets on each disk: enough to spread a dead one's load over a handful of servers.
const TARGETS_PER_DISK: u16 = 4;
/// How long the whole may take to become healthy. All servers that were killed at once wait up to a
/// minute for each other.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long one question may take.
const QUESTION: Duration = Duration::from_secs(2);
/// How often is asked, and looked whether all servers run.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// How the cluster is: how its servers stand, and its routing, which was asked for after that.
type Picture = (GetStatusReply, Arc<RoutingTable>);

/// Such a cluster.
pub(super) struct Launch {
    pub(super) plan: Plan,
    /// What was started here, a metadata member with its number.
    started: Vec<(Option<u64>, Started)>,
    /// Metadata members that cannot run, and why.
    lost: BTreeMap<u64, String>,
    spinner: Spinner,
}

impl Launch {
    pub(super) fn new(plan: Plan) -> Self {
        Self { plan, started: Vec::new(), lost: BTreeMap::new(), spinner: Spinner::new() }
    }

    /// What was decided about it; nothing more is said of what goes on.
    pub(super) fn end(self) -> Plan {
        self.plan
    }

    /// Says what goes on.
    pub(super) fn say(&self, what: String) {
        self.spinner.say(what);
    }

    /// Brings the metadata members up; which cluster it is. Their directories are formatted while it is made, and never
    /// again: one that is empty knows nothing of what it helped to decide.
    pub(super) fn metadata(&mut self) -> Result<ClusterId> {
        configs::write_meta(&self.plan)?;
        let servers = self.plan.meta_servers();
        let id = match configs::cluster(&self.plan)? {
            Some(id) => {
                self.find_lost(&servers, id)?;
                id
            }
            None => {
                let id = found(&servers)?;
                self.plan.founded(id)?;
                id
            }
        };
        for (member, server) in (1..).zip(&servers) {
            if !self.lost.contains_key(&member) {
                self.start_missing(server, Some(member))?;
            }
        }
        Ok(id)
    }

    /// Notes the members whose directories are gone. A majority must be there.
    fn find_lost(&mut self, servers: &[Server], cluster: ClusterId) -> Result<()> {
        let mut gone = Vec::new();
        for (member, server) in (1..).zip(servers) {
            let directory = configs::read_meta(server)?.directory;
            if disks::is_formatted(&directory)? {
                continue;
            }
            let at = directory.display();
            let why = format!(
                "{at} is gone, and not made anew; the others have all. If a file system belongs there, mount it; if it \
                 is lost for good, `emberfs-meta format --cluster {cluster} --config {}` makes it anew, empty; then \
                 `{}` again",
                server.config().display(),
                self.plan.command("emberfs up")
            );
            self.lost.insert(member, why);
            gone.push(at.to_string());
        }
        if self.lost.len() > self.may_lack() {
            bail!(
                "the metadata of {cluster} is gone, and not made anew: {} {} missing, or nothing of ours is in it. \
                 If a file system belongs there, mount it; else nobody knows which files there were: a new \
                 cluster needs another --dir",
                gone.join(", "),
                if gone.len() == 1 { "is" } else { "are" },
            );
        }
        Ok(())
    }

    /// How many metadata members may be missing.
    fn may_lack(&self) -> usize {
        usize::from(self.plan.shape.meta - 1) / 2
    }

    /// Brings the storage servers up, with all their disks in use.
    pub(super) async fn storage(&mut self, cluster: &Cluster) -> Result<()> {
        configs::write_storage(&self.plan, cluster.id())?;
        let before = self.answer(cluster.routing()).await??;
        let is_new = before.disks().next().is_none();
        let disks = disks::prepare(&self.plan, cluster.id(), is_new)?;
        let mut arrivals = Vec::new();
        for server in self.plan.storage_servers() {
            let name = configs::read_storage(&server)?.name;
            arrivals.push(match self.start_missing(&server, None)? {
                true => Arrival::of_started(name, &before),
                false => Arrival::of_running(name),
            });
        }
        let (status, routing) = self.arrived(cluster, arrivals).await?;
        let left_out: Vec<_> = disks::left_out(&disks, &status).map(LocalDisk::left_out).collect();
        if routing.tables().next().is_some() {
            left_out.iter().for_each(|words| exit::say(words));
            return Ok(());
        }
        ensure!(left_out.is_empty(), "{}", left_out.join("\n"));
        let admitted = |id| routing.disks().any(|disk| disk.id == id);
        let new: Vec<DiskId> =
            disks.iter().map(|disk| disk.id).filter(|id| !admitted(*id)).collect();
        disk::add(cluster, &new, TARGETS_PER_DISK).await?;
        let table = TableArgs { replicas: self.plan.shape.replicas, ..TableArgs::default() };
        chain_table::create(cluster, &table).await
    }

    /// Starts a server, if it does not run; whether it did not.
    fn start_missing(&mut self, server: &Server, member: Option<u64>) -> Result<bool> {
        let is_missing = server.pid().is_none();
        if is_missing {
            self.say(format!("starting {}", server.name));
            self.started.push((member, server.start()?));
        }
        Ok(is_missing)
    }

    /// Waits until the metadata leader answers.
    pub(super) async fn connect(&mut self, address: &ClusterAddress) -> Result<Cluster> {
        let what = "emberfs up".to_owned();
        let options = ClientOptions { deadline: Some(QUESTION), what, ..ClientOptions::default() };
        let begin = Instant::now();
        self.say("waiting for the metadata leader".to_owned());
        loop {
            match self.answer(Cluster::connect(address, &options)).await? {
                Ok(cluster) => return Ok(cluster),
                Err(error) => self.still_waiting(begin, &error.to_string()).await?,
            }
        }
    }

    /// Waits until each of these servers was heard of; how the cluster is then.
    async fn arrived(&mut self, cluster: &Cluster, mut arrivals: Vec<Arrival>) -> Result<Picture> {
        let begin = Instant::now();
        loop {
            let asked = Instant::now();
            let waiting = match self.answer(picture(cluster)).await? {
                Ok((status, routing)) => {
                    let now = Instant::now();
                    arrivals.retain_mut(|one| !one.note(&status, &routing, asked, now));
                    if arrivals.is_empty() {
                        return Ok((status, routing));
                    }
                    let names: Vec<_> = arrivals.iter().map(Arrival::name).collect();
                    format!("waiting for {}", names.join(", "))
                }
                Err(error) => error.to_string(),
            };
            self.say(waiting.clone());
            self.still_waiting(begin, &waiting).await?;
        }
    }

    /// Waits until all that may pass has passed; what is left is for the operator: a full disk, say.
    pub(super) async fn settled(&mut self, cluster: &Cluster) -> Result<Vec<Problem>> {
        let begin = Instant::now();
        loop {
            let waiting = match self.answer(picture(cluster)).await? {
                Ok((status, routing)) => {
                    let members = self.answer(cluster.members(MEMBER_WAIT)).await?;
                    let mut problems = Group::of(members).problems(true, &self.lost);
                    problems.extend(health::problems(&status, &routing));
                    let problems = health::sorted(problems);
                    match problems.iter().find(|problem| problem.passes) {
                        Some(passing) => passing.text.clone(),
                        None => {
                            self.all_run()?;
                            return Ok(problems);
                        }
                    }
                }
                Err(error) => error.to_string(),
            };
            self.say(waiting.clone());
            self.still_waiting(begin, &waiting).await?;
        }
    }

    /// Waits for an answer, but not for one that a server owes which has ended.
    async fn answer<T>(&mut self, question: impl Future<Output = T>) -> Result<T> {
        let mut question = pin!(question);
        loop {
            if let Ok(answer) = timeout(ASK_EVERY, &mut question).await {
                return Ok(answer);
            }
            self.all_run()?;
        }
    }

    /// Lets a moment pass; gives up if a server has ended, or the time has.
    async fn still_waiting(&mut self, begin: Instant, what: &str) -> Result<()> {
        self.all_run()?;
        if begin.elapsed() > PATIENCE {
            bail!(
                "after {} s: {what}. The servers run on; their logs are below {}; \
                 `emberfs status` says more",
                PATIENCE.as_secs(),
                self.plan.directory.display()
            );
        }
        sleep(ASK_EVERY).await;
        Ok(())
    }

    /// That none of those that were started here has ended; of metadata members a majority is enough.
    fn all_run(&mut self) -> Result<()> {
        let mut ended = Vec::new();
        for (member, started) in &mut self.started {
            if let Err(error) = started.check() {
                ended.push((member.ok_or_else(|| anyhow!("{error:#}"))?, error));
            }
        }
        self.started.retain(|(member, _)| ended.iter().all(|(other, _)| Some(*other) != *member));
        for (member, error) in ended {
            self.lost.insert(member, format!("{error:#}"));
            if self.lost.len() > self.may_lack() {
                return Err(error);
            }
        }
        Ok(())
    }
}

/// Makes the directories of all members: the first founds the cluster.
fn found(servers: &[Server]) -> Result<ClusterId> {
    let format =
        |cluster, server: &Server| process::format_meta(&server.config(), cluster).map(Some);
    servers.iter().try_fold(None, format)?.context("a cluster has a metadata member")
}

async fn picture(cluster: &Cluster) -> Result<Picture, ClientError> {
    Ok((cluster.status().await?, cluster.routing().await?))
}
