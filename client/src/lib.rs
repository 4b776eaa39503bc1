//! The native client library: files, directories and zero-copy chunk I/O, blocking and async.
//!
//! It turns calls into requests: names and lengths to the metadata group, bytes to the chains. Retry,
//! failover, newer routing and deadlines are inside; what to do after which failure is decided by
//! [`emberfs_client_session`]. It knows no kernel, no errno and no terminal.
//!
//! ```text
//!   Client ── fs() ──► Fs (by path) ──► Meta (by inode) ──► one request to the metadata group
//!      │                  └── open ──► File ── read, write ──► parts of chunks ──► chains
//!      └── session: connections, numbers, renewed in the background
//!   Cluster: the same group without a session, for operators
//!   Directory: which clusters a user knows          blocking: all of it for threads
//! ```
//!
//! ```no_run
//! use emberfs_client::{Bytes, Client, ClientOptions, Directory, FileOffset, OpenOptions};
//!
//! # async fn example() -> Result<(), emberfs_client::ClientError> {
//! let address = Directory::of_user()?.find(Some("training"))?;
//! let client = Client::connect(&address, &ClientOptions::default()).await?;
//! let fs = client.fs();
//! fs.mkdir_all("runs/7").await?;
//! let new = OpenOptions::new().write(true).create_new(true);
//! let file = fs.open("runs/7/model.pt.part", &new).await?;
//! file.write_at(FileOffset(0), Bytes::from_static(b"weights")).await?;
//! file.close().await?;
//! fs.rename("runs/7/model.pt.part", "runs/7/model.pt").await?;
//! client.close().await
//! # }
//! ```
#![forbid(unsafe_code)]

/// What this process counts of the calls that it makes: `metrics::text()` is what a program shows of it to Prometheus.
pub use emberfs_metrics as metrics;

mod asked;
pub mod blocking;
mod carried;
mod check;
mod client;
mod cluster;
mod credentials;
mod data;
pub mod directory;
mod error;
mod file;
mod fs;
mod group;
mod held;
mod keeper;
mod known;
mod links;
mod meta;
mod options;
mod patience;
mod routes;
mod session;
mod standing;
mod underway;

#[cfg(test)]
mod tests;

pub use bytes::Bytes;
pub use check::{Check, ChunkCheck, ChunkCopy, ChunkFault, FileCheck, MemberCheck};
pub use client::Client;
pub use cluster::Cluster;
pub use credentials::{Credentials, Groups, KnownGroups};
pub use directory::{Directory, DirectoryError};
pub use emberfs_client_session::RoutingTable;
pub use emberfs_layout::{
    ByteLen, ChunkSize, DirectoryLayout, FileOffset, InodeId, StripeWidth, TableId,
};
pub use emberfs_transport::{Address, AddressError, Limits};
pub use emberfs_wire::cluster::{
    AdminOrder, AdministerReply, Chain, ChainMember, ChainTable, ClientStatus, Disk, DiskLoad,
    DiskReport, GetStatusReply, Hindrance, LocalState, Node, NodeLoad, NodeStatus, PublicState,
    RoutingDelta, TargetReport,
};
pub use emberfs_wire::group::{Abstention, GetMemberReply, Index, MemberId, MemberStatus};
pub use emberfs_wire::meta::inode::FileData;
pub use emberfs_wire::meta::{
    Access, AttributeChange, Attributes, Cursor, Device, Entry, HandleId, InodeKind, LayoutChange,
    Mode, Name, NameError, NewNode, Path, Place, RemoveKind, RenameFlags, SetTime, Setting, Space,
    SymlinkTarget, Time,
};
pub use emberfs_wire::{FsError, disk};
pub use error::{ClientError, WaitingFor};
pub use file::{File, OpenOptions};
pub use fs::{Fs, Listing};
pub use meta::{Meta, Page, Position};
pub use options::{ClientOptions, ClusterAddress};
pub use standing::{MemberAnswer, members};
