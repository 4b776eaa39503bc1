//! Three processes, of which whichever leads is killed under load.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use emberfs_layout::ClusterId;
use emberfs_wire::group::GetMember;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use crate::finder::Finder;
use crate::group::{SOME, WRITERS, names, write};
use crate::process::{BINARY, Running};
use crate::trio::{COUNT, places};

/// How often the leader is killed.
const ROUNDS: usize = 3;

/// The configuration of the member at this place.
fn config(directory: &Path, at: usize) -> PathBuf {
    directory.join(format!("meta-{at}.toml"))
}

/// Writes the configurations of all members, and formats their directories as an operator would.
fn format(directory: &Path, places: &[SocketAddr]) -> ClusterId {
    let members: Vec<_> = places.iter().map(|place| format!("\"{place}\"")).collect();
    let mut cluster: Option<ClusterId> = None;
    for (at, place) in places.iter().enumerate() {
        let data = directory.join(format!("data-{at}"));
        let text = format!(
            "directory = {data:?}\nlisten = [\"{place}\"]\nmembers = [{}]\nnode = {}\n",
            members.join(", "),
            at + 1
        );
        std::fs::write(config(directory, at), text).expect("written");
        let mut format = Command::new(BINARY);
        format.args(["format", "--config"]).arg(config(directory, at));
        format.args(cluster.map(|cluster| format!("--cluster={cluster}")));
        let formatted = format.output().expect("it runs");
        assert!(formatted.status.success(), "{}", String::from_utf8_lossy(&formatted.stderr));
        let printed = String::from_utf8(formatted.stdout).expect("text");
        cluster = Some(printed.trim().parse().expect("the cluster's id"));
    }
    cluster.expect("it was formatted")
}

#[tokio::test(flavor = "multi_thread")]
async fn whichever_leads_may_die_and_nothing_that_was_answered_is_lost_or_done_twice() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let places = places();
    let cluster = format(directory.path(), &places);
    let start = async |at: usize| {
        let config = config(directory.path(), at);
        let run = spawn_blocking(move || Running::until(&config, "metadata member started")).await;
        Some(run.expect("no panic"))
    };
    let mut running = Vec::new();
    for at in 0..COUNT {
        running.push(start(at).await);
    }
    let finder = || Finder::new(cluster, places.iter().copied().enumerate().collect());
    let (end, ended) = watch::channel(false);
    let (made, mut count) = watch::channel(0);
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        let finder = finder().opened().await;
        writers.push(tokio::spawn(write(finder, writer, ended.clone(), made.clone())));
    }
    let mut more = async |wanted: usize| {
        let goal = *count.borrow_and_update() + wanted;
        count.wait_for(|made| *made >= goal).await.expect("writers run");
    };
    for round in 0..ROUNDS {
        more(WRITERS * SOME).await;
        let leader = loop {
            let standing = finder().call(&GetMember {}).await.expect("an answer");
            if let Some(leader) = standing.leader {
                break usize::try_from(leader.get()).expect("few") - 1;
            }
        };
        let killed = running[leader].take().expect("it runs");
        spawn_blocking(move || killed.kill()).await.expect("no panic");
        let died = Instant::now();
        // What was under way may be answered yet.
        more(WRITERS + 1).await;
        println!("round {round}: served again after {:?}", died.elapsed());
        running[leader] = start(leader).await;
    }
    more(WRITERS * SOME).await;
    end.send_replace(true);
    let mut known = BTreeSet::new();
    for writer in writers {
        known.extend(writer.await.expect("no panic"));
    }
    assert_eq!(names(&mut finder()).await, known);
}
