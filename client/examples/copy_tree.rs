//! Copies a local tree into a cluster: `copy_tree CLUSTER FROM TO`.
//!
//! `CLUSTER` is a name from `clusters.toml` or `host:port[,host:port]`. Directories, files and symbolic links
//! are copied, other things are left out with a word. Each file gets its name only when all of its bytes are
//! there: it is written beside it, and renamed.

use std::error::Error;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use emberfs_client::blocking::{Client, Fs};
use emberfs_client::{ClientOptions, Directory, FileOffset, OpenOptions};

/// Files copied at once (a count): most of the time of a small file is spent waiting.
const THREADS: usize = 16;
/// Bytes read and written at once.
const PIECE: usize = 8 << 20;

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [cluster, from, to] = args.as_slice() else {
        return Err("usage: copy_tree CLUSTER FROM TO".into());
    };
    let address = Directory::of_user()?.find(Some(cluster))?;
    let client = Client::connect(&address, &ClientOptions::default())?;
    let fs = client.fs();
    let mut files = Vec::new();
    make_directories(&fs, Path::new(from), Path::new(to), &mut files)?;
    let (count, bytes) = (files.len(), AtomicU64::new(0));
    let (left, failed) = (Mutex::new(files), Mutex::new(None));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some((from, to)) = left.lock().expect("no panic").pop() {
                    match copy_file(&fs, &from, &to) {
                        Ok(len) => drop(bytes.fetch_add(len, Ordering::Relaxed)),
                        Err(error) => {
                            let error = format!("{}: {error}", from.display());
                            failed.lock().expect("no panic").get_or_insert(error);
                        }
                    }
                }
            });
        }
    });
    drop(fs);
    client.close()?;
    if let Some(error) = failed.into_inner()? {
        return Err(error.into());
    }
    println!("{count} files, {} bytes", bytes.into_inner());
    Ok(())
}

/// Makes the directories and links, and gathers the files.
fn make_directories(
    fs: &Fs,
    from: &Path,
    to: &Path,
    files: &mut Vec<(PathBuf, PathBuf)>,
) -> Result<(), Failure> {
    fs.mkdir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (from, to, kind) = (entry.path(), to.join(entry.file_name()), entry.file_type()?);
        if kind.is_dir() {
            make_directories(fs, &from, &to, files)?;
        } else if kind.is_file() {
            files.push((from, to));
        } else if kind.is_symlink() {
            fs.symlink(fs::read_link(&from)?, &to)?;
        } else {
            eprintln!("left out: {}", from.display());
        }
    }
    Ok(())
}

fn copy_file(fs: &Fs, from: &Path, to: &Path) -> Result<u64, Failure> {
    let mut part = to.as_os_str().to_owned();
    part.push(".part");
    let options = OpenOptions::new().write(true).create(true).truncate(true).report_late(true);
    let (mut source, target) = (fs::File::open(from)?, fs.open(&part, &options)?);
    let (mut piece, mut at) = (Vec::with_capacity(PIECE.min(file_len(&source)?)), 0);
    loop {
        piece.clear();
        source.by_ref().take(PIECE as u64).read_to_end(&mut piece)?;
        if piece.is_empty() {
            break;
        }
        target.write_at(FileOffset(at), &piece)?;
        at += piece.len() as u64;
    }
    target.close()?;
    fs.rename(&part, to)?;
    Ok(at)
}

fn file_len(file: &fs::File) -> Result<usize, Failure> {
    Ok(usize::try_from(file.metadata()?.len())?)
}
