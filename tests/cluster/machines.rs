//! Three machines with an address each, made as docs/operating.md has it, and a fourth that mounts the cluster: one after
//! the other is cut off under a load, and comes back.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

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

/// Writes files one after the other, each synced before it gets its name, and reads earlier ones meanwhile. `$1` is the
/// mount; how many there are is printed.
const WRITER: &str = r#"
content() { yes "file $1" | head -c 1300000; }
n=0
while :; do
    content $n > "$1/new" && sync "$1/new" && mv "$1/new" "$1/$n" || exit 1
    content $((n / 2)) | cmp - "$1/$((n / 2))" || exit 1
    n=$((n + 1))
    echo $n
done
"#;

/// Compares all of them: `$1` is the mount, `$2` how many there are.
const READER: &str = r#"
n=0
while [ $n -lt $2 ]; do
    yes "file $n" | head -c 1300000 | cmp - "$1/$n" || exit 1
    n=$((n + 1))
done
"#;

/// A process of its own, as it has files of the mount open: what is started from such a one closes them, and waits for
/// the cluster, before it begins.
struct Writer {
    shell: Child,
    done: Arc<AtomicUsize>,
}

impl Writer {
    fn start(mount: &Path, cluster: &LocalCluster) -> Self {
        let mut shell = cluster.with_environment("sh");
        shell.args(["-c", WRITER, "writer"]).arg(mount).stdout(Stdio::piped());
        let mut shell = shell.spawn().expect("there is a shell");
        let (done, said) = (Arc::new(AtomicUsize::new(0)), shell.stdout.take().expect("piped"));
        let count = done.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(said).lines().map_while(Result::ok) {
                count.store(line.parse().expect("a number"), SeqCst);
            }
        });
        Self { shell, done }
    }

    /// Waits until some more are written.
    async fn goes_on(&mut self) {
        let wanted = self.done.load(SeqCst) + SOME;
        until("files are written", async || {
            let ended = self.shell.try_wait().expect("it is a child");
            assert!(ended.is_none(), "a call failed, or a byte is wrong");
            self.done.load(SeqCst) >= wanted
        })
        .await;
    }

    /// Ends; how many files there are.
    fn finish(&mut self) -> usize {
        self.shell.kill().expect("it runs");
        self.shell.wait().expect("it is a child");
        self.done.load(SeqCst)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_machines_go_on_while_one_is_cut_off() {
    if !can_be("three_machines_go_on_while_one_is_cut_off") {
        return;
    }
    let mut machines = Machines::start().await;
    let mount = machines.cluster.top().path().join("mount");
    machines.must(SERVERS, &["mount", &mount.to_string_lossy()]);
    let mut writer = Writer::start(&mount, &machines.cluster);
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
    let mut reader = Command::new("sh");
    reader.args(["-c", READER, "reader"]).arg(&mount).arg(written.to_string());
    succeeded(&reader.output().expect("there is a shell"));
    machines.must(SERVERS, &["umount", &mount.to_string_lossy()]);
    machines.must(SERVERS, &["check", "ember:/"]);
    let ids: Vec<_> = machines.servers.iter().map(|server| server.id().to_string()).collect();
    assert!(Command::new("kill").args(ids).status().expect("there is a kill").success());
    for server in &mut machines.servers {
        assert!(server.wait().expect("it is a child").success());
    }
}
