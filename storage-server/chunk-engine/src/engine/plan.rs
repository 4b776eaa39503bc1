//! What a version does to the pieces of a chunk's map: the same when it is made and when it is recovered.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::map::{Block, Piece};

/// The pieces that a version changes: those of its new blocks, and those from the first dropped block to
/// the end of the committed version's `blocks`.
pub(super) fn affected(
    numbers: impl Iterator<Item = u32>,
    dropped_from: Option<u32>,
    blocks: u32,
) -> BTreeSet<u32> {
    let dropped = dropped_from.map_or(0..0, |from| Piece::of(from)..Piece::of(blocks + 63));
    numbers.map(Piece::of).chain(dropped).collect()
}

/// A changed map.
pub(super) struct Changed {
    /// The changed pieces.
    pub(super) pieces: BTreeMap<u32, Rc<Piece>>,
    /// The blocks that are no longer in them, with their numbers.
    pub(super) replaced: Vec<(u32, Block)>,
}

/// Drops blocks from pieces, then puts new ones in.
pub(super) fn change(
    old: &BTreeMap<u32, Rc<Piece>>,
    dropped_from: Option<u32>,
    new: &[(u32, Block)],
) -> Changed {
    let mut pieces = old.clone();
    let mut replaced = Vec::new();
    if let Some(from) = dropped_from {
        for (number, piece) in &mut pieces {
            let dropped: Vec<_> = piece.blocks(*number).filter(|(at, _)| *at >= from).collect();
            let piece = Rc::make_mut(piece);
            dropped.iter().for_each(|(at, _)| piece.set(*at, None));
            replaced.extend(dropped);
        }
    }
    for (at, block) in new {
        let piece = pieces.entry(Piece::of(*at)).or_insert_with(|| Rc::new(Piece::EMPTY));
        replaced.extend(piece.get(*at).map(|old| (*at, old)));
        Rc::make_mut(piece).set(*at, Some(*block));
    }
    Changed { pieces, replaced }
}
