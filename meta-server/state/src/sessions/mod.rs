//! Client sessions: who is there, and what makes a retry harmless.
//!
//! ```text
//!   open(start) ──► live ──── end ────► ended, with a number ─── forget_ended ───► gone
//!                    │ slots: last reply of each                every server has confirmed it
//! ```
//!
//! * A session is opened once for each number `start` that its client drew, and never gets its number
//!   again. Whether one was silent for too long is decided by the leader, by its own clock: here it ends
//!   by a command, as when its client ends it.
//! * A session has [`SLOTS`] slots. In each, requests carry growing numbers; the last reply is kept until
//!   the next request comes, so that a retry, also across a leader's death, is answered and not carried
//!   out again. A number below the last is a late message that nobody waits for. So each session keeps
//!   at most [`SLOTS`] replies.
//! * Ended sessions stand in a list with growing numbers until all servers have confirmed that they refuse
//!   their late writes.
//!
//! | record | value |
//! | --- | --- |
//! | `C` `sessions` | [last client id, live sessions, number of the last ended] |
//! | `S` | [client id, start, host, what, when opened] |
//! | `Z` | client id |
//! | `R` | [number of the request, its reply, the truncation that it waits for] |
//! | `X` | client id |

mod slots;

use emberfs_layout::{ClientId, Sequence};
use emberfs_wire::limits::ENDED_MAX;
use emberfs_wire::meta::{OpenSession, OpenSessionReply, Time};
use minicbor::{Decode, Encode};

use crate::keys::{Kind, end_of, key};
use crate::transaction::{
    StoreError, Transaction, View, decode_record, get_record, put_record, scan_records,
};

pub use slots::{Admission, LastReply, admit, keep_reply};

/// Mutations that a session may have under way: enough to keep a log's group of entries full from one
/// mount, at some 200 bytes of kept reply each.
pub const SLOTS: u16 = 64;

/// After how long without a sign of life a session is ended, in milliseconds: longer than a leader's
/// election and a short network fault, short enough that lengths and late writes are soon settled.
pub const LEASE_MS: u32 = 30_000;

/// Sessions that may live at once: what a leader does not open beyond. At 64 slots each their replies
/// take less than 2 GiB.
pub const SESSIONS_MAX: u32 = 1 << 17;

/// Bytes that are kept of each of the two texts that say who a client is.
const TEXT_BYTES_MAX: usize = 255;

/// A live session.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Session {
    /// Which.
    #[n(0)]
    pub client: ClientId,
    /// The number that its client drew.
    #[n(1)]
    pub start: u64,
    /// The client's machine, for people.
    #[n(2)]
    pub host: String,
    /// What the client is, for people.
    #[n(3)]
    pub what: String,
    /// When it was opened.
    #[n(4)]
    pub opened: Time,
}

/// Counters of all sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
struct Counters {
    /// The last session's number.
    #[n(0)]
    client: ClientId,
    /// How many live.
    #[n(1)]
    live: u32,
    /// Number of the last that ended.
    #[n(2)]
    ended: Sequence,
}

/// Opens a session, or finds the one that the same start opened before.
///
/// # Errors
/// [`StoreError`].
pub fn open(
    txn: &mut dyn Transaction,
    time: Time,
    asked: &OpenSession,
) -> Result<OpenSessionReply, StoreError> {
    let reply = |client| OpenSessionReply { client, slots: SLOTS, lease_ms: LEASE_MS };
    let by_start = start_key(asked.start);
    if let Some(client) = get_record(&*txn, &by_start)? {
        return Ok(reply(client));
    }
    let mut counters = counters(&*txn)?;
    counters.client = ClientId(counters.client.get() + 1);
    counters.live += 1;
    let session = Session {
        client: counters.client,
        start: asked.start,
        host: cut(&asked.host),
        what: cut(&asked.what),
        opened: time,
    };
    put_record(txn, &session_key(session.client), &session);
    put_record(txn, &by_start, &session.client);
    put_record(txn, &counters_key(), &counters);
    Ok(reply(session.client))
}

/// Ends a session: forgets its replies and puts it in the list for the servers. Says whether it lived.
///
/// # Errors
/// [`StoreError`].
pub fn end(txn: &mut dyn Transaction, client: ClientId) -> Result<bool, StoreError> {
    let Some(session) = find(&*txn, client)? else { return Ok(false) };
    slots::forget(txn, client)?;
    txn.delete(&session_key(client));
    txn.delete(&start_key(session.start));
    let mut counters = counters(&*txn)?;
    counters.live -= 1;
    counters.ended = counters.ended.next();
    put_record(txn, &ended_key(counters.ended), &client);
    put_record(txn, &counters_key(), &counters);
    Ok(true)
}

/// Takes the sessions that ended up to `to` off the list.
///
/// # Errors
/// [`StoreError`].
pub fn forget_ended(txn: &mut dyn Transaction, to: Sequence) -> Result<(), StoreError> {
    let (from, end) =
        (key(Kind::EndedSession, &[]), ended_key(Sequence(to.get().saturating_add(1))));
    loop {
        let page = txn.scan(&from, &end, ENDED_MAX)?;
        page.iter().for_each(|(key, _)| txn.delete(key));
        if page.len() < ENDED_MAX {
            return Ok(());
        }
    }
}

/// A session, if it lives.
///
/// # Errors
/// [`StoreError`].
pub fn find(view: &dyn View, client: ClientId) -> Result<Option<Session>, StoreError> {
    get_record(view, &session_key(client))
}

/// The live sessions behind `after` (0: from the first), by number, at most `limit`.
///
/// # Errors
/// [`StoreError`].
pub fn list(view: &dyn View, after: ClientId, limit: usize) -> Result<Vec<Session>, StoreError> {
    let from = session_key(ClientId(after.get().saturating_add(1)));
    scan_records(view, &from, &end_of(&key(Kind::Session, &[])), limit)
}

/// All sessions that live, and the number that the next one gets.
///
/// # Errors
/// [`StoreError`].
pub fn alive(view: &dyn View) -> Result<(Vec<ClientId>, ClientId), StoreError> {
    let clients = list(view, ClientId(0), usize::MAX)?.into_iter().map(|session| session.client);
    Ok((clients.collect(), ClientId(counters(view)?.client.get() + 1)))
}

/// How many sessions live.
///
/// # Errors
/// [`StoreError`].
pub fn count(view: &dyn View) -> Result<u32, StoreError> {
    Ok(counters(view)?.live)
}

/// Sessions that ended after `after`, at most [`ENDED_MAX`], and up to where the list goes with them.
///
/// # Errors
/// [`StoreError`].
pub fn ended(view: &dyn View, after: Sequence) -> Result<(Vec<ClientId>, Sequence), StoreError> {
    let from = ended_key(Sequence(after.get().saturating_add(1)));
    let page = view.scan(&from, &end_of(&key(Kind::EndedSession, &[])), ENDED_MAX)?;
    let to = page.last().map_or(after, |(key, _)| Sequence(number_of(key)));
    let clients = page.iter().map(|(key, value)| decode_record(key, value));
    Ok((clients.collect::<Result<_, _>>()?, to))
}

/// Number of the session that ended last.
///
/// # Errors
/// [`StoreError`].
pub fn last_ended(view: &dyn View) -> Result<Sequence, StoreError> {
    Ok(counters(view)?.ended)
}

fn counters(view: &dyn View) -> Result<Counters, StoreError> {
    Ok(get_record(view, &counters_key())?.unwrap_or_default())
}

fn counters_key() -> Vec<u8> {
    key(Kind::Cluster, &[b"sessions"])
}

fn session_key(client: ClientId) -> Vec<u8> {
    key(Kind::Session, &[&client.get().to_be_bytes()])
}

fn start_key(start: u64) -> Vec<u8> {
    key(Kind::SessionStart, &[&start.to_be_bytes()])
}

fn ended_key(number: Sequence) -> Vec<u8> {
    key(Kind::EndedSession, &[&number.get().to_be_bytes()])
}

/// The number behind the first byte of a key.
fn number_of(key: &[u8]) -> u64 {
    let bytes = key[1..].try_into().expect("a key of an ended session has 8 bytes behind its kind");
    u64::from_be_bytes(bytes)
}

fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(TEXT_BYTES_MAX)].to_owned()
}

#[cfg(test)]
mod tests;
