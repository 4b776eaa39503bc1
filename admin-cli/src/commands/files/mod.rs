//! The file verbs: what is done with files of the cluster.

pub(super) mod check;
mod copy;
mod failures;
mod interrupt;
mod list;
mod rename;
mod stat;
mod this_process;

use std::io::{self, Write};
use std::time::Duration;

use anyhow::{Context, Error, Result, bail};
use emberfs_client::{Client, ClientError, FileOffset, Fs, FsError, InodeKind, OpenOptions};

use self::failures::Failures;
use self::interrupt::Interrupt;
use crate::args::Command;
use crate::connection::Connection;
use crate::exit::{self, End, is_closed_pipe};
use crate::location::ClusterPath;

/// How much of a file is moved by one call: several chunks, so that they move in parallel.
const PIECE_BYTES: usize = 4 << 20;

/// How long the session's end may take once somebody wants the command to end: it ends by itself too, some time later.
const CLOSE_TIME: Duration = Duration::from_secs(3);

/// Carries out a file verb.
pub(super) async fn run(connection: &Connection, json: bool, command: Command) -> Result<End> {
    let client = connection.client().await?;
    let fs = client.fs();
    let interrupt = Interrupt::new();
    let done = |()| End::Done;
    let end = match command {
        Command::Ls { path, long } => list::run(&fs, &path, long, json).await.map(done),
        Command::Stat { path } => stat::run(&client, &path, json).await.map(done),
        Command::Layout(command) => super::layout::run(&client, &command, json).await.map(done),
        Command::Cat { paths } => cat(&fs, &paths).await,
        Command::Cp { recursive, paths } => {
            copy::run(connection, &fs, (&paths, recursive), &interrupt).await
        }
        Command::Mkdir { parents, paths } => mkdir(&fs, &paths, parents).await,
        Command::Mv { from, to } => rename::run(&fs, &from, &to).await.map(done),
        Command::Rm { recursive, force, paths } => remove(&fs, &paths, recursive, force).await,
        other => bail!("{other:?} is no file command"),
    };
    // What failed is of more interest than whether the session's end was heard.
    let closed = close(&client, &interrupt).await;
    let end = end?;
    if end == End::Done {
        closed?;
    }
    Ok(end)
}

/// Ends the session.
async fn close(client: &Client, interrupt: &Interrupt) -> Result<(), ClientError> {
    let late = async {
        interrupt.wanted().await;
        tokio::time::sleep(CLOSE_TIME).await;
    };
    tokio::select! {
        closed = client.close() => closed,
        () = late => Ok(()),
    }
}

/// Does something for each path, also if it fails for some.
async fn each(
    paths: &[ClusterPath],
    mut act: impl AsyncFnMut(&ClusterPath) -> Result<()>,
) -> Result<End> {
    let failures = Failures::new();
    for path in paths {
        match act(path).await {
            // Of this machine: where nobody takes what is written, there is no use in more of it. That nobody reads
            // on is no failure, and makes none good that was before.
            Err(error) if is_closed_pipe(&error) && failures.count() > 0 => break,
            Err(error) if error.is::<io::Error>() => return Err(error),
            Err(error) => failures.add(&error),
            Ok(()) => {}
        }
    }
    Ok(failures.end())
}

async fn cat(fs: &Fs, paths: &[ClusterPath]) -> Result<End> {
    each(paths, async |path| {
        let options = OpenOptions::new().read(true);
        let file = fs.open(&path.0, &options).await.with_context(|| path.to_string())?;
        let mut buffer = vec![0; PIECE_BYTES];
        let mut at = 0;
        loop {
            let (read, back) = file.read_at(FileOffset(at), buffer).await;
            buffer = back;
            let read = read.with_context(|| path.to_string())?;
            if read == 0 {
                // What is left behind a last line's end: at the program's end nobody would hear that it was not taken.
                return Ok(exit::out().flush()?);
            }
            exit::out().write_all(&buffer[..read])?;
            at += read as u64;
        }
    })
    .await
}

async fn mkdir(fs: &Fs, paths: &[ClusterPath], parents: bool) -> Result<End> {
    each(paths, async |path| {
        let made = match parents {
            true => fs.mkdir_all(&path.0).await,
            false => {
                path.name().map_err(Error::msg)?;
                fs.mkdir(&path.0).await.map(|_| ())
            }
        };
        let above = "no such file or directory above it: `mkdir -p` makes that too";
        match made {
            Err(ClientError::Fs(FsError::NotFound)) if !parents => bail!("{path}: {above}"),
            made => made.with_context(|| path.to_string()),
        }
    })
    .await
}

async fn remove(fs: &Fs, paths: &[ClusterPath], recursive: bool, force: bool) -> Result<End> {
    each(paths, async |path| {
        path.name().map_err(Error::msg)?;
        let removed = match is_as_written(fs, path).await {
            Ok(()) if recursive => fs.remove_all(&path.0).await,
            Ok(()) => fs.remove(&path.0).await,
            error => error,
        };
        match removed {
            Err(ClientError::Fs(FsError::NotFound)) if force => Ok(()),
            Err(ClientError::Fs(FsError::IsADirectory)) => {
                bail!("{path} is a directory: `rm -r` removes it with all that is in it")
            }
            removed => removed.with_context(|| path.to_string()),
        }
    })
    .await
}

/// Whether what a path that ends in a slash names is a directory; a link to one is none, and would go itself.
async fn is_as_written(fs: &Fs, path: &ClusterPath) -> Result<(), ClientError> {
    if path.ends_in_slash() {
        let kind = fs.lstat(path.without_slashes()).await?.kind;
        if kind != InodeKind::Directory {
            return Err(FsError::NotADirectory.into());
        }
    }
    Ok(())
}
