//! Which of several servers is asked, where one of them leads and any may name it: the choice alone, among places in a
//! list. Whoever asks keeps the list, the connections and the place that it asks now.
//!
//! ```text
//!   asked ──┬─ names another ──► that one, at once; one after so many in a row after a pause
//!           └─ names nobody ───► the next in the list, after a pause
//! ```

use emberfs_layout::NodeId;

/// The place of the first that is connected, from the one that is asked now.
pub fn first_up(asked: usize, count: usize, is_up: impl Fn(usize) -> bool) -> Option<usize> {
    (0..count).map(|step| (asked + step) % count).find(|place| is_up(*place))
}

/// Who leads, of what several say, each in a term: the latest is believed.
pub fn latest<Term: Ord>(said: impl IntoIterator<Item = (Term, Option<NodeId>)>) -> Option<NodeId> {
    let leading = said.into_iter().filter_map(|(term, leader)| Some((term, leader?)));
    leading.max_by(|one, other| one.0.cmp(&other.0)).map(|(_, leader)| leader)
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
    /// name each other are not asked in turn without a pause.
    pub fn turn(&mut self, asked: usize, named: Option<usize>, count: usize) -> Turn {
        let Some(to) = named.filter(|named| *named != asked) else {
            self.0 = 0;
            return Turn { to: (asked + 1) % count, at_once: false };
        };
        let at_once = self.0 < count;
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
    }

    #[test]
    fn the_latest_word_of_a_leader_is_believed() {
        let (one, two) = (Some(NodeId(1)), Some(NodeId(2)));
        assert_eq!(latest([(3, one), (5, None), (4, two)]), two);
        assert_eq!(latest([(3, None)]), None);
    }
}
