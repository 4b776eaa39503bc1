//! Which sessions have ended, as runs of their numbers: numbers are given out in ascending order and never
//! again, so there are about as many runs as sessions that live, however many have ended.

use std::collections::BTreeMap;

use emberfs_layout::ClientId;

/// Sessions that have ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndedSessions {
    /// First to last of each run.
    runs: BTreeMap<ClientId, ClientId>,
}

impl EndedSessions {
    /// All sessions below `next`, the number that the next one gets, but those that are `alive`.
    #[must_use]
    pub fn all_but(alive: &[ClientId], next: ClientId) -> Self {
        let mut alive = alive.to_vec();
        alive.sort_unstable();
        let mut runs = BTreeMap::new();
        let mut first = 0;
        for ClientId(end) in alive.into_iter().filter(|client| *client < next).chain([next]) {
            if first < end {
                runs.insert(ClientId(first), ClientId(end - 1));
            }
            first = end.saturating_add(1);
        }
        Self { runs }
    }

    /// Whether the session is among them.
    #[must_use]
    pub fn has(&self, client: ClientId) -> bool {
        self.runs.range(..=client).next_back().is_some_and(|(_, last)| client <= *last)
    }

    /// The session has ended, too.
    pub fn add(&mut self, client: ClientId) {
        if self.has(client) {
            return;
        }
        let last = self.runs.remove(&ClientId(client.0.saturating_add(1))).unwrap_or(client);
        let before = self.runs.range_mut(..client).next_back();
        match before.filter(|(_, end)| end.0.saturating_add(1) == client.0) {
            Some((_, end)) => *end = last,
            None => drop(self.runs.insert(client, last)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(sessions: &EndedSessions) -> Vec<u64> {
        (0..12).filter(|id| sessions.has(ClientId(*id))).collect()
    }

    #[test]
    fn sessions_that_end_are_runs() {
        let mut sessions = EndedSessions::default();
        [5, 7, 6, 9, 6].into_iter().for_each(|client| sessions.add(ClientId(client)));
        assert_eq!(ended(&sessions), [5, 6, 7, 9]);
        assert_eq!(sessions.runs.len(), 2);
    }

    #[test]
    fn all_but_those_that_live_have_ended() {
        let alive = [7, 3, 4, 11].map(ClientId);
        let mut sessions = EndedSessions::all_but(&alive, ClientId(10));
        assert_eq!(ended(&sessions), [0, 1, 2, 5, 6, 8, 9]);
        sessions.add(ClientId(7));
        assert_eq!((ended(&sessions), sessions.runs.len()), (vec![0, 1, 2, 5, 6, 7, 8, 9], 2));
        assert_eq!(EndedSessions::all_but(&[], ClientId(0)), EndedSessions::default());
        assert_eq!(ended(&EndedSessions::all_but(&[ClientId(0)], ClientId(2))), [1]);
    }
}
