//! A file tree that is made from a seed: written once, compared as often as one likes.

use emberfs_client::{Bytes, Client, FileOffset, InodeKind, OpenOptions};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// A chunk of the default size, in bytes.
const CHUNK: usize = 1 << 20;
/// Sizes at which something changes: nothing, one byte, around a block, around a chunk, many chunks.
const SIZES: [usize; 10] =
    [0, 1, 4_095, 4_096, 4_097, 110_000, CHUNK - 1, CHUNK, CHUNK + 1, 7 * CHUNK + 12_345];
/// Bytes written by one call: no multiple of a block, so that calls meet inside of one.
const PIECE: usize = 700_001;

/// A file of the tree.
struct Planned {
    path: String,
    bytes: Bytes,
}

/// A tree that is the same for the same seed.
pub struct Tree {
    files: Vec<Planned>,
}

impl Tree {
    /// `count` files over some directories.
    pub fn new(seed: u64, count: usize) -> Self {
        let mut random = SmallRng::seed_from_u64(seed);
        let files = (0..count).map(|number| {
            let mut bytes = vec![0; SIZES[number % SIZES.len()]];
            random.fill(&mut bytes[..]);
            let path = format!("tree/{}/{}/file-{number}", number % 3, number % 7);
            Planned { path, bytes: bytes.into() }
        });
        Self { files: files.collect() }
    }

    /// Writes all of it.
    pub async fn write(&self, client: &Client) {
        let fs = client.fs();
        for Planned { path, bytes } in &self.files {
            let (directory, _) = path.rsplit_once('/').expect("files lie in directories");
            fs.mkdir_all(directory).await.expect("a directory");
            let new = OpenOptions::new().write(true).create_new(true);
            let file = fs.open(path, &new).await.expect("a new file");
            for start in (0..bytes.len()).step_by(PIECE) {
                let piece = bytes.slice(start..(start + PIECE).min(bytes.len()));
                file.write_at(FileOffset(start as u64), piece).await.expect("written");
            }
            file.close().await.expect("closed");
        }
    }

    /// Reads all of it, and compares every byte, every length and every name.
    pub async fn compare(&self, client: &Client) {
        self.check(client).await.expect("all of it is there");
    }

    /// The same, but says what is wrong.
    ///
    /// # Errors
    /// The first path that cannot be read or has something else.
    pub async fn check(&self, client: &Client) -> Result<(), String> {
        let fs = client.fs();
        let same = |holds: bool, what: &str| holds.then_some(()).ok_or_else(|| what.to_owned());
        for Planned { path, bytes } in &self.files {
            let wrong = |error| format!("{path}: {error}");
            let file = fs.open(path, &OpenOptions::new().read(true)).await.map_err(wrong)?;
            let len = file.attributes().size.get();
            same(len == bytes.len() as u64, &format!("{path} has {len} bytes"))?;
            let buffer = vec![0xee; bytes.len() + 1];
            let (read, buffer) = file.read_at(FileOffset(0), buffer).await;
            same(read.map_err(wrong)? == bytes.len(), &format!("{path} is shorter"))?;
            same(buffer[..bytes.len()] == bytes[..], &format!("{path} has other bytes"))?;
        }
        let listed = listed(client, "tree").await;
        same(listed == self.names(), &format!("there are {listed:?}"))
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.files.iter().map(|file| file.path.clone()).collect();
        names.sort();
        names
    }
}

/// The files below a directory, by name.
pub async fn listed(client: &Client, top: &str) -> Vec<String> {
    let (fs, mut found, mut open) = (client.fs(), Vec::new(), vec![top.to_owned()]);
    while let Some(directory) = open.pop() {
        let mut listing = fs.list(&directory).expect("a path");
        while let Some(entry) = listing.next().await.expect("a listing") {
            let path = format!("{directory}/{}", entry.name);
            let attributes = entry.attributes.expect("they were asked for");
            assert_eq!(attributes.inode, entry.inode);
            match entry.kind {
                InodeKind::Directory => open.push(path),
                _ => found.push(path),
            }
        }
    }
    found.sort();
    found
}
