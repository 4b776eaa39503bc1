//! What is done before the power is lost, and what must be there afterwards.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use emberfs_buffer::Pool;
use emberfs_client::{Client, ClientOptions};
use emberfs_daemon::sync_point::{SyncPoint as IdentityRow, VARIABLE};
use emberfs_layout::{
    ByteLen, ChainVersion, ChunkId, ChunkIndex, ChunkSize, ChunkVersion, ClientId, DataId,
    Sequence, TargetId,
};
use emberfs_storage_server_chunk_engine::{
    Change, ChunkKey, FileEngine, NewVersion, Options, Syncs, TaggedChange, open_directory,
};
use tokio::task::{JoinSet, LocalSet};

use crate::disk::LossyDisk;
use crate::local::program;
use crate::powered::PoweredCluster;
use crate::process::until;
use crate::tree::Tree;

/// What is not found in this time is lost.
const PATIENCE: Duration = Duration::from_secs(20);
/// Symbolic links, and bytes of what each points to: 40 MB, a quarter more than a log holds before it is cut.
const LINKS: usize = 10_000;
const TARGET: usize = 4_000;
/// Links that are made at once.
const AT_ONCE: usize = 64;

/// Something that needs syncs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scenario {
    /// A directory was made and formatted: it is that of the same disk.
    Formatted,
    /// A cluster was started and a tree written: all of it is there.
    Written,
    /// A chunk store was made and has a chunk. A server's is covered by the syncs of its identity, for now; the
    /// store does not count on that.
    NewEngine,
    /// The metadata server's log has been cut: what stood there is in the state.
    LongLog,
}

impl Scenario {
    /// Plays it; what was lost is the error.
    pub(super) async fn run(self, environment: &[(&'static str, &str)]) -> Result<(), String> {
        match self {
            Self::Formatted => formatted(environment),
            Self::Written => written(environment).await,
            Self::NewEngine => new_engine(environment).await,
            Self::LongLog => long_log(environment).await,
        }
    }
}

fn formatted(environment: &[(&'static str, &str)]) -> Result<(), String> {
    let top = tempfile::tempdir().expect("a temporary directory");
    let path = top.path().join("disk");
    let mut disk = LossyDisk::mount(&path);
    let directory = path.join("new/directory");
    let before = format_disk(&directory, environment)?;
    disk.power_off(None);
    disk.power_on();
    let after = format_disk(&directory, environment)?;
    if before == after { Ok(()) } else { Err(format!("disk {before} is gone: {after}")) }
}

/// A directory that was formatted by a process that was killed before its last sync, then found formatted by
/// another, which said so: it stays.
pub(super) fn formatted_by_two() {
    let top = tempfile::tempdir().expect("a temporary directory");
    let path = top.path().join("disk");
    let mut disk = LossyDisk::mount(&path);
    let cut_off = format_disk(&path, &[(VARIABLE, IdentityRow::Directory.name())]);
    let before = format_disk(&path, &[]).expect("formatted");
    assert_eq!(cut_off.as_ref(), Ok(&before));
    disk.power_off(None);
    disk.power_on();
    assert_eq!(format_disk(&path, &[]).expect("formatted"), before);
}

/// Makes the directory a disk, if it is none; which one it is.
fn format_disk(directory: &Path, environment: &[(&'static str, &str)]) -> Result<String, String> {
    let mut command = Command::new(program("emberfs-storage"));
    command.arg("format-disk").arg(directory).args(["--cluster", &"7".repeat(32), "--if-needed"]);
    command.envs(environment.iter().copied()).stdin(Stdio::null());
    let output = command.output().expect("it starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

async fn written(environment: &[(&'static str, &str)]) -> Result<(), String> {
    let powered = PoweredCluster::start(1, 1, environment);
    let tree = Tree::new(3, 20);
    let client = powered.cluster.client().await;
    tree.write(&client).await;
    drop(client);
    again(powered, async |client| tree.check(&client).await).await
}

async fn long_log(environment: &[(&'static str, &str)]) -> Result<(), String> {
    let powered = PoweredCluster::start(1, 1, environment);
    let client = Arc::new(powered.cluster.client().await);
    let target = |number: usize| format!("{number}/{}", "x".repeat(TARGET));
    let mut under_way = JoinSet::new();
    for number in 0..LINKS {
        if under_way.len() == AT_ONCE {
            under_way.join_next().await.expect("some").expect("no panic");
        }
        let (client, target) = (client.clone(), target(number));
        under_way.spawn(async move {
            client.fs().symlink(&target, format!("link-{number}")).await.expect("made");
        });
    }
    under_way.join_all().await;
    drop(client);
    again(powered, async |client| {
        for number in (0..LINKS).step_by(97).chain([LINKS - 1]) {
            let found = client.fs().read_link(format!("link-{number}")).await;
            let found = found.map_err(|error| format!("link-{number}: {error}"))?;
            if found != Path::new(&target(number)) {
                return Err(format!("link-{number} points elsewhere"));
            }
        }
        Ok(())
    })
    .await
}

/// All lose their power and are started again; then looks.
async fn again(
    mut powered: PoweredCluster,
    look: impl AsyncFnOnce(Client) -> Result<(), String>,
) -> Result<(), String> {
    let servers = powered.servers();
    powered.lose_power(&servers, None).await;
    powered.start_all(&servers);
    let options = ClientOptions { deadline: Some(PATIENCE), ..ClientOptions::default() };
    let found = async {
        let client = powered.cluster.connect(&options).await;
        look(client.map_err(|error| error.to_string())?).await
    };
    let ended = || servers.iter().find(|server| powered.cluster.process(server).is_none());
    tokio::select! {
        found = found => found,
        () = until("a server has ended", async || ended().is_some()) => {
            let server = ended().expect("it stays so");
            Err(format!("{server} has ended:\n  {}", powered.log(server)))
        }
    }
}

/// In this process, as it is a library; its switch is thrown by hand.
async fn new_engine(environment: &[(&'static str, &str)]) -> Result<(), String> {
    let syncs = Syncs::without_named(environment.first().map(|(_, row)| *row));
    let top = tempfile::tempdir().expect("a temporary directory");
    let path = top.path().join("disk");
    let mut disk = LossyDisk::mount(&path);
    let chunk = ChunkId::new(DataId(1), ChunkIndex(0));
    let key = ChunkKey { target: TargetId(1), chunk };
    // What works for the store ends with its tasks.
    let making = LocalSet::new();
    let made = making.run_until(async {
        let engine = open(&path, syncs).await?;
        let (client, sequence) = (ClientId(1), Sequence(1));
        let new = NewVersion {
            version: ChunkVersion(1),
            written_in: ChainVersion(1),
            chunk_size: ChunkSize::MIN,
            changes: vec![TaggedChange { client, sequence, change: Change::Remove }],
            kept_tags: Vec::new(),
            commit: true,
            keep_damage: false,
            sure_of_room: false,
        };
        engine.put(key, new).await.expect("room");
        disk.power_off(None);
        Ok::<_, String>(())
    });
    made.await?;
    drop(making);
    disk.power_on();
    let looking = LocalSet::new();
    let found = looking.run_until(async {
        let engine = open(&path, syncs).await?;
        engine.state(key).map(|_| ()).ok_or_else(|| "the chunk is gone".to_owned())
    });
    found.await
}

async fn open(path: &Path, syncs: Syncs) -> Result<FileEngine, String> {
    let options = Options { syncs, ..Options::new(Pool::new(ByteLen(64 << 20))) };
    open_directory(path, options).await.map_err(|error| error.to_string())
}
