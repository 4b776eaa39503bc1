//! What an inode stores about where its bytes live.
//!
//! Whoever holds an inode's layout and the chain table that it names computes the chain of every
//! chunk, without asking anyone. A layout never changes while its data id lives: a new layout comes
//! with a new data id.

use std::fmt;

use minicbor::{Decode, Encode};

use crate::{ChunkIndex, ChunkSize, TableId, TableVersion, shuffle};

/// Over how many chains a file is spread: at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StripeWidth(u32);

/// Where a file's chunks live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub struct FileLayout {
    /// Size of each chunk.
    #[n(0)]
    pub chunk_size: ChunkSize,
    /// Over how many chains of the table.
    #[n(1)]
    pub stripe: StripeWidth,
    /// Which table of chains.
    #[n(2)]
    pub table: TableId,
    /// Which version of it: a table that grew does not move old files.
    #[n(3)]
    pub table_version: TableVersion,
    /// Which chains of the table, and in which order.
    #[n(4)]
    pub seed: u64,
}

/// A layout that does not fit what it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayoutError {
    /// A stripe is over at least one chain.
    EmptyStripe,
    /// The table version has fewer chains than the stripe is wide.
    StripeTooWide {
        /// How wide the stripe is.
        width: u32,
        /// How many chains the table has.
        chains: u32,
    },
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyStripe => write!(f, "a stripe needs at least one chain"),
            Self::StripeTooWide { width, chains } => {
                write!(f, "a stripe over {width} chains does not fit a table of {chains}")
            }
        }
    }
}

impl std::error::Error for LayoutError {}

impl StripeWidth {
    /// How wide a new file's stripe is where nothing else is said: wide enough that one file uses
    /// many disks, narrow enough that asking all its chains for its length stays cheap.
    pub const DEFAULT_MAX: u32 = 16;

    /// A stripe over `width` chains.
    ///
    /// # Errors
    /// [`LayoutError::EmptyStripe`] for 0.
    pub const fn new(width: u32) -> Result<Self, LayoutError> {
        if width == 0 { Err(LayoutError::EmptyStripe) } else { Ok(Self(width)) }
    }

    /// The default for a table of `chains` chains: all of them, at most [`Self::DEFAULT_MAX`].
    ///
    /// # Errors
    /// [`LayoutError::EmptyStripe`] for an empty table.
    pub fn default_for(chains: u32) -> Result<Self, LayoutError> {
        Self::new(chains.min(Self::DEFAULT_MAX))
    }

    /// The number of chains.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl FileLayout {
    /// The file's chains in stripe order, as positions in its table, which has `chains` of them.
    ///
    /// # Errors
    /// [`LayoutError::StripeTooWide`] if the table is smaller than the stripe: it is not the version
    /// that the layout names.
    pub fn stripe_order(&self, chains: u32) -> Result<Vec<u32>, LayoutError> {
        let width = self.stripe.0;
        if width > chains {
            return Err(LayoutError::StripeTooWide { width, chains });
        }
        Ok(shuffle::stripe(self.seed, width, chains))
    }

    /// Which place of the stripe holds chunk `index`.
    #[must_use]
    pub const fn stripe_place(&self, index: ChunkIndex) -> u32 {
        index.0 % self.stripe.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(width: u32, seed: u64) -> FileLayout {
        FileLayout {
            chunk_size: ChunkSize::DEFAULT,
            stripe: StripeWidth::new(width).expect("not empty"),
            table: TableId(1),
            table_version: TableVersion(1),
            seed,
        }
    }

    #[test]
    fn stripe_orders_are_pinned() {
        let text: String = [(0, 4, 6), (1, 4, 6), (42, 16, 24), (u64::MAX, 3, 1_000)]
            .iter()
            .map(|&(seed, width, chains)| {
                let order = layout(width, seed).stripe_order(chains).expect("fits");
                format!("seed {seed} width {width} chains {chains}: {order:?}\n")
            })
            .collect();
        assert_eq!(text, include_str!("../golden/stripe_order.txt"));
    }

    #[test]
    fn a_stripe_must_fit_its_table() {
        let error = LayoutError::StripeTooWide { width: 4, chains: 3 };
        assert_eq!(layout(4, 0).stripe_order(3), Err(error));
        assert_eq!(StripeWidth::new(0), Err(LayoutError::EmptyStripe));
        assert_eq!(StripeWidth::default_for(0), Err(LayoutError::EmptyStripe));
        assert_eq!(StripeWidth::default_for(24).map(StripeWidth::get), Ok(16));
    }

    #[test]
    fn chunks_go_round_the_stripe() {
        let places = [0, 1, 2, 3, 4].map(|i| layout(3, 9).stripe_place(ChunkIndex(i)));
        assert_eq!(places, [0, 1, 2, 0, 1]);
    }
}
