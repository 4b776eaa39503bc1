//! bare-pipeline, the limit that benchmarks are held against: the same hops, bytes and flushes, and no file system.
//!
//! Three servers and one client, each a process with one thread and one ring. What EmberFS must do for a call, they
//! do; names, versions, leases, maps, retries and RocksDB they have not. It must not know any crate of EmberFS.
//!
//! ```text
//!   read:    client ── request ──► one of three: disk ─ CRC ──► client: CRC
//!   write:   client: CRC ──► head: CRC ──► middle: CRC ──► tail: CRC        each: O_DIRECT write, group commit
//!               ◄── answer ─────◄───────────◄──────────────◄               (data synced, record synced)
//!   append:  client ──► leader ──► two others, at once; two of three have it synced ──► client
//!   echo:    client ──► leader ──► client
//!   get:     client ──► leader: two values found in an ordered map in memory ──► client
//! ```
//! Files are written ahead, so that a flush writes none of the file system's own records. What is written is written
//! in place.
//!
//! | file | noun |
//! | --- | --- |
//! | `ring.rs` | the system calls, and the memory that the kernel has meanwhile |
//! | `block.rs`, `message.rs`, `peer.rs` | memory, what is said, and a connection on which it is |
//! | `store.rs`, `server.rs` | a disk with its group commit; a server |
//! | `load.rs`, `client.rs`, `slice.rs` | what to do; who does it; what came of it |
//! | `parts.rs` | the same parts alone, by which the whole is checked |
//! | `drive.rs` | servers started, loads read from standard input |
//! | `memory_mount.rs`, `memory.rs` | a FUSE file system with nothing behind it; its files |
#![expect(
    clippy::cast_possible_truncation,
    reason = "numbers of kinds, servers and files are small"
)]

mod block;
mod client;
mod drive;
mod load;
mod memory;
mod memory_mount;
mod message;
mod parts;
mod peer;
mod ring;
mod server;
mod slice;
mod store;

use anyhow::Result;
use clap::Parser;

/// The limit that benchmarks of EmberFS are held against
#[derive(Parser)]
#[command(name = "bare-pipeline", version)]
enum Args {
    /// Start three servers, and carry out the loads that standard input names: `KIND SIZE STREAMS DEPTH ORDER
    /// SECONDS`, as in `read 4096 1 64 random 3`; `parts LOAD` measures its parts alone
    Drive(drive::Drive),
    /// Mount a file system in memory, until standard input ends
    MemoryMount(memory_mount::MemoryMount),
    /// Be one of the servers
    #[command(hide = true)]
    Serve(server::Serve),
}

fn main() -> Result<()> {
    match Args::parse() {
        Args::Drive(args) => drive::run(&args),
        Args::MemoryMount(args) => memory_mount::run(&args),
        Args::Serve(args) => server::run(&args),
    }
}
