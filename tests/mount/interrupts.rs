//! Whoever waits for a cluster that does not answer can be killed, and interrupted.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

use emberfs_tests::process::has_stopped;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use crate::local::LocalCluster;
use crate::mounted::{Mounted, cluster, until};

/// What is at the servers before they hang.
const KEPT: &[u8] = b"kept";

/// All servers hang, until this is dropped. Meanwhile this process must have no file of the mount open: what it starts
/// would close it first.
struct Hung(Vec<Pid>);

impl Hung {
    fn new(cluster: &LocalCluster) -> Self {
        let number = |server: &String| cluster.process(server).expect("it runs");
        let hung = Self(cluster.servers().iter().map(|server| process(number(server))).collect());
        hung.signal(Signal::STOP);
        // Each thread for itself, and a busy machine may run one of them a while longer.
        until("they hang", || hung.0.iter().all(|server| has_stopped(*server)));
        hung
    }

    /// By nobody who would have to be started.
    fn signal(&self, signal: Signal) {
        self.0.iter().for_each(|server| kill_process(*server, signal).expect("it runs"));
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        self.signal(Signal::CONT);
    }
}

fn process(number: u32) -> Pid {
    Pid::from_raw(number.try_into().expect("a process number")).expect("not 0")
}

/// A program in the mount that has prepared itself, and goes on when it is told so.
struct Program {
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
}

impl Program {
    /// Python, which prints a line when it is ready and reads one before it goes on.
    fn python(mount: &Mounted, prepare: &str, then: &str) -> Self {
        let wait = "print('ready', flush=True); sys.stdin.readline()";
        let script = format!("{PRELUDE}\n{prepare}\n{wait}\n{then}\n");
        let mut program = Self::start(&mount.path(), "python3", &["-c", &script]);
        assert_eq!(program.line(), "ready");
        program
    }

    fn start(directory: &Path, name: &str, words: &[&str]) -> Self {
        let mut command = Command::new(name);
        command.args(words).current_dir(directory);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let from = BufReader::new(child.stdout.take().expect("it is piped"));
        let to = child.stdin.take();
        Self { child, to, from }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.from.read_line(&mut line).expect("text");
        line.trim_end().to_owned()
    }

    /// Tells it something, which is all that it is told.
    fn tell(&mut self, text: &str) {
        let mut to = self.to.take().expect("once");
        to.write_all(text.as_bytes()).expect("it listens");
    }

    /// Waits until it waits for the mount.
    fn waits(&self) {
        let [place, status] =
            ["wchan", "status"].map(|file| format!("/proc/{}/{file}", self.child.id()));
        let waits = || {
            let status = fs::read_to_string(&status).expect("it is a child");
            assert!(!status.contains("\nState:\tZ"), "it has ended: {status}");
            let place = fs::read_to_string(&place).unwrap_or_default();
            ["fuse", "request_wait_answer", "folio_wait"].iter().any(|word| place.contains(word))
        };
        until("it waits for the mount", waits);
    }

    /// Waits until it waits for the mount before it is another program: its memory is new, and empty. What `waits`
    /// looks at would wait with it.
    fn waits_to_become_another(&self) {
        let place = format!("/proc/{}/status", self.child.id());
        let is_empty_and_waits = || {
            let status = fs::read_to_string(&place).unwrap_or_default();
            let mut words = status.lines().map(str::split_whitespace);
            let mut has = |name, value| {
                words.any(|mut line| (line.next(), line.next()) == (Some(name), Some(value)))
            };
            has("State:", "S") && has("VmExe:", "0")
        };
        until("it is about to be another program", is_empty_and_waits);
    }

    /// Kills it, which must end it though the cluster hangs.
    fn kill(mut self) {
        self.child.kill().expect("it is a child");
        let ended = self.ends();
        assert_eq!(ended.signal(), Some(9), "{ended}");
    }

    fn ends(&mut self) -> ExitStatus {
        let number = self.child.id();
        // Its parent is told only when it has closed all.
        let stat = format!("/proc/{number}/stat");
        let is_gone = || {
            let stat = fs::read_to_string(&stat).unwrap_or_default();
            stat.rsplit_once(") ").is_none_or(|(_, behind)| behind.starts_with(['Z', 'X']))
        };
        until("it is gone", is_gone);
        self.child.wait().expect("it is a child")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // One that has ended is as dead as it should be. One that cannot be killed ends when the cluster goes on.
        let _ended = self.child.kill();
    }
}

/// `call` makes a call of C's library, and says its errno; `interrupted` does while somebody sends it a signal.
const PRELUDE: &str = "
import ctypes, mmap, os, signal, sys, threading
libc = ctypes.CDLL(None, use_errno=True)
for number in [signal.SIGALRM, signal.SIGUSR1]:
    signal.signal(number, lambda *_: None)
def call(name, *arguments):
    done = getattr(libc, name)(*arguments)
    print(name, ctypes.get_errno() if done == -1 else 'done', flush=True)
def interrupted(*call_and_arguments):
    main = threading.get_ident()
    threading.Timer(0.1, signal.pthread_kill, [main, signal.SIGUSR1]).start()
    call(*call_and_arguments)
";

/// A cluster, a mount of it, and a file that all servers have.
fn start(test: &str, programs: &[&str]) -> Option<(LocalCluster, Mounted)> {
    let cluster = cluster(test, programs)?;
    let mount = Mounted::start(&cluster, "");
    fs::write(mount.at("kept"), KEPT).expect("written");
    Some((cluster, mount))
}

/// All is there that was acknowledged, and no file stays open.
fn goes_on(cluster: &LocalCluster, mount: Mounted) {
    assert_eq!(fs::read(mount.at("kept")).expect("it goes on"), KEPT);
    let clients = || cluster.must(&["client", "list", "--json"]);
    let is_closed = |line: &str| !line.contains("open_for_writing") || line.contains(": 0");
    until("what was opened in vain is closed", || clients().lines().all(is_closed));
    mount.leave();
    assert_eq!(cluster.emberfs(&["cat", "ember:/kept"]).stdout, KEPT);
    cluster.down();
}

#[test]
fn who_waits_for_a_cluster_that_hangs_can_be_killed() {
    let test = "who_waits_for_a_cluster_that_hangs_can_be_killed";
    let Some((cluster, mount)) = start(test, &["python3", "stat", "cat", "touch", "ls"]) else {
        return;
    };
    // What is gathered leaves by itself after a while: so it is written when they hang.
    let open = |name: &str| format!("f = os.open('{name}', os.O_CREAT | os.O_WRONLY)");
    let dirty =
        |then: &str| format!("os.write(f, b'x' * 1000); print('gathered', flush=True); {then}");
    let syncs = Program::python(&mount, &open("synced"), &dirty("os.fsync(f)"));
    let closes = Program::python(&mount, &open("closed"), &dirty("os.close(f)"));
    // It closes its file when it is dead.
    let dies_dirty = Program::python(&mount, &open("dirty"), &dirty("os.stat('kept')"));
    // It closes its file before it is another program, and nobody must look at it meanwhile.
    let then = dirty("os.execvp('true', ['true'])");
    let mut execs = Program::python(&mount, &open("inherited"), &then);
    let reads = Program::python(&mount, "f = open('kept', 'rb')", "f.read()");
    let direct = "f = os.open('kept', os.O_RDONLY | os.O_DIRECT)";
    let reads_direct = Program::python(&mount, direct, "os.read(f, 4096)");
    let through = "f = os.open('through', os.O_CREAT | os.O_WRONLY | os.O_DSYNC)";
    let writes = Program::python(&mount, through, "os.write(f, b'x')");
    let hung = Hung::new(&cluster);
    for (name, path) in [("stat", "kept"), ("cat", "kept"), ("touch", "new"), ("ls", "")] {
        // Whoever starts a program waits until it is in its directory.
        let path = mount.at(path).display().to_string();
        let program = Program::start(Path::new("/"), name, &[&path]);
        program.waits();
        program.kill();
    }
    execs.tell("\n");
    assert_eq!(execs.line(), "gathered");
    execs.waits_to_become_another();
    execs.kill();
    for mut program in [syncs, closes, dies_dirty] {
        program.tell("\n");
        assert_eq!(program.line(), "gathered");
        program.waits();
        program.kill();
    }
    for mut program in [reads, reads_direct, writes] {
        program.tell("\n");
        program.waits();
        program.kill();
    }
    drop(hung);
    // What the dead had gathered is kept, and written.
    for name in ["synced", "closed", "dirty", "inherited"] {
        until(&format!("the bytes of {name} are at the servers"), || {
            cluster.emberfs(&["cat", &format!("ember:/{name}")]).stdout == vec![b'x'; 1000]
        });
    }
    goes_on(&cluster, mount);
}

#[test]
fn another_signal_ends_a_call_and_bytes_that_were_gathered_stay() {
    let test = "another_signal_ends_a_call_and_bytes_that_were_gathered_stay";
    let Some((cluster, mount)) = start(test, &["python3"]) else { return };
    let prepare = "
f, g = [os.open(name, os.O_CREAT | os.O_RDWR) for name in ['f', 'g']]
through = os.open('through', os.O_CREAT | os.O_WRONLY | os.O_DSYNC)
";
    let calls = "
os.write(f, b'synced later')
os.write(g, b'closed')
interrupted('access', b'kept', 0)
interrupted('open', b'kept', os.O_RDONLY)
interrupted('open', b'new', os.O_WRONLY | os.O_CREAT, 0o644)
interrupted('mkdir', b'made', 0o755)
interrupted('write', through, b'x', 1)
interrupted('fsync', f)
interrupted('close', g)
print('end', flush=True)
";
    let mut program = Program::python(&mount, prepare, calls);
    let hung = Hung::new(&cluster);
    program.tell("\n");
    let interrupted = |name: &str| format!("{name} {}", Errno::INTR.raw_os_error());
    for name in ["access", "open", "open", "mkdir", "write", "fsync", "close"] {
        assert_eq!(program.line(), interrupted(name));
    }
    assert_eq!(program.line(), "end");
    drop(hung);
    assert!(program.ends().success());
    for (name, bytes) in [("f", "synced later"), ("g", "closed")] {
        assert_eq!(fs::read_to_string(mount.at(name)).expect("there"), bytes);
    }
    goes_on(&cluster, mount);
}

/// After EINTR a program does it again, and an append would stand twice.
#[test]
fn a_signal_that_is_survived_ends_no_change() {
    let test = "a_signal_that_is_survived_ends_no_change";
    let Some((cluster, mount)) = start(test, &["python3"]) else { return };
    let prepare = "
a = os.open('appended', os.O_CREAT | os.O_WRONLY | os.O_APPEND)
os.write(a, b'1')
h = os.open('cut', os.O_CREAT | os.O_RDWR)
";
    let changes = [
        ("ftruncate", "interrupted('ftruncate', h, ctypes.c_long(10))"),
        ("write", "interrupted('write', a, b'2', 1)"),
        ("open", "interrupted('open', b'/proc/self/fd/%d' % h, os.O_WRONLY)"),
    ];
    let ticks = "threading.Timer(1, lambda: print('ticked', flush=True)).start()";
    let mut programs =
        changes.map(|(_, change)| Program::python(&mount, prepare, &format!("{ticks}\n{change}")));
    let hung = Hung::new(&cluster);
    for program in &mut programs {
        program.tell("\n");
        assert_eq!(program.line(), "ticked", "the signal would have ended it long ago");
    }
    drop(hung);
    for (mut program, (name, _)) in programs.into_iter().zip(changes) {
        assert_eq!(program.line(), format!("{name} done"));
        assert!(program.ends().success());
    }
    assert_eq!(fs::read(mount.at("appended")).expect("there"), b"1112");
    assert_eq!(fs::metadata(mount.at("cut")).expect("there").len(), 10);
    goes_on(&cluster, mount);
}

/// A job that is killed while it cuts a file, and started again.
#[test]
fn what_the_dead_had_wanted_is_done_before_what_comes_later() {
    let test = "what_the_dead_had_wanted_is_done_before_what_comes_later";
    let Some((cluster, mount)) = start(test, &["python3"]) else { return };
    for how in ["os.O_WRONLY", "os.O_CREAT | os.O_TRUNC | os.O_WRONLY"] {
        fs::write(mount.at("checkpoint"), b"old").expect("written");
        let open = "f = os.open('checkpoint', os.O_RDWR)";
        let mut killed = Program::python(&mount, open, "os.ftruncate(f, 1)");
        let again = format!(
            "f = os.open('checkpoint', {how})\nos.write(f, b'newer')\nos.fsync(f)\nprint('synced', flush=True)"
        );
        let mut again = Program::python(&mount, "", &again);
        let hung = Hung::new(&cluster);
        killed.tell("\n");
        killed.waits();
        killed.kill();
        again.tell("\n");
        again.waits();
        drop(hung);
        assert_eq!(again.line(), "synced");
        assert!(again.ends().success());
        assert_eq!(fs::read(mount.at("checkpoint")).expect("it was synced"), b"newer", "{how}");
    }
    goes_on(&cluster, mount);
}

/// As `git` has one for its progress: it takes EINTR for a failure.
#[test]
fn a_timer_ends_no_call_that_a_server_delays() {
    let test = "a_timer_ends_no_call_that_a_server_delays";
    let Some((cluster, mount)) = start(test, &["python3"]) else { return };
    let prepare = "f = os.open('f', os.O_CREAT | os.O_WRONLY)";
    let calls = "
os.write(f, b'synced')
signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
threading.Timer(1, lambda: print('ticked', flush=True)).start()
call('fsync', f)
call('access', b'kept', 0)
# What comes when Python has put its handlers away would kill it.
signal.setitimer(signal.ITIMER_REAL, 0)
";
    let mut program = Program::python(&mount, prepare, calls);
    let hung = Hung::new(&cluster);
    program.tell("\n");
    assert_eq!(program.line(), "ticked");
    program.waits();
    drop(hung);
    assert_eq!(program.line(), "fsync done");
    assert_eq!(program.line(), "access done");
    assert!(program.ends().success());
    goes_on(&cluster, mount);
}

/// It would die of SIGBUS, or hear EFAULT of the call that it hands the page to.
#[test]
fn a_signal_takes_no_page_of_a_map_away() {
    let test = "a_signal_takes_no_page_of_a_map_away";
    let Some((cluster, mount)) = start(test, &["python3"]) else { return };
    // A map of a file without a cache has pages all the same. It is the kernel that touches them: who does it by itself
    // handles the signal first, and tries again. Each has a file of its own, or one would wait for the other's page.
    let open = |(name, flags): (&str, &str)| {
        fs::write(mount.at(name), KEPT).expect("written");
        let prepare = format!(
            "
f = os.open('{name}', os.O_RDONLY{flags})
m = mmap.mmap(f, 4, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
m.madvise(mmap.MADV_RANDOM)
"
        );
        Program::python(&mount, &prepare, "os.write(1, m)\nprint(flush=True)")
    };
    let programs = [("lives", ""), ("dies", ""), ("direct", " | os.O_DIRECT")];
    let [mut lives, mut dies, mut direct] = programs.map(open);
    let prepare =
        "f = os.open('kept', os.O_RDONLY | os.O_DIRECT); b = ctypes.create_string_buffer(4)";
    let call = "interrupted('read', f, b, 4)\n".repeat(3);
    let mut reads = Program::python(&mount, prepare, &call);
    let hung = Hung::new(&cluster);
    for program in [&mut lives, &mut dies, &mut direct] {
        program.tell("\n");
        program.waits();
    }
    for lives in [&lives, &direct] {
        kill_process(process(lives.child.id()), Signal::USR1).expect("it runs");
    }
    dies.kill();
    // Whose signals come later, and end its calls: those above would have done as much by then, also as often as the
    // kernel asks again.
    reads.tell("\n");
    for _ in 0..3 {
        assert_eq!(reads.line(), format!("read {}", Errno::INTR.raw_os_error()));
    }
    assert!(reads.ends().success());
    let mut alive = [lives, direct];
    for lives in &mut alive {
        assert_eq!(lives.child.try_wait().expect("it is a child"), None);
    }
    drop(hung);
    for mut lives in alive {
        assert_eq!(lives.line(), "kept");
        assert!(lives.ends().success());
    }
    goes_on(&cluster, mount);
}

/// What an interrupted write may still do stands before what is written after it.
#[test]
fn an_interrupted_write_comes_before_what_is_written_later() {
    let test = "an_interrupted_write_comes_before_what_is_written_later";
    let Some((cluster, mount)) = start(test, &["python3"]) else { return };
    let prepare = "
f = os.open('f', os.O_CREAT | os.O_WRONLY | os.O_DSYNC)
os.write(f, b'0' * 1000)
g = os.open('f', os.O_WRONLY)
";
    let then = "
interrupted('pwrite', f, b'1' * 1000, 1000, ctypes.c_long(0))
os.pwrite(g, b'2' * 500, 0)
print('gathered', flush=True)
os.fsync(g)
print('synced', flush=True)
";
    let mut program = Program::python(&mount, prepare, then);
    let hung = Hung::new(&cluster);
    program.tell("\n");
    assert_eq!(program.line(), "pwrite 4");
    assert_eq!(program.line(), "gathered");
    program.waits();
    drop(hung);
    assert_eq!(program.line(), "synced");
    assert!(program.ends().success());
    let read = fs::read(mount.at("f")).expect("there");
    assert!(read[..500] == [b'2'; 500], "{}", String::from_utf8_lossy(&read));
    goes_on(&cluster, mount);
}
