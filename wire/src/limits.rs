//! The largest of everything that a peer may send, in bytes unless said otherwise.
//!
//! A frame beyond a limit is refused before any memory is taken for it.

/// Extension area: a credential and little else.
pub const EXTENSION_BYTES_MAX: u32 = 8 << 10;

/// One message: a page of a directory listing is the largest, and is cut to a quarter of this.
pub const MESSAGE_BYTES_MAX: u32 = 4 << 20;

/// One payload: a chunk of the largest size.
pub const PAYLOAD_BYTES_MAX: u32 = 64 << 20;

/// Words that go with an error.
pub const ERROR_TEXT_BYTES_MAX: usize = 1 << 10;

/// Reads in one batch (a count).
pub const READS_MAX: usize = 1024;

/// Shards of one server (a count): more than any machine has cores.
pub const SHARDS_MAX: usize = 1024;

/// Targets on one shard (a count): its disks with some dozens each.
pub const TARGETS_MAX: usize = 4096;
/// Changes that one version of a chunk gathers (a count): what waits while one is under way.
pub const CHANGES_MAX: usize = 64;
/// Tags of one chunk that live (a count), before a writer is asked to come again.
pub const TAGS_OPEN_MAX: usize = 64;
/// The same for the first open request of a session to a chain (a count): a session forgets no tag of the chain before
/// that is through, so it must not wait for the tags.
pub const TAGS_MAX: usize = 2 * TAGS_OPEN_MAX;
/// Chunks on a page of a comparison (a count).
pub const CHUNKS_PAGE_MAX: usize = 4096;
/// Addresses of one server (a count).
pub const ADDRESSES_MAX: usize = 16;
/// Disks of one server (a count).
pub const DISKS_MAX: usize = 256;
/// Failure domains that operators number (a count), from 0: numbers from here on are of nodes that fail alone.
pub const DOMAINS_MAX: u32 = 1 << 31;
/// Targets of one disk (a count).
pub const TARGETS_PER_DISK_MAX: usize = 256;
/// Members of one chain (a count): more replicas than anyone keeps, with those that wait to join.
pub const CHAIN_MEMBERS_MAX: usize = 16;
/// Chains of one table (a count): 1,000 servers with 16 disks of 4 targets, without replication.
pub const TABLE_CHAINS_MAX: usize = 1 << 16;
/// Disks that an order to make a table names (a count): 1,000 servers with 16.
pub const TABLE_DISKS_MAX: usize = 1 << 14;
/// Items of one kind on a page of routing (a count).
pub const ROUTING_PAGE_MAX: usize = 4096;
/// Sessions that live (a count): twice as many as a leader opens, as some may be on their way to be
/// opened when it counts.
pub const SESSIONS_MAX: usize = 1 << 18;
/// Clients on a page of their list (a count): with the words that each says of itself under 1 MiB.
pub const CLIENTS_PAGE_MAX: usize = 1024;
/// Ended sessions in one answer to a heartbeat (a count).
pub const ENDED_MAX: usize = 4096;
/// Marks of sessions that a server asks for in one heartbeat, and gets in the answer (a count).
pub const MARKS_MAX: usize = 1024;
/// Chains whose marks a session tells one by one (a count): the lowest, so that what hangs on one is told of it alone.
/// 1 KiB for each session in the leader's memory.
pub const OPEN_CHAINS_MAX: usize = 64;
/// One name in a directory: what Linux allows.
pub const NAME_BYTES_MAX: usize = 255;
/// One path: what Linux allows.
pub const PATH_BYTES_MAX: usize = 4096;
/// Supplementary groups of a caller (a count): what Linux allows.
pub const GROUPS_MAX: usize = 1 << 16;
/// Entries on a page of a directory listing (a count): with their attributes under 1 MiB.
pub const ENTRIES_PAGE_MAX: usize = 4096;
/// Members of a metadata group: 1, 3 or 5 vote.
pub const MEMBERS_MAX: usize = 5;
/// Messages of Raft in one request.
pub const MEMBER_MESSAGES_MAX: usize = 1024;
/// Entries in one message of Raft: their size bounds them sooner.
pub const ENTRIES_MAX: usize = 1 << 16;
/// Bytes by which a message of Raft names a question.
pub const CONTEXT_BYTES_MAX: usize = 64;
/// Files of a snapshot of the metadata.
pub const SNAPSHOT_FILES_MAX: usize = 1 << 14;
/// Bytes of a snapshot's file in one answer.
pub const SNAPSHOT_PIECE_MAX: u32 = 1 << 20;
