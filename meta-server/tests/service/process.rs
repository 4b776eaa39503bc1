//! The binary: formatted, started, asked to stop, started again.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use emberfs_layout::ClusterId;
use rustix::process::{Pid, Signal, kill_process};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_emberfs-meta");

/// A running member; killed if a test fails before its end.
pub(crate) struct Running {
    child: Child,
    /// Held open: what it says goes nowhere, but does go.
    lines: BufReader<ChildStderr>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    /// Started, and past the line that says that it `does` something.
    pub(crate) fn until(config: &Path, does: &str) -> Self {
        let mut child = Command::new(BINARY)
            .arg("--config")
            .arg(config)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary");
        let lines = BufReader::new(child.stderr.take().expect("piped"));
        let mut running = Self { child, lines };
        let mut seen = String::new();
        while running.lines.read_line(&mut seen).expect("text") > 0 {
            if seen.contains(does) {
                return running;
            }
        }
        panic!("it did not start: {seen}");
    }

    /// Started, and past the line that says that it leads.
    fn new(config: &Path) -> Self {
        Self::until(config, "leading")
    }

    /// Ended without a word.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    fn stop(mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process");
        kill_process(pid, Signal::TERM).expect("it runs");
        let status = self.child.wait().expect("it ends");
        assert!(status.success(), "{status}");
    }
}

#[test]
fn the_binary_formats_starts_and_stops() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let config = directory.path().join("meta.toml");
    let data = directory.path().join("data");
    let text = format!("directory = {:?}\nlisten = [\"127.0.0.1:0\"]\n", data.display());
    std::fs::write(&config, text).expect("written");
    let run = |arguments: &[&str]| {
        Command::new(BINARY).args(arguments).arg("--config").arg(&config).output().expect("it runs")
    };

    let early = run(&[]);
    let said = String::from_utf8_lossy(&early.stderr);
    assert!(!early.status.success() && said.contains("not formatted"), "{said}");

    let formatted = run(&["format"]);
    assert!(formatted.status.success());
    let printed = String::from_utf8(formatted.stdout).expect("text");
    printed.trim().parse::<ClusterId>().expect("the cluster's id");
    let again = run(&["format"]);
    let said = String::from_utf8_lossy(&again.stderr);
    assert!(!again.status.success() && said.contains("formatted already"), "{said}");

    let first = Running::new(&config);
    let second = run(&[]);
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(!second.status.success() && said.contains("in use"), "{said}");
    first.stop();
    Running::new(&config).stop();
}

/// What a start refuses, and can be known without the directory, is refused by the check in the same words.
#[test]
fn a_configuration_is_checked_as_a_start_checks_it() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("meta.toml");
    let data = directory.path().join("data");
    let run = |arguments: &[&str]| {
        Command::new(BINARY).args(arguments).arg(&file).output().expect("it runs")
    };
    let text = |listen: &str| format!("directory = {data:?}\nlisten = [{listen}]\n");
    let least = text("\"127.0.0.1:0\"");
    std::fs::write(&file, &least).expect("written");
    assert!(run(&["config"]).status.success());
    for (text, words) in [
        (text("\"192.0.2.1:7000\""), "listen: 192.0.2.1:7000 can be reached from other machines"),
        (text("\"[::1]:7000\", \"[::1]:7000\""), "listen: [::1]:7000 stands there twice"),
        (format!("{least}[log]\nlevel = \"loud\"\n"), "log.level: `loud` is none of off, error,"),
        (format!("{least}[log]\nfile = \"\"\n"), "log.file: empty"),
    ] {
        std::fs::write(&file, &text).expect("written");
        let (checked, started) = (run(&["config"]), run(&["--config"]));
        let said = String::from_utf8_lossy(&checked.stderr);
        assert_eq!((checked.status.code(), started.status.code()), (Some(1), Some(1)), "{said}");
        assert!(said.contains(words), "{said}");
        assert_eq!(checked.stderr, started.stderr, "{said}");
    }
    assert!(!data.exists(), "nothing was made");
}

#[test]
fn wrong_usage_has_a_status_of_its_own() {
    for wrong in [&[][..], &["--no-such-flag"], &["format"], &["config"]] {
        let output = Command::new(BINARY).args(wrong).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{wrong:?}: {said}");
        assert!(said.contains("emberfs-meta"), "{wrong:?}: {said}");
    }
}

#[test]
fn the_help_of_format_teaches_how_a_group_is_made() {
    let output = Command::new(BINARY).args(["format", "--help"]).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    for words in [
        "the others with `--cluster ID`",
        "may be formatted anew",
        "One at a time",
        "prints its id",
    ] {
        assert!(said.contains(words), "{said}");
    }
}
