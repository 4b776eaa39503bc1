//! What a directory says of the files that are made in it.
//!
//! Each setting may be left to the cluster. A new directory begins with the settings of the one that it is made in;
//! from then on they are its own. Files that are there keep the layouts that they were made with.

use minicbor::{Decode, Encode};

use crate::{ChunkSize, LayoutError, StripeWidth, TableId};

/// What new files in a directory get; `None` leaves a setting to the cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Encode, Decode)]
pub struct DirectoryLayout {
    /// Size of their chunks; `None`: as their table says.
    #[n(0)]
    pub chunk_size: Option<ChunkSize>,
    /// Over how many chains each is spread; `None`: [`StripeWidth::default_for`] their table.
    #[n(1)]
    pub stripe: Option<StripeWidth>,
    /// Over which table; `None`: the cluster's default.
    #[n(2)]
    pub table: Option<TableId>,
}

impl DirectoryLayout {
    /// Whether all is left to the cluster.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Over how many chains of a table of `chains` a new file is spread. A stripe that was set over a larger table, and
    /// has come to another as the cluster's default changed, is as wide as that allows.
    ///
    /// # Errors
    /// [`LayoutError::EmptyStripe`] for an empty table.
    pub fn stripe_over(&self, chains: u32) -> Result<StripeWidth, LayoutError> {
        match self.stripe {
            Some(width) => StripeWidth::new(width.get().min(chains)),
            None => StripeWidth::default_for(chains),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_to_the_cluster_takes_no_bytes() {
        let bytes = |layout: DirectoryLayout| minicbor::to_vec(layout).expect("memory never fails");
        assert_eq!(bytes(DirectoryLayout::default()), [0x80]);
        let table = DirectoryLayout { table: Some(TableId(2)), ..Default::default() };
        assert_eq!(bytes(table), [0x83, 0xf6, 0xf6, 2]);
        let chunk_size = Some(ChunkSize::DEFAULT);
        let stripe = StripeWidth::new(8).ok();
        let all = DirectoryLayout { chunk_size, stripe, ..table };
        assert_eq!(bytes(all), [0x83, 20, 8, 2]);
        assert_eq!(minicbor::decode::<DirectoryLayout>(&bytes(all)).expect("just written"), all);
        assert!(!table.is_empty() && DirectoryLayout::default().is_empty());
    }

    #[test]
    fn a_stripe_is_no_wider_than_its_table() {
        let over = |stripe: Option<u32>, chains| {
            let stripe = stripe.and_then(|width| StripeWidth::new(width).ok());
            let layout = DirectoryLayout { stripe, ..Default::default() };
            layout.stripe_over(chains).map(StripeWidth::get)
        };
        assert_eq!((over(Some(3), 8), over(Some(12), 8)), (Ok(3), Ok(8)));
        assert_eq!((over(None, 8), over(None, 24)), (Ok(8), Ok(16)));
        assert_eq!(over(Some(3), 0), Err(LayoutError::EmptyStripe));
    }
}
