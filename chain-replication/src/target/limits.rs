//! How much a target holds at once, and how long it waits. Beyond a limit a request is refused with
//! `Retry`, so that the sender keeps what it cannot hand on.

use emberfs_wire::limits::{TAGS_MAX, TAGS_OPEN_MAX};

/// The driver's ticks, in milliseconds: how late an expired wait is noticed.
pub const TICK_MS: u64 = 50;

/// A replica that has not answered for this long is asked again, in milliseconds: well above the time that
/// a loaded disk takes for a flush.
pub const CALL_MS_MAX: u64 = 2_000;

/// Pause before what was refused is sent again, in milliseconds: about what a routing change takes.
pub(super) const AGAIN_MS: u64 = 100;

/// A syncing member that had no room gets nothing that takes room for this long, in milliseconds: long enough
/// for what was removed to be free, and few tries where nothing changes.
pub(super) const ROOM_MS: u64 = 5_000;

/// How long a target says that it lacks room, at least, in milliseconds: so chains do not change all the time.
pub(super) const NO_ROOM_MS: u64 = 10_000;

/// Pause before a chunk is read again that could not be, in milliseconds: it will hardly be otherwise.
pub(super) const UNREADABLE_MS: u64 = 10_000;

/// What a refused client is asked to wait, in milliseconds.
pub(super) const RETRY_MS: u32 = 20;

/// Versions under way (a count): each holds its bytes until all replicas have them.
pub(super) const WORKS_MAX: usize = 1024;

/// Changes that wait for the version before theirs (a count, all chunks).
pub(super) const WAITING_MAX: usize = 4096;

/// Refusals that are remembered (a count): some for each of many sessions. Beyond it a change that was taken
/// back is to be tried again.
pub(super) const REFUSED_MAX: usize = 4096;

/// Those of one session (a count), besides its first open request, which must not wait for what it holds up. One that
/// asks again and again under new numbers while that is open takes no more from the others.
pub(super) const REFUSED_EACH_MAX: usize = 256;

/// Sessions whose marks are asked for (a count): of some full chunks all.
pub(super) const WANTED_MAX: usize = 1024;

/// How long a session's mark is asked for after its tags were last in the way of a change, in milliseconds: whoever
/// was refused has asked again by then, or does not want it any more.
pub(super) const WANTED_MS: u64 = 5_000;

/// Sessions that stand in line for a place among a chunk's tags (a count, all chunks): some 40 bytes each.
pub(super) const TURNED_AWAY_MAX: usize = 4096;

/// How long a session stands there without asking again, in milliseconds: some of a client's longest pauses, which are
/// half a second. So long places are kept for one that has gone.
pub(super) const TURNED_AWAY_MS: u64 = 2_000;

/// Requests that wait for one change or version (a count): retries of it; an older one is told to retry.
pub(super) const JOINED_MAX: usize = 4;

/// Reads under way, those that ask the tail among them (a count): a few full batches.
pub(super) const READS_MAX: usize = 8192;

/// Chunks compared in one message (a count): some 50 bytes each, so one page is a small message.
pub(super) const PAGE_MAX: u32 = 1024;

/// Chunks that one page's comparison transfers at once (a count): a transfer holds a whole chunk. As many of
/// those that could not be read are tried again at once.
pub(super) const TRANSFERS_MAX: usize = 4;

/// Chunks that cannot be read, which resync passes over (a count): each is named in the log. Behind that many
/// it stops.
pub(super) const UNREADABLE_MAX: usize = 1024;

/// Chunks remembered as transferred ahead of the comparison, because they were written (a count). One that
/// is not remembered is transferred once more.
pub(super) const AHEAD_MAX: usize = 1 << 16;

/// Tombstones that were owed, and are on their way to the syncing member at once (a count): few enough for other
/// messages to get past them on the connection, which has 1024 at once.
pub(super) const BARE_MAX: usize = 64;

/// Chunks owed to the syncing member beyond which a removal waits for that member like any other change (a count),
/// some 100 bytes each.
pub(super) const OWED_MAX: usize = 1 << 16;

/// Those limits that are seldom reached: a simulation draws small ones, so that they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For how long nothing that takes room is sent to a syncing member that had none, in milliseconds.
    pub room_ms: u64,
    /// After how long a chunk is read again that could not be, in milliseconds.
    pub unreadable_ms: u64,
    /// Chunks that cannot be read and are passed over.
    pub unreadable_max: usize,
    /// Chunks remembered as transferred ahead of the comparison.
    pub ahead_max: usize,
    /// Chunks owed to a syncing member.
    pub owed_max: usize,
    /// Tombstones on their way to it at once, at least 1.
    pub bare_max: usize,
    /// Tags of one chunk, at least 1, beyond which only a session's first open request is let in.
    pub tags_open_max: usize,
    /// Tags of one chunk beyond which no request is let in; above `tags_open_max`. What was let in as a first request
    /// is settled once its reply is there, so that in the end there is room for another.
    pub tags_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            room_ms: ROOM_MS,
            unreadable_ms: UNREADABLE_MS,
            unreadable_max: UNREADABLE_MAX,
            ahead_max: AHEAD_MAX,
            owed_max: OWED_MAX,
            bare_max: BARE_MAX,
            tags_open_max: TAGS_OPEN_MAX,
            tags_max: TAGS_MAX,
        }
    }
}
