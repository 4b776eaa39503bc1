//! The file verbs: what is done with files of the cluster.

pub(super) mod check;
mod copy;
mod list;
mod open_file;
mod side;
mod stat;

use std::io::Write;

use anyhow::{Context, Error, Result, bail};
use emberfs_client::{ClientError, FileOffset, Fs, FsError, InodeKind, OpenOptions};

use crate::args::Command;
use crate::connection::Connection;
use crate::location::ClusterPath;

/// How much of a file is moved by one call: several chunks, so that they move in parallel.
const PIECE_BYTES: usize = 4 << 20;

/// Carries out a file verb.
pub(super) async fn run(connection: &Connection, json: bool, command: Command) -> Result<()> {
    let client = connection.client().await?;
    let fs = client.fs();
    let done = match command {
        Command::Ls { path, long } => list::run(&fs, &path, long, json).await,
        Command::Stat { path } => stat::run(&client, &path, json).await,
        Command::Cat { paths } => cat(&fs, &paths).await,
        Command::Cp { recursive, paths } => copy::run(&fs, &paths, recursive).await,
        Command::Mkdir { parents, paths } => mkdir(&fs, &paths, parents).await,
        Command::Mv { from, to } => rename(&fs, &from, &to).await,
        Command::Rm { recursive, paths } => remove(&fs, &paths, recursive).await,
        other => bail!("{other:?} is no file command"),
    };
    // What failed is of more interest than whether the session's end was heard.
    let closed = client.close().await;
    done?;
    Ok(closed?)
}

async fn cat(fs: &Fs, paths: &[ClusterPath]) -> Result<()> {
    for path in paths {
        let options = OpenOptions::new().read(true);
        let file = fs.open(&path.0, &options).await.with_context(|| path.to_string())?;
        let mut buffer = vec![0; PIECE_BYTES];
        let mut at = 0;
        loop {
            let (read, back) = file.read_at(FileOffset(at), buffer).await;
            buffer = back;
            let read = read.with_context(|| path.to_string())?;
            if read == 0 {
                break;
            }
            std::io::stdout().lock().write_all(&buffer[..read])?;
            at += read as u64;
        }
    }
    Ok(())
}

async fn mkdir(fs: &Fs, paths: &[ClusterPath], parents: bool) -> Result<()> {
    for path in paths {
        let made = match parents {
            true => fs.mkdir_all(&path.0).await,
            false => {
                path.name().map_err(Error::msg)?;
                fs.mkdir(&path.0).await.map(|_| ())
            }
        };
        made.with_context(|| path.to_string())?;
    }
    Ok(())
}

async fn rename(fs: &Fs, from: &ClusterPath, to: &ClusterPath) -> Result<()> {
    let name = from.name().map_err(Error::msg)?;
    let to = match is_directory(fs, to).await? {
        true => ClusterPath(to.0.join(name)),
        false => to.clone(),
    };
    to.name().map_err(Error::msg)?;
    match fs.rename(&from.0, &to.0).await {
        // Both have names: nothing else can be wrong with them.
        Err(ClientError::Fs(FsError::InvalidArgument)) => {
            bail!("{from} cannot be moved into itself: {to} lies within it")
        }
        renamed => renamed.with_context(|| format!("{from} to {to}")),
    }
}

async fn remove(fs: &Fs, paths: &[ClusterPath], recursive: bool) -> Result<()> {
    for path in paths {
        path.name().map_err(Error::msg)?;
        let removed = match recursive {
            true => fs.remove_all(&path.0).await,
            false => fs.remove(&path.0).await,
        };
        match removed {
            Err(ClientError::Fs(FsError::IsADirectory)) => {
                bail!("{path} is a directory: `rm -r` removes it with all that is in it")
            }
            removed => removed.with_context(|| path.to_string())?,
        }
    }
    Ok(())
}

/// Whether a path leads to a directory; one that leads nowhere does not.
async fn is_directory(fs: &Fs, path: &ClusterPath) -> Result<bool> {
    match fs.stat(&path.0).await {
        Ok(attributes) => Ok(attributes.kind == InodeKind::Directory),
        Err(ClientError::Fs(FsError::NotFound)) => Ok(false),
        Err(error) => Err(error).context(path.to_string()),
    }
}
