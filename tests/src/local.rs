//! A local cluster in a directory of its own, stopped and gone when it is dropped or the test is killed.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use emberfs_client::{Client, ClientError, ClientOptions, Directory};
use emberfs_client_fuse_mounts::has_ended;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tempfile::TempDir;

use crate::scratch::{self, Scratch};

/// A cluster that `emberfs up` started.
pub struct LocalCluster {
    directory: Arc<Scratch>,
    shape: Vec<String>,
    /// Variables of all that is started, and their values.
    environment: Vec<(&'static str, String)>,
    /// Processes that were killed.
    dying: Mutex<Vec<OwnedFd>>,
}

impl LocalCluster {
    /// Starts one of this shape: arguments of `emberfs up`.
    pub fn start(shape: &[&str]) -> Self {
        let cluster = Self::prepare(shape, &[]);
        cluster.up();
        cluster
    }

    /// One that is not started yet; all of it will have these variables.
    pub fn prepare(shape: &[&str], environment: &[(&'static str, &str)]) -> Self {
        let directory = Arc::new(Scratch::new());
        let shape = shape.iter().map(|word| (*word).to_owned()).collect();
        let own = |(name, value): &(&'static str, &str)| (*name, (*value).to_owned());
        let environment = environment.iter().map(own).collect();
        Self { directory, shape, environment, dying: Mutex::default() }
    }

    /// Has `up` mount it too; where.
    pub fn mount(&mut self) -> PathBuf {
        let path = self.directory.path().join("mount");
        self.shape.extend(["--mount".to_owned(), path.to_string_lossy().into_owned()]);
        path
    }

    /// What it lies in, which stays for as long as this is held.
    pub fn top(&self) -> Arc<Scratch> {
        self.directory.clone()
    }

    /// A new directory, for what goes with the cluster.
    pub fn folder(&self) -> TempDir {
        tempfile::tempdir_in(self.directory.path()).expect("a temporary directory")
    }

    /// Where everything of it is.
    pub fn directory(&self) -> PathBuf {
        self.directory.path().join("cluster")
    }

    /// Starts what is missing, and waits until all is well.
    pub fn up(&self) {
        let directory = self.directory();
        let words = ["up", "--dir", &directory.to_string_lossy()];
        let shape = self.shape.iter().map(String::as_str);
        self.must(&words.into_iter().chain(shape).collect::<Vec<_>>());
    }

    /// Stops all of it.
    pub fn down(&self) {
        self.must(&["down", "--dir", &self.directory().to_string_lossy()]);
        assert_eq!(self.processes(), [], "down leaves nothing behind");
    }

    /// Runs `emberfs` with these arguments.
    pub fn emberfs(&self, words: &[&str]) -> Output {
        let mut command = self.command("emberfs");
        command.args(words);
        command.output().expect("emberfs starts")
    }

    /// A program that knows this cluster alone, with the variables of all that is started.
    pub fn command(&self, name: &str) -> Command {
        self.with_environment(program(name))
    }

    /// Any program, with the variables by which it is known to belong to this cluster.
    pub fn with_environment(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env(scratch::VARIABLE, self.config()).env_remove("EMBERFS_CLUSTER");
        command.envs(self.environment.iter().map(|(name, value)| (*name, value)));
        command.stdin(Stdio::null());
        command
    }

    /// Runs `emberfs`, which must succeed; what it printed.
    pub fn must(&self, words: &[&str]) -> String {
        let output = self.emberfs(words);
        let (said, why) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "emberfs {words:?}: {}\n{said}\n{why}", output.status);
        said
    }

    /// A session with it.
    pub async fn client(&self) -> Client {
        self.connect(&ClientOptions::default()).await.expect("it is up")
    }

    /// A session with it, if it answers.
    ///
    /// # Errors
    /// The client's.
    pub async fn connect(&self, options: &ClientOptions) -> Result<Client, ClientError> {
        let found = Directory::at(&self.config()).find(Some("local")).expect("`up` entered it");
        Client::connect(&found, options).await
    }

    /// Its processes now.
    pub fn processes(&self) -> Vec<u32> {
        let mark = self.directory().to_string_lossy().into_owned();
        let listed = std::fs::read_dir("/proc").expect("Linux").filter_map(Result::ok);
        let numbers = listed.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let ours = |number: &u32| {
            // By its name first: see `scratch::processes_of`.
            let of = |file| std::fs::read(format!("/proc/{number}/{file}")).unwrap_or_default();
            of("comm").starts_with(b"emberfs-") && text(&of("cmdline")).contains(&mark)
        };
        numbers.filter(ours).collect()
    }

    /// Kills all of them at once, and waits until they are gone.
    pub fn kill_all(&self) {
        let processes = self.processes();
        assert!(!processes.is_empty(), "there is something to kill");
        self.hold(&processes);
        kill(&processes);
        while !self.are_gone() {
            std::thread::yield_now();
        }
    }

    /// Processes that are about to be killed: whose one was it says no more then, while its ports and files are still
    /// its own.
    pub(crate) fn hold(&self, processes: &[u32]) {
        let held = |number: &u32| {
            let number = i32::try_from(*number).ok().and_then(Pid::from_raw).expect("a process");
            match pidfd_open(number, PidfdFlags::empty()) {
                Ok(process) => Some(process),
                // It has ended by itself meanwhile, and is gone.
                Err(Errno::SRCH) => None,
                Err(error) => panic!("process {}: {error}", number.as_raw_nonzero()),
            }
        };
        self.dying.lock().expect("no panic").extend(processes.iter().filter_map(held));
    }

    /// Whether all that were killed are gone.
    pub(crate) fn are_gone(&self) -> bool {
        let mut dying = self.dying.lock().expect("no panic");
        dying.retain(|process| !has_ended(process));
        dying.is_empty()
    }

    /// Where `up` enters it.
    pub fn config(&self) -> PathBuf {
        self.directory.path().join("config")
    }
}

impl Drop for LocalCluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.show_logs();
        }
        kill(&self.processes());
    }
}

impl LocalCluster {
    /// The end of every log: what a failed test leaves to read.
    fn show_logs(&self) {
        for folder in
            std::fs::read_dir(self.directory()).into_iter().flatten().filter_map(Result::ok)
        {
            for file in
                std::fs::read_dir(folder.path()).into_iter().flatten().filter_map(Result::ok)
            {
                let path = file.path();
                if path.extension().is_some_and(|end| end == "log") {
                    let said = std::fs::read_to_string(&path).unwrap_or_default();
                    let lines: Vec<&str> = said.lines().collect();
                    let end = lines[lines.len().saturating_sub(40)..].join("\n  ");
                    println!("{}:\n  {end}", path.display());
                }
            }
        }
    }
}

fn kill(processes: &[u32]) {
    for process in processes {
        // One that ended by itself meanwhile is as dead as it should be.
        let _ended = Command::new("kill").arg("-9").arg(process.to_string()).status();
    }
}

/// A program of the workspace, beside this test's own.
pub fn program(name: &str) -> PathBuf {
    let ours = std::env::current_exe().expect("a test has a path");
    let folder = ours.parent().and_then(Path::parent).expect("deps/ lies beside the programs");
    let program = folder.join(name);
    assert!(program.is_file(), "{name} is not built: `cargo build --release` first");
    program
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
