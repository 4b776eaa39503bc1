//! `emberfs check`: every replica of every file of a subtree.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::future::ready;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Error, Result};
use emberfs_client::{
    Attributes, ByteLen, Check, ChunkCheck, ChunkCopy, ChunkFault, Client, ClientError, FileCheck,
    Fs, FsError, InodeKind, Listing, MemberCheck, RoutingTable,
};
use emberfs_client_fuse_mounts::counted;
use futures_util::stream::{self, Stream, StreamExt};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::commands::lists::public;
use crate::connection::Connection;
use crate::exit::{self, End, say, words};
use crate::listing::{SCHEMA, bytes_of};
use crate::location::{ClusterPath, shown};
use crate::printable;

/// Files that are checked at a time: small ones wait for round trips, not for bytes.
const FILES_AT_ONCE: usize = 8;
/// Chunks with something to say that are told one by one, as JSON (a count): more are counted.
const TOLD_MAX: usize = 10_000;

/// What the check of all found.
#[derive(Default)]
struct Totals {
    files: u64,
    chunks: u64,
    read: u64,
    found: u64,
    worst: Option<ChunkFault>,
    told: Vec<Value>,
    /// What could not be checked, counted, and why the first of it could not.
    failed: u64,
    why: Option<String>,
}

/// A file that is to be checked.
struct Job {
    path: PathBuf,
    attributes: Attributes,
}

/// Checks all below `paths`. What cannot be checked is said and passed over, and hides nothing that is found.
pub(in crate::commands) async fn run(
    connection: &Connection,
    json: bool,
    paths: &[ClusterPath],
) -> Result<End> {
    let bar = ProgressBar::new(0);
    let style = "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {wide_msg}";
    bar.set_style(ProgressStyle::with_template(style).expect("a fixed template"));
    let began = Instant::now();
    let mut totals = Totals::default();
    match connection.client().await {
        Ok(client) => {
            check_all(&client, paths, &bar, json, &mut totals).await;
            let closed = client.close().await;
            closed.unwrap_or_else(|error| totals.fail(&error.into(), &bar));
        }
        Err(error) => totals.fail(&error, &bar),
    }
    bar.finish_and_clear();
    // Where nobody reads on, the exit status says it all the same.
    let _unread = tell(&totals, began, json);
    Ok(verdict(&totals).0)
}

/// Prints what all came to.
fn tell(totals: &Totals, began: Instant, json: bool) -> io::Result<()> {
    let (end, word, why) = verdict(totals);
    let mut out = exit::out();
    if json {
        let value = json!({
            "schema": SCHEMA,
            "verdict": word,
            "why": why,
            "files": totals.files,
            "chunks": totals.chunks,
            "bytes_read": totals.read,
            "found": totals.found,
            "failed": totals.failed,
            "problems": totals.told,
        });
        return writeln!(out, "{}", printable::json(&value));
    }
    if let Some(why) = why {
        let what = if end == End::Damaged { "not all was checked" } else { "cannot tell" };
        writeln!(out, "{what}: {why}")?;
    }
    writeln!(
        out,
        "{word}: {}, {}, {} read from their replicas in {:.1} s; {} to look after",
        counted(totals.files, "file"),
        counted(totals.chunks, "chunk"),
        HumanBytes(totals.read),
        began.elapsed().as_secs_f64(),
        counted(totals.found, "chunk")
    )
}

/// How it ends, in a word, and why no more is known. Damage that was found is damage, whatever else failed.
fn verdict(totals: &Totals) -> (End, &'static str, Option<String>) {
    let failed = totals.why.clone();
    let why = match totals.worst {
        Some(ChunkFault::Lost) => return (End::Damaged, "lost", failed),
        Some(ChunkFault::Damaged) => return (End::Damaged, "damaged", failed),
        Some(ChunkFault::Unsettled) => {
            "some chunks changed each time they were read: check again when they rest"
        }
        Some(ChunkFault::Unread) => {
            "not every replica could be read: see `emberfs status`, and check again"
        }
        None if failed.is_none() => return (End::Done, "whole", None),
        None => "",
    };
    (End::Unknown, "unknown", Some(failed.unwrap_or_else(|| why.to_owned())))
}

impl Totals {
    fn add(&mut self, found: &FileCheck) {
        self.chunks += found.chunks;
        self.read += found.read.get();
        self.found += found.found;
        self.worst = self.worst.max(found.worst);
    }

    /// Something could not be checked, which is said at once.
    fn fail(&mut self, why: &Error, bar: &ProgressBar) {
        let why = words(why);
        bar.suspend(|| say(&format!("error: {why}")));
        self.failed += 1;
        self.why.get_or_insert(why);
    }
}

async fn check_all(
    client: &Client,
    paths: &[ClusterPath],
    bar: &ProgressBar,
    json: bool,
    totals: &mut Totals,
) {
    let check = client.check();
    let cut_off = Cell::new(false);
    let files = stream::iter(paths).flat_map(|path| files_below(client.fs(), path));
    let files = files.take_while(|_| ready(!cut_off.get()));
    let checks = files.map(|job| checked(&check, job, bar));
    let mut checks = Box::pin(checks.buffered(FILES_AT_ONCE));
    while let Some((path, found, done)) = checks.next().await {
        totals.add(&found);
        match done {
            Ok(()) => totals.files += 1,
            Err(error) => {
                cut_off.set(cut_off.get() || is_cut_off(&error));
                totals.fail(&error, bar);
            }
        }
        if found.found == 0 {
            continue;
        }
        let routing = client.routing();
        let path = ClusterPath(path);
        if json {
            let room = TOLD_MAX.saturating_sub(totals.told.len());
            let chunks = found.first.iter().take(room);
            totals.told.extend(chunks.map(|chunk| to_json(&path, chunk, &routing)));
        } else {
            let text = to_text(&path.to_string(), &found, &routing);
            let _unread = bar.suspend(|| exit::out().write_all(text.as_bytes()));
        }
    }
}

/// Whether whatever is asked next would fail so too.
fn is_cut_off(error: &Error) -> bool {
    let error = error.downcast_ref::<ClientError>();
    matches!(
        error,
        Some(ClientError::Deadline { .. } | ClientError::SessionLost | ClientError::Closed)
    )
}

/// Checks a file: what was found, also if it could not be checked to its end.
async fn checked(
    check: &Check,
    job: Result<Job>,
    bar: &ProgressBar,
) -> (PathBuf, FileCheck, Result<()>) {
    let mut found = FileCheck::default();
    let Job { path, attributes } = match job {
        Ok(job) => job,
        Err(error) => return (PathBuf::new(), found, Err(error)),
    };
    bar.inc_length(attributes.size.get());
    bar.set_message(shown(&path));
    let done = check.file(&attributes, &mut found, |done: ByteLen| bar.inc(done.get())).await;
    let done = done.with_context(|| ClusterPath(path.clone()).to_string());
    (path, found, done)
}

/// What is left of a walk: where it begins, directories, and the one that is being listed.
struct Walk {
    fs: Fs,
    start: Option<PathBuf>,
    directories: Vec<PathBuf>,
    listing: Option<(PathBuf, Listing)>,
}

/// The files at and below a path, as they are found. What is removed meanwhile is none; a directory that cannot
/// be listed to its end is an error, after which the others follow.
fn files_below(fs: Fs, path: &ClusterPath) -> impl Stream<Item = Result<Job>> + use<> {
    let start = Some(path.0.clone());
    let walk = Walk { fs, start, directories: Vec::new(), listing: None };
    stream::unfold(walk, |mut walk| async move { Some((walk.next().await.transpose()?, walk)) })
}

impl Walk {
    async fn next(&mut self) -> Result<Option<Job>> {
        if let Some(path) = self.start.take() {
            let found = self.fs.stat(&path).await;
            let attributes = found.with_context(|| ClusterPath(path.clone()).to_string())?;
            match attributes.kind {
                InodeKind::Directory => self.directories.push(path),
                InodeKind::File => return Ok(Some(Job { path, attributes })),
                _ => {}
            }
        }
        loop {
            let Some((directory, mut listing)) = self.listing.take() else {
                let Some(next) = self.directories.pop() else { return Ok(None) };
                let listing = self.fs.list(&next)?;
                self.listing = Some((next, listing));
                continue;
            };
            let entry = match listing.next().await {
                Ok(None) | Err(ClientError::Fs(FsError::NotFound | FsError::Stale)) => continue,
                Ok(Some(entry)) => entry,
                Err(error) => return Err(error).context(ClusterPath(directory).to_string()),
            };
            let path = directory.join(OsStr::from_bytes(entry.name.as_bytes()));
            self.listing = Some((directory, listing));
            match (entry.kind, entry.attributes) {
                (InodeKind::Directory, _) => self.directories.push(path),
                (InodeKind::File, Some(attributes)) => return Ok(Some(Job { path, attributes })),
                _ => {}
            }
        }
    }
}

fn fault(fault: ChunkFault) -> &'static str {
    match fault {
        ChunkFault::Unread => "not read everywhere",
        ChunkFault::Unsettled => "changing",
        ChunkFault::Damaged => "damaged",
        ChunkFault::Lost => "lost",
    }
}

/// `target-7 on storage-2`.
fn place(member: &MemberCheck, routing: &RoutingTable) -> String {
    let home = routing.home(member.target).map_or("an unknown server", |node| &*node.name);
    format!("{} on {home}", member.target)
}

fn said(copy: &ChunkCopy) -> String {
    match copy {
        ChunkCopy::Whole { version, len, digest } => {
            format!("version {version}, {len} bytes, digest {digest}")
        }
        ChunkCopy::Absent => "missing".to_owned(),
        ChunkCopy::Corrupt => "corrupt: it does not match its checksums".to_owned(),
        ChunkCopy::NotServing { state } => format!("not serving: {}", public(*state)),
        ChunkCopy::Busy { last } => format!("busy: {last}"),
        ChunkCopy::Silent { last } => format!("no answer: {last}"),
    }
}

/// A line for a file, then for each chunk each of its replicas; chunks that are merely not read everywhere are
/// said together.
fn to_text(path: &str, found: &FileCheck, routing: &RoutingTable) -> String {
    let mut text = String::new();
    let mut line = |words: String| {
        text.push_str(&words);
        text.push('\n');
    };
    let mut unread = BTreeSet::new();
    let mut unread_chunks = 0;
    for chunk in &found.first {
        if chunk.fault == ChunkFault::Unread {
            unread_chunks += 1;
            let away = |member: &&MemberCheck| {
                matches!(member.copy, ChunkCopy::NotServing { .. } | ChunkCopy::Silent { .. })
            };
            let away = chunk.members.iter().filter(away);
            unread.extend(away.map(|m| format!("{}: {}", place(m, routing), said(&m.copy))));
            continue;
        }
        line(format!("{path}: chunk {} of {} is {}", chunk.index, chunk.chain, fault(chunk.fault)));
        for member in &chunk.members {
            let mark = if member.odd { "!" } else { " " };
            line(format!("  {mark} {}: {}", place(member, routing), said(&member.copy)));
        }
    }
    if unread_chunks > 0 {
        line(format!("{path}: not read everywhere: {}", counted(unread_chunks, "chunk")));
        unread.into_iter().for_each(|words| line(format!("    {words}")));
    }
    let more = found.found - found.first.len() as u64;
    if more > 0 {
        line(format!("{path}: and {} more", counted(more, "chunk")));
    }
    text
}

fn to_json(path: &ClusterPath, chunk: &ChunkCheck, routing: &RoutingTable) -> Value {
    let member = |member: &MemberCheck| {
        let home = routing.home(member.target).ok();
        let mut value = json!({
            "target": member.target.get(),
            "node": home.map(|node| node.id.get()),
            "node_name": home.map(|node| &node.name),
            "at_fault": member.odd,
            "said": said(&member.copy),
        });
        let state = match &member.copy {
            ChunkCopy::Whole { version, len, digest } => {
                value["version"] = json!(version.get());
                value["len"] = json!(len.get());
                value["digest"] = json!(digest.to_string());
                "whole"
            }
            ChunkCopy::Absent => "missing",
            ChunkCopy::Corrupt => "corrupt",
            ChunkCopy::NotServing { .. } => "not serving",
            ChunkCopy::Busy { .. } => "busy",
            ChunkCopy::Silent { .. } => "silent",
        };
        value["state"] = json!(state);
        value
    };
    json!({
        "path": path.text(),
        "path_bytes": bytes_of(path.0.as_os_str().as_bytes()),
        "chunk": chunk.index.get(),
        "chain": chunk.chain.get(),
        "fault": fault(chunk.fault),
        "replicas": chunk.members.iter().map(member).collect::<Vec<_>>(),
    })
}
