//! Where the members of the metadata group are known to listen.
//!
//! What was configured stays, in its order. Behind it stands, for each member of which another has told, where that was
//! said to listen last: as many at most as a group has members, however often they move, and by whatever names they were
//! configured. None goes, and each keeps its place. Where members tell of another what does not agree, what came first is
//! tried to its end: else each would take the other's place before anybody has been there.

use emberfs_layout::NodeId;
use emberfs_wire::limits::MEMBERS_MAX;

/// What is known of the members.
#[derive(Clone, Debug)]
pub(crate) struct Known<T>(Vec<Place<T>>);

#[derive(Clone, Debug)]
struct Place<T> {
    what: T,
    /// Another told that this member is there; else it was configured.
    told_of: Option<NodeId>,
}

impl<T> Known<T> {
    /// Those that are configured.
    pub(crate) fn of(configured: impl IntoIterator<Item = T>) -> Self {
        let place = |what| Place { what, told_of: None };
        Self(configured.into_iter().map(place).collect())
    }

    /// The same places, with something else at each.
    pub(crate) fn map<U>(&self, mut to: impl FnMut(&T) -> U) -> Known<U> {
        let place = |place: &Place<T>| Place { what: to(&place.what), told_of: place.told_of };
        Known(self.0.iter().map(place).collect())
    }

    /// The same in another order, this one's place first.
    pub(crate) fn beginning_with(mut self, place: usize) -> Self {
        self.0.rotate_left(place);
        self
    }

    /// All, by their places.
    pub(crate) fn all(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|place| &place.what)
    }

    /// Another tells of a member. If none of those that are known will do for it, one that is `made` takes the place of
    /// what was told of that member before, once that `was_tried`.
    pub(crate) fn learn(
        &mut self,
        node: NodeId,
        will_do: impl Fn(&T) -> bool,
        was_tried: impl Fn(&T) -> bool,
        made: impl FnOnce() -> T,
    ) {
        let numbers = 1..=MEMBERS_MAX;
        let is_member = usize::try_from(node.get()).is_ok_and(|number| numbers.contains(&number));
        if !is_member || self.all().any(will_do) {
            return;
        }
        let place = || Place { what: made(), told_of: Some(node) };
        match self.0.iter_mut().find(|known| known.told_of == Some(node)) {
            None => self.0.push(place()),
            Some(before) if was_tried(&before.what) => *before = place(),
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learn(known: &mut Known<String>, node: u32, at: &str) {
        known.learn(NodeId(node), |what| what == at, |_| true, || at.to_owned());
    }

    fn all(known: &Known<String>) -> Vec<&str> {
        known.all().map(String::as_str).collect()
    }

    #[test]
    fn what_is_told_replaces_what_was_told_and_what_is_configured_stays() {
        let mut known = Known::of(["one:7", "two:7"].map(str::to_owned));
        learn(&mut known, 2, "two:7");
        assert_eq!(all(&known), ["one:7", "two:7"]);
        // By address; and each moves, more often than places are kept.
        for turn in 0..100 {
            for node in 1..=3 {
                learn(&mut known, node, &format!("10.0.0.{node}:{turn}"));
            }
        }
        let last = ["one:7", "two:7", "10.0.0.1:99", "10.0.0.2:99", "10.0.0.3:99"];
        assert_eq!(all(&known), last);
        // No group has such.
        learn(&mut known, 0, "nowhere:7");
        learn(&mut known, 6, "nowhere:7");
        assert_eq!(all(&known), last);
        let mut same = known.map(Clone::clone);
        learn(&mut same, 2, "elsewhere:7");
        assert_eq!(all(&same)[3], "elsewhere:7");
        let turned = same.beginning_with(3);
        assert_eq!(all(&turned)[0], "elsewhere:7");
        assert_eq!(all(&turned)[2..], ["one:7", "two:7", "10.0.0.1:99"]);
    }

    #[test]
    fn what_is_being_tried_is_not_replaced() {
        let mut known = Known::of(["one:7".to_owned()]);
        learn(&mut known, 2, "two:7");
        let untried = |_: &String| false;
        known.learn(NodeId(2), |_| false, untried, || panic!("nobody dials this"));
        assert_eq!(all(&known), ["one:7", "two:7"]);
        known.learn(NodeId(3), |_| false, untried, || "three:7".to_owned());
        learn(&mut known, 2, "two:8");
        assert_eq!(all(&known), ["one:7", "two:8", "three:7"]);
    }
}
