//! How much room there is.

use emberfs_client::Space;

use super::{Adapter, ask};
use crate::caller::Caller;
use crate::errno::Errno;

impl Adapter {
    /// `statfs`.
    ///
    /// # Errors
    /// An [`Errno`].
    pub async fn statfs(&self, caller: Caller) -> Result<Space, Errno> {
        ask(self.meta(caller).space()).await
    }
}
