//! Single servers of a local cluster: found, hit by signals, started again.

use std::fs::File;
use std::process::{Command, Stdio};
use std::time::Duration;

use emberfs_client::{ClientOptions, Cluster, Directory, PublicState};
use emberfs_layout::BootNumber;
use rustix::process::Pid;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::local::LocalCluster;

/// Far beyond what anything that is waited for takes: who is still waiting then waits for ever.
const PATIENCE: Duration = Duration::from_secs(90);
/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Waits until something holds.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let mut again = interval(LOOK_EVERY);
    again.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let found = timeout(PATIENCE, async {
        loop {
            again.tick().await;
            if holds().await {
                return;
            }
        }
    });
    assert!(found.await.is_ok(), "after {} s not yet: {what}", PATIENCE.as_secs());
}

impl LocalCluster {
    /// Its servers, `meta-1`, `storage-1` and so on.
    pub fn servers(&self) -> Vec<String> {
        let folders = std::fs::read_dir(self.directory()).expect("made by `up`");
        let names = folders.map(|entry| entry.expect("readable").file_name().into_string());
        let names = names.map(|name| name.expect("its name is ours"));
        let mut names: Vec<_> = names.filter(|name| !name.contains('.')).collect();
        names.sort();
        names
    }

    /// Sends a server a signal, such as `KILL`. What is stopped has stopped when this returns: its threads do so one by
    /// one, and answer until then.
    pub fn signal(&self, server: &str, signal: &str) {
        let process = self.process(server).expect("it runs");
        if signal == "KILL" {
            self.hold(&[process]);
        }
        let sent = Command::new("kill").args(["-s", signal, &process.to_string()]).status();
        assert!(sent.expect("there is a kill").success(), "{signal} to {server}");
        let stopped = Pid::from_raw(process.try_into().expect("a process")).expect("not 0");
        while signal == "STOP" && !has_stopped(stopped) {
            std::thread::yield_now();
        }
    }

    /// Kills a server, and waits until it is gone.
    pub async fn kill(&self, server: &str) {
        self.signal(server, "KILL");
        self.until_gone(server).await;
    }

    /// Starts a server, and leaves it to itself.
    pub fn start_one(&self, server: &str) {
        let (kind, _) = server.split_once('-').expect("a kind and a number");
        let folder = self.directory().join(server);
        let said = File::create(folder.join("stderr.log")).expect("a file, as `up` makes it");
        let config = folder.join(format!("{kind}.toml"));
        let mut command = self.command(&format!("emberfs-{kind}"));
        command.arg("--config").arg(config);
        let mut child = command.stdout(Stdio::null()).stderr(said).spawn().expect("it starts");
        // For a moment it shows no command line yet, by which it is known.
        while self.process(server).is_none() && child.try_wait().expect("it is ours").is_none() {
            std::thread::yield_now();
        }
        // Nobody else is there to take note of its end.
        std::thread::spawn(move || child.wait());
    }

    /// Waits until a killed server's process is gone, and those of all others that were killed.
    pub async fn until_gone(&self, server: &str) {
        let is_gone = async || self.process(server).is_none() && self.are_gone();
        until("the killed server is gone", is_gone).await;
    }

    /// Waits until no replica of this server serves.
    pub async fn until_left_out(&self, server: &str) {
        let cluster = self.observer().await;
        until("the dead server's replicas are left out", async || {
            !self.states(&cluster, server).await.contains(&PublicState::Serving)
        })
        .await;
    }

    /// Waits until a replica of this server is being brought up to date, or all were.
    pub async fn until_syncing(&self, server: &str) {
        let cluster = self.observer().await;
        until("the server is brought up to date", async || {
            let states = self.states(&cluster, server).await;
            let serves = states.iter().all(|state| *state == PublicState::Serving);
            serves || states.contains(&PublicState::Syncing)
        })
        .await;
    }

    /// Starts a server, and waits until it is registered.
    pub async fn start_registered(&self, server: &str) {
        let before = self.boot(server).await;
        self.start_one(server);
        let is_new = async || self.boot(server).await != before;
        until("the started server is registered", is_new).await;
    }

    /// Which start of a storage server the cluster has heard of last: another, once a new one is registered.
    pub async fn boot(&self, server: &str) -> BootNumber {
        let routing = self.observer().await.routing().await.expect("the metadata server lives");
        routing.nodes().find(|node| node.name == server).expect("registered before").boot
    }

    /// How the replicas of a server stand.
    async fn states(&self, cluster: &Cluster, server: &str) -> Vec<PublicState> {
        let routing = cluster.routing().await.expect("the metadata server lives");
        let mine = |target| routing.home(target).expect("known").name == server;
        let members = routing.chains().flat_map(|chain| &chain.members);
        members.filter(|member| mine(member.target)).map(|member| member.state).collect()
    }

    /// A connection without a session.
    pub async fn observer(&self) -> Cluster {
        let found = Directory::at(&self.config()).find(Some("local")).expect("`up` entered it");
        Cluster::connect(&found, &ClientOptions::default()).await.expect("it is up")
    }

    /// A server's process, if it runs.
    pub fn process(&self, server: &str) -> Option<u32> {
        let mark = self.directory().join(server);
        let runs = |process: &u32| {
            let line = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(&*mark.join("").to_string_lossy())
        };
        self.processes().into_iter().find(runs)
    }
}

/// Whether each thread of a process stands still by a signal: they do so one by one, on a busy machine some later.
pub fn has_stopped(process: Pid) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).expect("it runs");
    let mut threads = threads.map(|thread| thread.expect("Linux").path().join("status"));
    threads.all(|status| {
        std::fs::read_to_string(status).is_ok_and(|said| said.contains("\nState:\tT"))
    })
}
