//! The same for threads: each call returns when it is done, and only when nothing writes to its buffer
//! any more.
//!
//! ```no_run
//! use emberfs_client::{ClientOptions, Directory, FileOffset, OpenOptions, blocking};
//!
//! # fn main() -> Result<(), emberfs_client::ClientError> {
//! let address = Directory::of_user()?.find(None)?;
//! let client = blocking::Client::connect(&address, &ClientOptions::default())?;
//! let file = client.fs().open("data/samples.bin", &OpenOptions::new().read(true))?;
//! let mut sample = vec![0; 4096];
//! let len = file.read_at(FileOffset(1 << 20), &mut sample)?;
//! println!("{len} bytes");
//! # Ok(())
//! # }
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use emberfs_layout::{ByteLen, FileOffset};
use emberfs_transport::lend;
use emberfs_wire::meta::{AttributeChange, Attributes, Entry, LayoutChange, Space};
use tokio::runtime::{Builder, Runtime};

use crate::data::Targets;
use crate::error::ClientError;
use crate::file::OpenOptions;
use crate::options::{ClientOptions, ClusterAddress};

/// Threads that move bytes for all callers (a count): one connection is one task, so two keep up with a
/// network card where the callers' own threads check.
const THREADS: usize = 2;

/// A cluster's file system; see [`crate::Client`]. Not to be used, or dropped, within a Tokio runtime.
#[derive(Clone, Debug)]
pub struct Client {
    // Before the runtime: what it starts when it is dropped still has one.
    client: crate::Client,
    runtime: Arc<Runtime>,
}

/// Files and directories by path; see [`crate::Fs`].
#[derive(Clone, Debug)]
pub struct Fs {
    fs: crate::Fs,
    runtime: Arc<Runtime>,
}

/// An open file; see [`crate::File`].
#[derive(Debug)]
pub struct File {
    file: crate::File,
    runtime: Arc<Runtime>,
}

/// A directory's entries; see [`crate::Listing`].
#[derive(Debug)]
pub struct Listing {
    listing: crate::Listing,
    runtime: Arc<Runtime>,
}

impl Client {
    /// Connects to a cluster and opens a session.
    ///
    /// # Errors
    /// [`ClientError`]; [`ClientError::Fault`] if no thread can be started.
    pub fn connect(address: &ClusterAddress, options: &ClientOptions) -> Result<Self, ClientError> {
        let mut builder = Builder::new_multi_thread();
        let builder = builder.worker_threads(THREADS).thread_name("emberfs-client").enable_all();
        let runtime =
            builder.build().map_err(|error| ClientError::Fault { text: error.to_string() })?;
        let client = runtime.block_on(crate::Client::connect(address, options))?;
        Ok(Self { client, runtime: Arc::new(runtime) })
    }

    /// The async client behind it.
    #[must_use]
    pub fn as_async(&self) -> &crate::Client {
        &self.client
    }

    /// Files and directories by path.
    #[must_use]
    pub fn fs(&self) -> Fs {
        Fs { fs: self.client.fs(), runtime: self.runtime.clone() }
    }

    /// Ends the session; see [`crate::Client::close`].
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn close(&self) -> Result<(), ClientError> {
        self.runtime.block_on(self.client.close())
    }
}

/// Functions that wait for the async one of the same name.
macro_rules! waits {
    ($of:ident: $($(#[$doc:meta])* $name:ident($($arg:ident: $type:ty),*) -> $out:ty;)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        /// [`ClientError`].
        pub fn $name(&self, $($arg: $type),*) -> Result<$out, ClientError> {
            self.runtime.block_on(self.$of.$name($($arg),*))
        }
    )*};
}

impl Fs {
    /// Opens a file.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn open(&self, path: impl AsRef<Path>, options: &OpenOptions) -> Result<File, ClientError> {
        let file = self.runtime.block_on(self.fs.open(path, options))?;
        Ok(File { file, runtime: self.runtime.clone() })
    }

    /// The entries of a directory.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn list(&self, path: impl AsRef<Path>) -> Result<Listing, ClientError> {
        Ok(Listing { listing: self.fs.list(path)?, runtime: self.runtime.clone() })
    }

    /// The same without attributes.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn list_names(&self, path: impl AsRef<Path>) -> Result<Listing, ClientError> {
        Ok(Listing { listing: self.fs.list_names(path)?, runtime: self.runtime.clone() })
    }

    waits! { fs:
        /// The attributes of what a path leads to, symbolic links followed.
        stat(path: impl AsRef<Path>) -> Attributes;
        /// The same, but of a symbolic link itself.
        lstat(path: impl AsRef<Path>) -> Attributes;
        /// Makes a directory.
        mkdir(path: impl AsRef<Path>) -> Attributes;
        /// Makes a directory and all above it that are not there.
        mkdir_all(path: impl AsRef<Path>) -> ();
        /// Removes anything but a directory.
        remove(path: impl AsRef<Path>) -> ();
        /// Removes an empty directory.
        remove_dir(path: impl AsRef<Path>) -> ();
        /// Removes anything, with all that is in it.
        remove_all(path: impl AsRef<Path>) -> ();
        /// Moves a name in one step.
        rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> ();
        /// Makes the symbolic link `link`, which points to `target`.
        symlink(target: impl AsRef<Path>, link: impl AsRef<Path>) -> Attributes;
        /// What a symbolic link points to.
        read_link(path: impl AsRef<Path>) -> PathBuf;
        /// Gives `file` the further name `link`.
        hard_link(file: impl AsRef<Path>, link: impl AsRef<Path>) -> Attributes;
        /// Changes attributes.
        set_attributes(path: impl AsRef<Path>, change: AttributeChange) -> Attributes;
        /// Changes what new files in a directory get.
        set_layout(path: impl AsRef<Path>, change: LayoutChange) -> Attributes;
        /// How much room there is.
        space() -> Space;
    }
}

impl File {
    /// The async file behind it.
    #[must_use]
    pub fn as_async(&self) -> &crate::File {
        &self.file
    }

    waits! { file:
        /// Returns when all writes that returned before are on stable storage, with the file's length.
        sync() -> ();
        /// Changes the length.
        set_len(len: ByteLen) -> ();
        /// Changes attributes.
        set_attributes(change: AttributeChange) -> Attributes;
        /// The attributes, asked anew.
        stat() -> Attributes;
    }

    /// Reads into `buf`, from `offset`: fewer bytes than it has at the end of the file.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn read_at(&self, offset: FileOffset, buf: &mut [u8]) -> Result<usize, ClientError> {
        lend([buf], |ground| {
            let targets = Targets::new(vec![offset], ground);
            self.runtime.block_on(self.file.read_each(targets)).remove(0)
        })
    }

    /// Reads many ranges at once.
    ///
    /// # Errors
    /// Each its own [`ClientError`].
    pub fn read_batch(
        &self,
        reads: &mut [(FileOffset, &mut [u8])],
    ) -> Vec<Result<usize, ClientError>> {
        let offsets = reads.iter().map(|(offset, _)| *offset).collect();
        lend(reads.iter_mut().map(|(_, buf)| &mut **buf), |ground| {
            self.runtime.block_on(self.file.read_each(Targets::new(offsets, ground)))
        })
    }

    /// Writes all of `bytes` at `offset`, from a copy of them.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn write_at(&self, offset: FileOffset, bytes: &[u8]) -> Result<(), ClientError> {
        self.runtime.block_on(self.file.write_at(offset, Bytes::copy_from_slice(bytes)))
    }

    /// Writes all of `bytes` behind the end of the file, and says where.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn append(&self, bytes: &[u8]) -> Result<FileOffset, ClientError> {
        self.runtime.block_on(self.file.append(Bytes::copy_from_slice(bytes)))
    }

    /// Syncs and closes.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn close(self) -> Result<(), ClientError> {
        self.runtime.block_on(self.file.close())
    }
}

impl Iterator for Listing {
    type Item = Result<Entry, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.runtime.block_on(self.listing.next()).transpose()
    }
}
