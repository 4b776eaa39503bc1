//! `emberfs check`: every replica of every file of a subtree.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use emberfs_client::{
    Attributes, ByteLen, Check, ChunkCheck, ChunkCopy, ChunkFault, Client, ClientError, FileCheck,
    Fs, FsError, InodeKind, Listing, MemberCheck, RoutingTable,
};
use futures_util::stream::{self, Stream, StreamExt, TryStreamExt};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::commands::lists::public;
use crate::connection::Connection;
use crate::exit::{End, words};
use crate::listing::SCHEMA;
use crate::location::ClusterPath;

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
}

/// A file that is to be checked.
struct Job {
    path: PathBuf,
    attributes: Attributes,
}

/// Checks all below `paths`; without an answer to any question, nothing can be told.
pub(in crate::commands) async fn run(
    connection: &Connection,
    json: bool,
    paths: &[ClusterPath],
) -> Result<End> {
    let bar = ProgressBar::new(0);
    let style = "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {wide_msg}";
    bar.set_style(ProgressStyle::with_template(style).expect("a fixed template"));
    let began = Instant::now();
    let checked = async {
        let client = connection.client().await?;
        let totals = check_all(&client, paths, &bar, json).await;
        let closed = client.close().await;
        let totals = totals?;
        closed?;
        anyhow::Ok(totals)
    };
    let checked = checked.await;
    bar.finish_and_clear();
    let mut out = std::io::stdout().lock();
    let (end, word, why) = match &checked {
        Ok(totals) => verdict(totals.worst),
        Err(error) => (End::Unknown, "unknown", Some(words(error))),
    };
    let totals = checked.unwrap_or_default();
    if json {
        let value = json!({
            "schema": SCHEMA,
            "verdict": word,
            "why": why,
            "files": totals.files,
            "chunks": totals.chunks,
            "bytes_read": totals.read,
            "found": totals.found,
            "problems": totals.told,
        });
        writeln!(out, "{value:#}")?;
        return Ok(end);
    }
    if let Some(why) = why {
        writeln!(out, "cannot tell: {why}")?;
    }
    let seconds = began.elapsed().as_secs_f64();
    writeln!(
        out,
        "{word}: {} files, {} chunks, {} read from their replicas in {seconds:.1} s; {} chunks to \
         look after",
        totals.files,
        totals.chunks,
        HumanBytes(totals.read),
        totals.found
    )?;
    Ok(end)
}

/// How it ends, in a word, and in more where nothing is known to be wrong.
fn verdict(worst: Option<ChunkFault>) -> (End, &'static str, Option<String>) {
    match worst {
        None => (End::Done, "whole", None),
        Some(ChunkFault::Unread) => {
            let why = "not every replica could be read: see `emberfs status`, and check again";
            (End::Unknown, "unknown", Some(why.to_owned()))
        }
        Some(ChunkFault::Unsettled) => {
            let why = "some chunks changed each time they were read: check again when they rest";
            (End::Unknown, "unknown", Some(why.to_owned()))
        }
        Some(ChunkFault::Damaged) => (End::Damaged, "damaged", None),
        Some(ChunkFault::Lost) => (End::Damaged, "lost", None),
    }
}

async fn check_all(
    client: &Client,
    paths: &[ClusterPath],
    bar: &ProgressBar,
    json: bool,
) -> Result<Totals> {
    let check = client.check();
    let mut totals = Totals::default();
    for path in paths {
        let files = files_below(client.fs(), path);
        let checks = files.map(|job| checked(&check, job, bar));
        let mut checks = Box::pin(checks.buffered(FILES_AT_ONCE));
        while let Some((path, found)) = checks.try_next().await? {
            totals.files += 1;
            totals.chunks += found.chunks;
            totals.read += found.read.get();
            totals.found += found.found;
            totals.worst = totals.worst.max(found.worst);
            if found.found == 0 {
                continue;
            }
            let routing = client.routing();
            let shown = ClusterPath(path).to_string();
            if json {
                let room = TOLD_MAX.saturating_sub(totals.told.len());
                let chunks = found.first.iter().take(room);
                totals.told.extend(chunks.map(|chunk| to_json(&shown, chunk, &routing)));
            } else {
                bar.suspend(|| print!("{}", to_text(&shown, &found, &routing)));
            }
        }
    }
    Ok(totals)
}

async fn checked(
    check: &Check,
    job: Result<Job>,
    bar: &ProgressBar,
) -> Result<(PathBuf, FileCheck)> {
    let Job { path, attributes } = job?;
    bar.inc_length(attributes.size.get());
    bar.set_message(path.display().to_string());
    let found = check.file(&attributes, |done: ByteLen| bar.inc(done.get())).await;
    let found = found.with_context(|| ClusterPath(path.clone()).to_string())?;
    Ok((path, found))
}

/// The files at and below a path, as they are found. What is removed meanwhile is none.
fn files_below(fs: Fs, path: &ClusterPath) -> impl Stream<Item = Result<Job>> {
    let start = path.0.clone();
    let first = stream::once(async move {
        let attributes = fs.stat(&start).await;
        let attributes = attributes.with_context(|| ClusterPath(start.clone()).to_string())?;
        anyhow::Ok((fs, start, attributes))
    });
    first
        .and_then(|(fs, start, attributes)| async move { Ok(walk(fs, start, attributes)) })
        .try_flatten()
}

/// What is left of a walk: directories, and the one that is being listed.
struct Walk {
    fs: Fs,
    /// The file that it began at.
    file: Option<Job>,
    directories: Vec<PathBuf>,
    listing: Option<(PathBuf, Listing)>,
}

fn walk(fs: Fs, start: PathBuf, attributes: Attributes) -> impl Stream<Item = Result<Job>> {
    let is_directory = attributes.kind == InodeKind::Directory;
    let mut walk = Walk { fs, file: None, directories: Vec::new(), listing: None };
    match is_directory {
        true => walk.directories.push(start),
        false => walk.file = Some(Job { path: start, attributes }),
    }
    stream::try_unfold(
        walk,
        |mut walk| async move { Ok(walk.next().await?.map(|job| (job, walk))) },
    )
}

impl Walk {
    async fn next(&mut self) -> Result<Option<Job>> {
        if let Some(file) = self.file.take() {
            return Ok((file.attributes.kind == InodeKind::File).then_some(file));
        }
        loop {
            let Some((directory, listing)) = &mut self.listing else {
                let Some(next) = self.directories.pop() else { return Ok(None) };
                let listing = self.fs.list(&next)?;
                self.listing = Some((next, listing));
                continue;
            };
            let entry = match listing.next().await {
                Err(ClientError::Fs(FsError::NotFound | FsError::Stale)) => None,
                entry => entry.with_context(|| ClusterPath(directory.clone()).to_string())?,
            };
            let Some(entry) = entry else {
                self.listing = None;
                continue;
            };
            let path = directory.join(OsStr::from_bytes(entry.name.as_bytes()));
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
        line(format!("{path}: {unread_chunks} chunks were not read everywhere"));
        unread.into_iter().for_each(|words| line(format!("    {words}")));
    }
    let more = found.found - found.first.len() as u64;
    if more > 0 {
        line(format!("{path}: and {more} chunks more"));
    }
    text
}

fn to_json(path: &str, chunk: &ChunkCheck, routing: &RoutingTable) -> Value {
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
            ChunkCopy::Silent { .. } => "silent",
        };
        value["state"] = json!(state);
        value
    };
    json!({
        "path": path,
        "chunk": chunk.index.get(),
        "chain": chunk.chain.get(),
        "fault": fault(chunk.fault),
        "replicas": chunk.members.iter().map(member).collect::<Vec<_>>(),
    })
}
