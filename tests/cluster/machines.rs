//! Three machines with an address each, made as docs/operating.md has it, and a fourth that mounts the cluster: one after
//! the other is cut off under a load, and comes back.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::thread::JoinHandle;

use emberfs_tests::network::{Network, can_be};

use crate::by_hand::{sample, serve};
use crate::local::LocalCluster;
use crate::process::until;

/// Those with servers; the next one is the client's.
const SERVERS: usize = 3;
/// Files that are written between two events.
const SOME: usize = 15;
/// Without it servers listen on loopback alone.
const OPENLY: &str = "listen_beyond_loopback_without_authentication";
/// Bytes of each, more than a chunk.
const LEN: usize = 1_300_000;

struct Machines {
    // Servers end before the network goes, and the network before the directory.
    servers: Vec<Child>,
    network: Network,
    cluster: LocalCluster,
}

impl Machines {
    /// A metadata member and a storage server on each of three.
    async fn start() -> Self {
        let (network, cluster) = (Network::new(SERVERS + 1), LocalCluster::prepare(&[], &[]));
        fs::create_dir(cluster.directory()).expect("made");
        let mut machines = Self { servers: Vec::new(), network, cluster };
        let config = machines.meta_config(0).to_string_lossy().into_owned();
        for machine in 0..SERVERS {
            machines.write_meta(machine);
        }
        let id = machines.must(0, &["cluster", "init", "--config", &config]).trim().to_owned();
        for machine in 1..SERVERS {
            let mut format = machines.cluster.command("emberfs-meta");
            format
                .args(["format", "--cluster", &id, "--config"])
                .arg(machines.meta_config(machine));
            succeeded(&machines.network.on(machine, &format).output().expect("it starts"));
        }
        for machine in 0..SERVERS {
            let config = machines.meta_config(machine);
            machines.serve(machine, "emberfs-meta", &config);
        }
        let mut disks = Vec::new();
        for machine in 0..SERVERS {
            let at = machines.of(machine).join("disk");
            let disk = machines.must(machine, &["disk", "format", &at.to_string_lossy()]);
            disks.push(disk.trim().to_owned());
            let config = machines.write_storage(machine, &id);
            machines.serve(machine, "emberfs-storage", &config);
        }
        let mut add = vec!["--timeout", "60", "disk", "add"];
        add.extend(disks.iter().map(String::as_str));
        machines.must(SERVERS, &add);
        machines.must(SERVERS, &["chain-table", "create", "--replicas", "3"]);
        machines.until_healthy().await;
        machines
    }

    /// The folder of a machine.
    fn of(&self, machine: usize) -> PathBuf {
        let folder = self.cluster.directory().join(format!("machine-{}", machine + 1));
        fs::create_dir_all(&folder).expect("made");
        folder
    }

    fn meta_config(&self, machine: usize) -> PathBuf {
        self.of(machine).join("meta.toml")
    }

    fn addresses(&self, port: u16) -> Vec<String> {
        (0..SERVERS).map(|machine| format!("{}:{port}", self.network.address(machine))).collect()
    }

    fn write_meta(&self, machine: usize) {
        let keys = [
            ("directory", format!("{:?}", self.of(machine).join("meta"))),
            (OPENLY, "true".to_owned()),
            ("listen", format!("[{:?}]", self.addresses(7000)[machine])),
            ("members", format!("{:?}", self.addresses(7000))),
            ("node", (machine + 1).to_string()),
        ];
        sample(&self.cluster, "emberfs-meta", &self.meta_config(machine), &keys);
    }

    fn write_storage(&self, machine: usize, id: &str) -> PathBuf {
        let (file, folder) = (self.of(machine).join("storage.toml"), self.of(machine));
        let keys = [
            ("cluster", format!("{id:?}")),
            (OPENLY, "true".to_owned()),
            ("name", format!("\"machine-{}\"", machine + 1)),
            ("meta", format!("{:?}", self.addresses(7000))),
            ("listen", format!("[{:?}]", self.addresses(7001)[machine])),
            ("directory", format!("{:?}", folder.join("storage"))),
            ("disks", format!("[{:?}]", folder.join("disk"))),
        ];
        sample(&self.cluster, "emberfs-storage", &file, &keys);
        file
    }

    fn serve(&mut self, machine: usize, program: &str, config: &Path) {
        let program = self.network.on(machine, &self.cluster.command(program));
        self.servers.push(serve(program, config));
    }

    /// Runs `emberfs` on a machine, about this cluster.
    fn emberfs(&self, machine: usize, words: &[&str]) -> Output {
        let mut command = self.cluster.command("emberfs");
        command.args(["--cluster", &self.addresses(7000).join(",")]).args(words);
        self.network.on(machine, &command).output().expect("it starts")
    }

    fn must(&self, machine: usize, words: &[&str]) -> String {
        succeeded(&self.emberfs(machine, words))
    }

    /// Asked by the client.
    async fn until_healthy(&self) {
        until("the cluster is healthy", async || {
            self.emberfs(SERVERS, &["status"]).status.success()
        })
        .await;
    }

    /// Which machine's member leads, as the client sees it.
    fn leader(&self) -> usize {
        let listed = self.must(SERVERS, &["meta", "list"]);
        let line = listed.lines().find(|line| line.contains(" leads ")).expect("one leads");
        let leads = |address: &String| line.contains(address.as_str());
        self.addresses(7000).iter().position(leads).expect("one of them")
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        for server in &mut self.servers {
            let _ended = server.kill().and_then(|()| server.wait());
        }
    }
}

/// What a command printed.
fn succeeded(output: &Output) -> String {
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {why}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Writes files one after the other, each synced before it gets its name, and reads earlier ones meanwhile.
struct Writer {
    done: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Writer {
    fn start(directory: PathBuf) -> Self {
        let (done, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, end) = (done.clone(), over.clone());
        let thread = std::thread::spawn(move || {
            for number in 0.. {
                if end.load(SeqCst) {
                    break;
                }
                let new = directory.join("new");
                let file = fs::File::create(&new).expect("made");
                file.write_all_at(&content(number), 0).expect("written");
                file.sync_all().expect("synced");
                fs::rename(&new, directory.join(number.to_string())).expect("renamed");
                looks(&directory, number / 2);
                count.store(number + 1, SeqCst);
            }
        });
        Self { done, over, thread }
    }

    /// Waits until some more are written.
    async fn goes_on(&self) {
        let wanted = self.done.load(SeqCst) + SOME;
        until("files are written", async || {
            assert!(!self.thread.is_finished(), "a call failed, or a byte is wrong");
            self.done.load(SeqCst) >= wanted
        })
        .await;
    }

    /// Ends; how many files there are.
    fn finish(self) -> usize {
        self.over.store(true, SeqCst);
        self.thread.join().expect("every call succeeded");
        self.done.load(SeqCst)
    }
}

fn content(number: usize) -> Vec<u8> {
    (0..LEN + number).map(|at| ((at * 7 + number) % 251) as u8).collect()
}

fn looks(directory: &Path, number: usize) {
    let found = fs::read(directory.join(number.to_string())).expect("it was written");
    assert!(found == content(number), "file {number} has other bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn three_machines_go_on_while_one_is_cut_off() {
    if !can_be("three_machines_go_on_while_one_is_cut_off") {
        return;
    }
    let mut machines = Machines::start().await;
    let mount = machines.cluster.top().path().join("mount");
    machines.must(SERVERS, &["mount", &mount.to_string_lossy()]);
    let writer = Writer::start(mount.clone());
    writer.goes_on().await;
    let first = machines.leader();
    for machine in [first, (first + 1) % SERVERS, (first + 2) % SERVERS] {
        machines.network.cut_off(machine);
        writer.goes_on().await;
        until("it is told which one is away", async || {
            let output = machines.emberfs(SERVERS, &["status"]);
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            output.status.code() == Some(1) && said.contains(&format!("machine-{}", machine + 1))
        })
        .await;
        machines.network.connect(machine);
        writer.goes_on().await;
        machines.until_healthy().await;
    }
    // Without a majority, and without any server: calls wait, and go on.
    for away in [vec![0, 2], vec![SERVERS]] {
        away.iter().for_each(|machine| machines.network.cut_off(*machine));
        let silent = async || !machines.emberfs(1, &["--timeout", "2", "status"]).status.success();
        if away.len() > 1 {
            until("nobody leads", silent).await;
        }
        away.iter().for_each(|machine| machines.network.connect(*machine));
        writer.goes_on().await;
        machines.until_healthy().await;
    }
    let written = writer.finish();
    (0..written).for_each(|number| looks(&mount, number));
    machines.must(SERVERS, &["umount", &mount.to_string_lossy()]);
    machines.must(SERVERS, &["check", "ember:/"]);
    let ids: Vec<_> = machines.servers.iter().map(|server| server.id().to_string()).collect();
    assert!(Command::new("kill").args(ids).status().expect("there is a kill").success());
    for server in &mut machines.servers {
        assert!(server.wait().expect("it is a child").success());
    }
}
