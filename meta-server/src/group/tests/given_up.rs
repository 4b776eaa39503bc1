//! A member that refuses every state: its leader names it once, with what it says hinders it.

use std::io;
use std::sync::LazyLock;

use emberfs_meta_server_consensus::Limits;
use tokio::sync::watch;

use super::three::Three;
use crate::group::GroupOptions;

/// All that this process has logged, line by line.
static LINES: LazyLock<watch::Sender<Vec<String>>> = LazyLock::new(|| {
    let lines = tracing_subscriber::fmt().with_ansi(false).with_writer(|| Lines);
    lines.init();
    watch::Sender::default()
});

/// Takes one line.
struct Lines;

impl io::Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        LINES.send_modify(|lines| lines.push(String::from_utf8_lossy(line).into_owned()));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_refuses_every_state_is_named_once_with_the_cause_and_what_to_do() {
    let cause = "incoming/000012.sst: no room on the disk of this test";
    let mut lines = LINES.subscribe();
    let limits = Limits { keep_bytes: 64 << 10, ..Limits::default() };
    let options = GroupOptions { flush_bytes: 128 << 10, limits, ..GroupOptions::default() };
    let three = Three::new([options; 3]);
    let leader = three.leader(&[0, 1, 2]).await;
    let behind = (leader + 1) % 3;
    three.reach(behind, false);
    let last = three.groups[behind].standing().await.unwrap().last;
    while three.groups[leader].standing().await.unwrap().cut <= last {
        three.groups[leader].propose("x".repeat(32 << 10)).await.unwrap();
    }
    three.states.send_modify(|states| states.cause = Some(cause.to_owned()));
    three.reach(behind, true);
    let is_of_it = |line: &&String| line.contains(cause);
    let warned = lines.wait_for(|lines| lines.iter().any(|line| is_of_it(&line))).await.unwrap();
    let line = warned.iter().find(is_of_it).unwrap().clone();
    drop(warned);
    let member = format!("member={}", behind + 1);
    for part in
        ["WARN", &member, "refuses every state", "mend on its machine", "back with the first"]
    {
        assert!(line.contains(part), "{part}: {line}");
    }
    // It is offered others all the same, and not named again.
    let refused = three.states.borrow().refused;
    assert!(refused >= 10, "{refused} refusals");
    let mut states = three.states.subscribe();
    states.wait_for(|states| states.refused >= refused + 5).await.unwrap();
    assert_eq!(lines.borrow().iter().filter(is_of_it).count(), 1);
    drop(states);
    three.end().await;
}
