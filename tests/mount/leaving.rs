//! Mounts that end while bytes cannot be written: they wait, and say for what; nothing is lost unless somebody
//! says so.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::SystemTime;

use emberfs_client::OpenOptions;
use emberfs_layout::{ChunkIndex, ChunkVersion};
use emberfs_tests::replicas::Replicas;
use rustix::io::Errno;

use crate::local::LocalCluster;
use crate::mounted::{Mounted, SHAPE, cluster, has, refused, until, words};

static BYTES: [u8; 100_000] = [b'0'; 100_000];

/// What the daemon says of [`BYTES`], and what the commands say of it.
const STILL: &str = "still writing 1 file, 100000 bytes: chain-";
const STILL_WRITES: &str = "still writes 1 file, 100000 bytes: chain-";

/// A mount with an open file whose bytes cannot be written, as the only server hangs.
struct Stuck {
    /// Gone first, where a test fails: before that the file could not be closed.
    mount: Mounted,
    _holder: Holder,
    cluster: LocalCluster,
}

/// Who has written the file and holds it open: a process that starts no other. For each one that is started beside
/// an open file closes it, and so waits; and until it has, whoever asks for its command line waits too.
struct Holder(Child);

impl Holder {
    fn start(path: &Path) -> Self {
        Self::start_with(path, BYTES.len())
    }

    /// The same, with so many bytes.
    fn start_with(path: &Path, len: usize) -> Self {
        let script = "open F, '>', shift or die; syswrite(F, '0' x shift) or die; syswrite STDOUT, qq(held\\n); <STDIN>";
        let mut perl = Command::new("perl");
        perl.args(["-e", script]).arg(path).arg(len.to_string());
        perl.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = perl.spawn().expect("Debian's base has it");
        let mut said = String::new();
        let out = child.stdout.take().expect("it is piped");
        BufReader::new(out).read_line(&mut said).expect("it says something or ends");
        assert_eq!(said, "held\n");
        Self(child)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        self.0.wait().expect("it is a child");
    }
}

impl Stuck {
    /// It waits for longer than a test does, but not for ever: a process that is killed in a call that nobody
    /// ever answers never ends.
    fn start(test: &str) -> Option<Self> {
        let cluster = cluster(test, &[])?;
        let mount = Mounted::start(&cluster, "deadline=90");
        fs::create_dir(mount.at("d")).expect("made");
        cluster.signal("storage-1", "STOP");
        let holder = Holder::start(&mount.at("d/f"));
        Some(Self { mount, _holder: holder, cluster })
    }

    /// The same, and the mount was asked to end.
    fn ending(test: &str) -> Option<Self> {
        let stuck = Self::start(test)?;
        stuck.mount.signal("TERM");
        until("it says what it waits for", || stuck.mount.log().contains(STILL));
        assert!(!stuck.mount.at("d").exists(), "nobody finds files by it any more");
        Some(stuck)
    }

    /// Where it is mounted.
    fn path(&self) -> String {
        self.mount.path().display().to_string()
    }

    /// How the daemon ended, if it has.
    fn ended(&mut self) -> Option<ExitStatus> {
        self.mount.ended()
    }

    /// All that was written is there, and the daemon gone.
    fn arrived(mut self) {
        assert!(self.ended().expect("the daemon is gone").success());
        arrived(&self.cluster);
        self.cluster.down();
    }
}

/// Who still has something open may change no more: the end would not come while somebody does.
#[test]
fn a_mount_that_ends_changes_no_attributes() {
    let Some(stuck) = Stuck::start("a_mount_that_ends_changes_no_attributes") else { return };
    // Of a directory: a file's closing would wait for its bytes.
    let held = File::open(stuck.mount.at("d")).expect("there");
    held.set_modified(SystemTime::UNIX_EPOCH).expect("it is mounted");
    stuck.mount.signal("TERM");
    until("it says what it waits for", || stuck.mount.log().contains(STILL));
    let late = held.set_modified(SystemTime::now());
    refused(late, Errno::NOTCONN.raw_os_error());
    drop(held);
    stuck.cluster.signal("storage-1", "CONT");
    let mut mount = stuck.mount;
    assert!(mount.wait().success(), "{}", mount.log());
    stuck.cluster.down();
}

/// Waits until a mount's daemon has ended before all was written, and has logged these words in one line.
#[track_caller]
fn gives_up(mount: &mut Mounted, words: &[&str]) {
    let (code, log) = (mount.wait().code(), mount.log());
    assert_eq!(code, Some(75), "{log}");
    let said = |line: &str| words.iter().all(|word| line.contains(word));
    assert!(log.lines().any(said), "{words:?}: {log}");
}

/// The server that hung goes on, and all is stopped.
fn end(cluster: &LocalCluster) {
    cluster.signal("storage-1", "CONT");
    cluster.up();
    cluster.down();
}

/// Writes the bytes, and waits for them in vain.
#[track_caller]
fn times_out(file: &mut File) {
    file.write_all(&BYTES).expect("gathered");
    refused(file.sync_all(), Errno::TIMEDOUT.raw_os_error());
}

/// The bytes, by the native client.
fn arrived(cluster: &LocalCluster) {
    let cat = cluster.emberfs(&["cat", "ember:/d/f"]);
    assert!(cat.status.success() && cat.stdout == BYTES, "{} bytes", cat.stdout.len());
}

fn fails(cluster: &LocalCluster, command: &[&str], said: &[&str]) {
    let output = cluster.emberfs(command);
    assert_eq!(output.status.code(), Some(1), "{}", words(&output));
    for word in said {
        assert!(words(&output).contains(word), "{word}: {}", words(&output));
    }
}

#[test]
fn a_second_signal_gives_up_what_waits_and_names_it() {
    let test = "a_second_signal_gives_up_what_waits_and_names_it";
    let Some(mut stuck) = Stuck::ending(test) else { return };
    assert_eq!(stuck.ended(), None);
    stuck.mount.signal("INT");
    let lost = ["told to give up (SIGINT) before all was written", "lost: d/f [", "(100000 bytes)"];
    gives_up(&mut stuck.mount, &lost);
    end(&stuck.cluster);
}

#[test]
fn a_deadline_gives_up_what_waits() {
    let Some(cluster) = cluster("a_deadline_gives_up_what_waits", &[]) else { return };
    // It binds all other calls too, on a machine that has much else to do.
    let mut mount = Mounted::start(&cluster, "deadline=5");
    let mut file = File::create_new(mount.at("f")).expect("made");
    cluster.signal("storage-1", "STOP");
    times_out(&mut file);
    mount.signal("TERM");
    gives_up(&mut mount, &["nothing got on for 5 s before all was"]);
    end(&cluster);
}

/// It hears that the daemon will not wait for as long as it takes, and then what is lost.
#[test]
fn who_unmounts_is_told_of_the_deadline() {
    let Some(cluster) = cluster("who_unmounts_is_told_of_the_deadline", &[]) else { return };
    let mut mount = Mounted::start(&cluster, "deadline=5");
    fs::create_dir(mount.at("d")).expect("made");
    cluster.signal("storage-1", "STOP");
    let _holder = Holder::start(&mount.at("d/f"));
    let path = mount.path().display().to_string();
    let end = "It gives up once nothing gets on for 5 s (-o deadline): then 1 file loses what is unwritten";
    let umount = ["umount", "--force", "--timeout", "60", &path];
    fails(&cluster, &umount, &[STILL_WRITES, end, "nothing got on for 5 s", "lost: d/f ["]);
    gives_up(&mut mount, &["nothing got on for 5 s before all was"]);
    assert!(mount.log().contains("gives up once nothing gets on for 5 s"), "{}", mount.log());
    self::end(&cluster);
}

#[test]
fn who_unmounts_waits_until_all_is_written() {
    let Some(stuck) = Stuck::start("who_unmounts_waits_until_all_is_written") else { return };
    let (cluster, path) = (&stuck.cluster, stuck.path());
    fails(cluster, &["umount", &path], &["busy", "--force"]);
    let output = std::thread::scope(|scope| {
        let umount = scope.spawn(|| cluster.emberfs(&["umount", "--force", &path]));
        until("it waits", || stuck.mount.log().contains(STILL));
        assert!(!umount.is_finished());
        cluster.signal("storage-1", "CONT");
        umount.join().expect("no panic")
    });
    assert!(output.status.success(), "{}", words(&output));
    assert!(words(&output).contains(STILL_WRITES), "{}", words(&output));
    stuck.arrived();
}

#[test]
fn nobody_stops_servers_while_a_mount_needs_them() {
    let test = "nobody_stops_servers_while_a_mount_needs_them";
    let Some(mut stuck) = Stuck::ending(test) else { return };
    let (path, directory) = (stuck.path(), stuck.cluster.directory().display().to_string());
    let umount = ["umount", "--timeout", "1", &path];
    fails(&stuck.cluster, &umount, &[STILL_WRITES, "umount", "--force"]);
    let force = format!("down --dir {directory} --force");
    let down = ["down", "--timeout", "1", "--dir", &directory];
    fails(&stuck.cluster, &down, &["nothing is stopped", STILL_WRITES, &force]);
    assert_eq!((stuck.ended(), stuck.cluster.process("meta-1").is_some()), (None, true));
    stuck.cluster.signal("storage-1", "CONT");
    stuck.cluster.must(&["umount", &path]);
    stuck.arrived();
}

#[test]
fn force_gives_up_what_waits_and_says_what() {
    let Some(mut stuck) = Stuck::start("force_gives_up_what_waits_and_says_what") else { return };
    let path = stuck.path();
    let umount = ["umount", "--force", "--timeout", "1", &path];
    let lost = ["before all was written", "lost: d/f [", "(100000 bytes)"];
    fails(&stuck.cluster, &umount, &lost);
    assert_eq!(stuck.ended().and_then(|status| status.code()), Some(75));
    let clients = || stuck.cluster.must(&["client", "list", "--json"]);
    until("its session is ended", || !clients().contains(&path));
    let log = stuck.mount.log();
    assert!(!log.contains("heard the good-bye"), "not by itself, some time later: {log}");
    end(&stuck.cluster);
}

/// What becomes of one is said beside what becomes of the other.
#[test]
fn down_gives_up_all_that_wait_at_once() {
    let Some(mut stuck) = Stuck::ending("down_gives_up_all_that_wait_at_once") else { return };
    let mount = Mounted::start(&stuck.cluster, "deadline=90");
    let holder = Holder::start(&mount.at("d/g"));
    // Gone in this order, where a test fails.
    let mut other = (mount, holder);
    other.0.signal("TERM");
    until("it says what it waits for", || other.0.log().contains(STILL));
    let directory = stuck.cluster.directory().display().to_string();
    let down = ["down", "--force", "--timeout", "1", "--dir", &directory];
    stops_with_losses(&stuck.cluster, &down, &[&stuck.mount, &other.0], &["d/f [", "d/g ["]);
    let ended = [stuck.ended(), other.0.ended()].map(|status| status.and_then(|s| s.code()));
    assert_eq!(ended, [Some(75); 2]);
}

/// Nobody has any more what a mount gave up by itself: it holds no server up.
#[test]
fn down_goes_on_once_a_deadline_gave_up() {
    let Some(cluster) = cluster("down_goes_on_once_a_deadline_gave_up", &[]) else { return };
    let mut mount = Mounted::start(&cluster, "deadline=20");
    fs::create_dir(mount.at("d")).expect("made");
    cluster.signal("storage-1", "STOP");
    let _holder = Holder::start(&mount.at("d/f"));
    mount.signal("TERM");
    until("it says what it waits for", || mount.log().contains(STILL));
    let directory = cluster.directory().display().to_string();
    let down = ["down", "--timeout", "60", "--dir", &directory];
    stops_with_losses(&cluster, &down, &[&mount], &["nothing got on for 20 s", "d/f ["]);
    gives_up(&mut mount, &["nothing got on for 20 s before all was"]);
}

/// Stops all of a cluster whose server hangs until these mounts have given up, says that these are lost, and fails.
#[track_caller]
fn stops_with_losses(cluster: &LocalCluster, down: &[&str], mounts: &[&Mounted], lost: &[&str]) {
    let output = std::thread::scope(|scope| {
        let down = scope.spawn(|| cluster.emberfs(down));
        for mount in mounts {
            until("it gives up", || mount.log().contains("lost: ") || down.is_finished());
        }
        cluster.signal("storage-1", "CONT");
        down.join().expect("no panic")
    });
    let said = words(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for words in lost.iter().chain(&["error: ", "lost: ", "brings it back, without what is lost"]) {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!(cluster.processes(), [], "{said}");
}

/// The deadline of who waits is not that of the bytes: they are on their way, and are sent once.
#[tokio::test]
async fn what_somebody_waited_for_in_vain_arrives_once() {
    let test = "what_somebody_waited_for_in_vain_arrives_once";
    let Some(cluster) = cluster(test, &[]) else { return };
    let mount = Mounted::start(&cluster, "deadline=5");
    let mut file = File::create_new(mount.at("f")).expect("made");
    file.write_all(&BYTES).expect("gathered");
    file.sync_all().expect("arrived, by a connection that stands from now on");
    cluster.signal("storage-1", "STOP");
    times_out(&mut file);
    refused(file.sync_all(), Errno::TIMEDOUT.raw_os_error());
    cluster.signal("storage-1", "CONT");
    until("it has arrived", || file.sync_all().is_ok());
    let client = cluster.client().await;
    let there = client.fs().open("f", &OpenOptions::new().read(true)).await.expect("there");
    let replicas = Replicas::connect(&client).await;
    let versions = replicas.versions(&there.attributes(), "storage-1").await;
    assert_eq!(versions, [ChunkVersion(2)]);
    drop(file);
    mount.leave();
    client.close().await.expect("said");
    cluster.down();
}

/// Of two servers one hangs: what the other has is not lost, and not waited for.
#[tokio::test]
async fn only_what_has_not_arrived_is_left() {
    const CHUNK: usize = 1 << 20;
    let test = "only_what_has_not_arrived_is_left";
    if !has(test, &[]) {
        return;
    }
    let cluster = LocalCluster::start(&["--storage", "2", "--disks", "1", "--replicas", "1"]);
    let client = cluster.client().await;
    let new = OpenOptions::new().write(true).create_new(true);
    let file = client.fs().open("f", &new).await.expect("made");
    let made = file.attributes();
    file.close().await.expect("closed");
    let (routing, count) = (client.routing(), 8);
    let stripe = routing.stripe(made.data.expect("a file").layout).expect("known");
    let hangs = (0..count).filter(|index| {
        let mut serving = routing.serving(stripe.chain_of(ChunkIndex(*index))).expect("known");
        let replica = serving.next().expect("one serves");
        routing.home(replica.target).expect("known").name == "storage-1"
    });
    let hangs = hangs.count();
    assert!(0 < hangs && hangs < count as usize, "both have some");
    let mut mount = Mounted::start(&cluster, "deadline=90");
    cluster.signal("storage-1", "STOP");
    let holder = Holder::start_with(&mount.at("f"), count as usize * CHUNK);
    mount.signal("TERM");
    let left = format!("still writing 1 file, {} bytes: chain-", hangs * CHUNK);
    until("it says what has not arrived", || mount.log().contains(&left));
    mount.signal("INT");
    gives_up(&mut mount, &[&format!("lost: f [{}] ({} bytes)", made.inode.0, hangs * CHUNK)]);
    drop(holder);
    cluster.signal("storage-1", "CONT");
    client.close().await.expect("said");
    cluster.up();
    cluster.down();
}

#[test]
fn down_loses_nothing_that_its_mount_has() {
    if !has("down_loses_nothing_that_its_mount_has", &[]) {
        return;
    }
    let mut cluster = LocalCluster::prepare(&SHAPE, &[]);
    let path = cluster.mount();
    cluster.up();
    let directory = cluster.directory().display().to_string();
    fs::create_dir(path.join("d")).expect("made");
    let mut file = File::create_new(path.join("d/f")).expect("made");
    file.write_all(&BYTES).expect("gathered");
    fails(&cluster, &["down", "--dir", &directory], &["nothing is stopped", "busy", "--force"]);
    let said = cluster.must(&["down", "--force", "--dir", &directory]);
    assert!(said.contains(&format!("`emberfs up --dir {directory}` brings it back")), "{said}");
    drop(file);
    cluster.up();
    arrived(&cluster);
    assert_eq!(fs::read(path.join("d/f")).expect("mounted again"), BYTES);
    cluster.down();
}
