//! Which member of the metadata group is asked, where one of them leads and any may name it: the choice among places in a
//! list, and the question who leads. Whoever asks keeps the list, the connections and the place that it asks now.
//!
//! ```text
//!   asked ──┬─ names another ──► that one, at once; one after so many in a row after a pause
//!           └─ names nobody ───► the next in the list, after a pause
//! ```

use std::time::Duration;

use bytes::Bytes;
use emberfs_layout::NodeId;
use emberfs_wire::group::{GetMember, GetMemberReply, MemberId};
use emberfs_wire::limits::MEMBERS_MAX;
use futures_util::future::join_all;

use crate::call::{CallOptions, Peer};
use crate::error::CallError;

/// The place of the first that is connected, from the one that is asked now.
pub fn first_up(asked: usize, count: usize, is_up: impl Fn(usize) -> bool) -> Option<usize> {
    (0..count).map(|step| (asked + step) % count).find(|place| is_up(*place))
}

/// Asks a member how it and its group stand.
///
/// # Errors
/// [`CallError`], also when it does not answer in time.
pub async fn standing(peer: &Peer, wait: Duration) -> Result<GetMemberReply, CallError> {
    let options = CallOptions { wait: Some(wait), ..CallOptions::default() };
    Ok(peer.call(&GetMember {}, Bytes::new(), &options).await?.message)
}

/// How each of these says that the group stands, of those that answer in time.
pub async fn standings(peers: &[Peer], wait: Duration) -> Vec<GetMemberReply> {
    let asked = join_all(peers.iter().map(|peer| standing(peer, wait))).await;
    asked.into_iter().flatten().collect()
}

/// Who leads, of what several say: the latest term is believed.
pub fn leader(said: &[GetMemberReply]) -> Option<NodeId> {
    let leading = said.iter().filter_map(|said| Some((said.term, node(said.leader?)?)));
    leading.max_by_key(|(term, _)| *term).map(|(_, leader)| leader)
}

/// A member's number as that of a node.
pub fn node(member: MemberId) -> Option<NodeId> {
    u32::try_from(member.get()).ok().map(NodeId)
}

/// Who is asked next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Its place.
    pub to: usize,
    /// Whether without a pause.
    pub at_once: bool,
}

/// How often in a row one was asked that another had named.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hints(usize);

impl Hints {
    /// The one at place `asked` of `count` did not answer, and `named` another that is connected, if it did. Those that
    /// name each other are not asked in turn without a pause, however many places they are known by.
    pub fn turn(&mut self, asked: usize, named: Option<usize>, count: usize) -> Turn {
        let Some(to) = named.filter(|named| *named != asked) else {
            self.0 = 0;
            return Turn { to: (asked + 1) % count, at_once: false };
        };
        let at_once = self.0 < count.min(MEMBERS_MAX);
        self.0 = if at_once { self.0 + 1 } else { 0 };
        Turn { to, at_once }
    }

    /// One answered.
    pub fn answered(&mut self) {
        self.0 = 0;
    }
}

#[cfg(test)]
mod tests {
    use emberfs_layout::ClusterId;
    use emberfs_wire::group::Term;

    use super::*;

    #[test]
    fn the_one_that_is_asked_comes_first_and_each_has_its_turn() {
        assert_eq!(first_up(1, 3, |_| true), Some(1));
        assert_eq!(first_up(1, 3, |place| place != 1), Some(2));
        assert_eq!(first_up(1, 3, |place| place == 0), Some(0));
        assert_eq!(first_up(1, 3, |_| false), None);
        let mut hints = Hints::default();
        let next = |to| Turn { to, at_once: false };
        assert_eq!([0, 1, 2].map(|asked| hints.turn(asked, None, 3)), [next(1), next(2), next(0)]);
        assert_eq!(
            hints.turn(1, Some(1), 3),
            next(2),
            "it says that it leads, and does not answer"
        );
    }

    #[test]
    fn who_is_named_is_asked_at_once_but_not_without_end() {
        let mut hints = Hints::default();
        let mut asked = 0;
        let mut turns = Vec::new();
        for _ in 0..8 {
            let turn = hints.turn(asked, Some(1 - asked), 3);
            asked = turn.to;
            turns.push(turn.at_once);
        }
        assert_eq!(turns, [true, true, true, false, true, true, true, false]);
        hints.answered();
        assert!(hints.turn(0, Some(1), 1).at_once);
        hints.answered();
        let at_once =
            (0..20).take_while(|turn| hints.turn(turn % 2, Some(1 - turn % 2), 20).at_once);
        assert_eq!(at_once.count(), MEMBERS_MAX, "some may be the same by another name");
    }

    #[test]
    fn the_latest_word_of_a_leader_is_believed() {
        let said = |term, leader: Option<u64>| GetMemberReply {
            leader: leader.map(MemberId),
            term: Term(term),
            ..GetMemberReply::new(ClusterId(1), MemberId(1))
        };
        let three = [said(3, Some(1)), said(5, None), said(4, Some(2))];
        assert_eq!(leader(&three), Some(NodeId(2)));
        assert_eq!(leader(&[said(3, None)]), None);
    }
}
