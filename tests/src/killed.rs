//! A test program that is killed half-way, and what must not be left of it.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::local::LocalCluster;
use crate::process::until;
use crate::scratch::processes_of;

/// Set for the program that is to be killed.
const VARIABLE: &str = "EMBERFS_TEST_IS_KILLED";
/// What it says when it has begun, before the place of its cluster.
const BEGUN: &str = "begun in ";

/// Runs this test, whose full name is `test`, once more in a program of its own, which begins, holds what it has
/// then and is killed: nothing of it must be left.
pub async fn leaves_nothing<T>(test: &str, begin: impl FnOnce() -> (LocalCluster, T)) {
    if std::env::var_os(VARIABLE).is_some() {
        let (cluster, _held) = begin();
        println!("{BEGUN}{}", cluster.top().path().display());
        let _killed_before = std::io::stdin().read(&mut [0]);
        return;
    }
    let mut command = Command::new(std::env::current_exe().expect("a test has a path"));
    command.args([test, "--exact", "--nocapture"]).env(VARIABLE, "");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut program = command.spawn().expect("it starts");
    let said = BufReader::new(program.stdout.take().expect("piped")).lines();
    let top = |line: String| Some(PathBuf::from(line.split_once(BEGUN)?.1));
    let top = said.map_while(Result::ok).find_map(top);
    let running = top.as_ref().map(|top| processes_of(top).expect("Linux"));
    program.kill().expect("it is a child");
    program.wait().expect("it is a child");
    let (top, running) = (top.expect("it began"), running.expect("it began"));
    assert!(running.len() > 1, "a metadata and a storage server ran: {running:?}");
    until("its cluster is gone", async || !top.exists()).await;
    assert_eq!(processes_of(&top).expect("Linux"), []);
}
