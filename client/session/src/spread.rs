//! Which of a chain's serving replicas a read asks.

use emberfs_layout::TargetId;
use emberfs_wire::chunk::Replica;

/// One of `serving` that is not in `avoid`, by a random number: each is as likely, so that reads spread.
/// `None` when all were tried.
#[must_use]
pub fn choose(
    serving: impl Iterator<Item = Replica>,
    avoid: &[TargetId],
    draw: u64,
) -> Option<Replica> {
    let left: Vec<Replica> = serving.filter(|replica| !avoid.contains(&replica.target)).collect();
    let place = draw.checked_rem(left.len() as u64)?;
    left.get(usize::try_from(place).expect("below a list's length")).copied()
}

#[cfg(test)]
mod tests {
    use emberfs_layout::{ChainId, ChainVersion};

    use super::*;

    fn replicas() -> impl Iterator<Item = Replica> {
        (1..4).map(|target| Replica {
            target: TargetId(target),
            chain: ChainId(1),
            version: ChainVersion(1),
        })
    }

    #[test]
    fn each_is_chosen_and_none_that_is_avoided() {
        let chosen = |avoid: &[u32], draw| {
            let avoid: Vec<_> = avoid.iter().copied().map(TargetId).collect();
            choose(replicas(), &avoid, draw).map(|replica| replica.target.get())
        };
        assert_eq!([0, 1, 2, 3].map(|draw| chosen(&[], draw)), [1, 2, 3, 1].map(Some));
        assert_eq!([0, 1, 2].map(|draw| chosen(&[2], draw)), [1, 3, 1].map(Some));
        assert_eq!(chosen(&[1, 2, 3], 0), None);
    }
}
