//! A lossy disk: its process, and its power switch.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A mounted one, unmounted and gone when it is dropped.
#[derive(Debug)]
pub(crate) struct LossyDisk {
    path: PathBuf,
    process: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// Whether there can be any; else says that the test is skipped.
pub(crate) fn can_be(test: &str) -> bool {
    let possible = Path::new("/dev/fuse").exists();
    if !possible {
        println!("skipped: {test}: no /dev/fuse");
    }
    possible
}

impl LossyDisk {
    /// Mounts an empty one at a directory, which is made.
    pub(crate) fn mount(path: &Path) -> Self {
        std::fs::create_dir_all(path).expect("a directory");
        let (above, name) = (path.parent().expect("not the root"), path.file_name());
        let mut command = Command::new(env!("CARGO_BIN_EXE_lossy-disk"));
        // By its name alone: whoever kills a cluster's processes knows them by the cluster's path. And in a group
        // of its own: what interrupts the test lets it end in order.
        command.arg(name.expect("a name")).current_dir(above).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("it starts");
        let (orders, answers) = (process.stdin.take(), process.stdout.take());
        let answers = BufReader::new(answers.expect("piped"));
        let mut disk = Self { path: path.to_owned(), process, orders, answers };
        disk.hear("mounted");
        disk
    }

    /// All that was not synced is lost; with a seed, a part of it survives. Every call fails from now on.
    pub(crate) fn power_off(&mut self, seed: Option<u64>) {
        self.order(&seed.map_or_else(|| "off".to_owned(), |seed| format!("off {seed}")));
    }

    pub(crate) fn power_on(&mut self) {
        self.order("on");
    }

    fn order(&mut self, order: &str) {
        let orders = self.orders.as_mut().expect("until it is dropped");
        writeln!(orders, "{order}").expect("it listens");
        self.hear(order);
    }

    fn hear(&mut self, expected: &str) {
        let mut said = String::new();
        self.answers.read_line(&mut said).expect("it speaks");
        assert_eq!(said.trim_end(), expected, "the lossy disk at {}", self.path.display());
    }
}

impl Drop for LossyDisk {
    fn drop(&mut self) {
        // At the end of its orders it unmounts and ends.
        self.orders = None;
        let _ended = self.process.wait();
        // Only if it died before: else nothing is mounted there any more.
        let _unmounted =
            Command::new("fusermount3").args(["-u", "-z", "-q", "--"]).arg(&self.path).output();
    }
}
