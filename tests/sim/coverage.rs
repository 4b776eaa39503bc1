//! What happened over all runs: how often each row of the transition table was gone by, and each fault
//! struck. What never happens is not tested.

use std::collections::BTreeMap;
use std::fmt;

use emberfs_chain_replication::membership::table::ROWS;

/// How often each row of the transition table was gone by.
#[derive(Clone, Debug)]
pub(crate) struct Rows([u64; ROWS.len()]);

impl Default for Rows {
    fn default() -> Self {
        Self([0; ROWS.len()])
    }
}

impl Rows {
    pub(crate) fn count(&mut self, rows: &[usize]) {
        rows.iter().for_each(|row| self.0[*row] += 1);
    }
}

/// Counts of one run, or of all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Coverage {
    rows: Rows,
    events: BTreeMap<&'static str, u64>,
}

impl Coverage {
    /// One more of an event that must happen in some run: it is listed in [`EVENTS`].
    pub(crate) fn count(&mut self, event: &'static str) {
        debug_assert!(EVENTS.contains(&event), "{event} is not listed");
        *self.events.entry(event).or_default() += 1;
    }

    pub(crate) fn set_rows(&mut self, rows: &Rows) {
        self.rows = rows.clone();
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.rows.0.iter_mut().zip(other.rows.0).for_each(|(sum, count)| *sum += count);
        for (event, count) in &other.events {
            *self.events.entry(event).or_default() += count;
        }
    }

    /// What never happened.
    pub(crate) fn missing(&self) -> Vec<String> {
        let rows = self.rows.0.iter().zip(ROWS).filter(|(count, _)| **count == 0);
        let rows = rows.map(|(_, row)| format!("{row:?}"));
        let events = EVENTS.iter().filter(|event| !self.events.contains_key(*event));
        rows.chain(events.map(|event| (*event).to_owned())).collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "rows of the transition table:")?;
        for (count, row) in self.rows.0.iter().zip(ROWS) {
            let (was, stands, becomes) = (row.was, row.stands, row.becomes);
            writeln!(f, "{count:>10}  {was:?} {stands:?} {:?}: {becomes:?}", row.outlook)?;
        }
        writeln!(f, "events:")?;
        for event in EVENTS {
            writeln!(f, "{:>10}  {event}", self.events.get(event).unwrap_or(&0))?;
        }
        Ok(())
    }
}

/// All that must happen.
const EVENTS: &[&str] = &[
    "a server crashes",
    "all servers crash",
    "all servers crash, and a tail stays away for longer than it is waited for",
    "a server hangs",
    "a server is cut off from the metadata group",
    "a server is cut off from others",
    "a disk fails",
    "a disk is slow",
    "a whole chunk takes longer than its sender waits",
    "a chunk is sent that is there already",
    "a copy of a chunk comes after what replaced it",
    "a member begins to sync while versions are under way",
    "a disk is full",
    "a disk is filled",
    "a disk is filled, and its server starts anew",
    "a chunk is damaged on a disk",
    "a change is refused as the chunk cannot be read",
    "a syncing member is owed a chunk that cannot be read",
    "a syncing member has no room",
    "a change is acknowledged that a syncing member has no room for",
    "answers to heartbeats are late",
    "the leader crashes",
    "a member of the group crashes",
    "all members of the group crash",
    "the leader hangs",
    "a member of the group hangs",
    "the leader is cut off from the other members",
    "a member is cut off from the other members",
    "the leader hands over",
    "another member takes the lead",
    "a leader waits for longer leases than its own",
    "a leader has outlasted longer leases than its own",
    "a leader's own lease is over, and it asks",
    "a heartbeat is refused, as its leader leads no more",
    "a change of a chain is refused, as its leader leads no more",
    "a follower answers, by the leader's word",
    "a member takes in again what its state has lost",
    "a member's log has lost what was synced",
    "a member's state is lost, and its log begins anew",
    "a member's directory is made anew",
    "a member that was new is up to date",
    "the state of another member takes the place of a member's own",
    "a session ends",
    "a server ends as a late word of an earlier start was taken for a later one",
    "a message is lost with its connection",
    "a message comes although its connection broke",
    "a message overtakes another on another connection",
    "a caller hears that a call failed",
    "a client sends again what is under way",
    "a read is given up",
    "a write ends in doubt",
    "a write is given up, and goes on",
    "a write waits for an earlier one to its chunk",
    "a server asks for a session's mark",
    "a server hears a session's mark from the leader",
    "a server's clock is slow, and the leader's is fast",
    "a server serves again that the rest went on without",
    "a last serving tail serves again",
    "another than the tail serves again",
];
