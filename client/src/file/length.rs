//! Reporting what was written: the file's length, and up to where it is dense.
//!
//! One reports at a time, and reports all that is there; who waited meanwhile mostly finds nothing left. So
//! many writers of one file share their reports.

use std::sync::Arc;
use std::time::Duration;

use emberfs_wire::meta::{
    Attributes, Mutation, MutationReply, Place, Query, QueryReply, WrittenRange,
};

use super::{OpenFile, lock};
use crate::error::{ClientError, WaitingFor};
use crate::meta::{change_under, inode_of, misfit};
use crate::patience::Patience;

/// How long a dropped file tries to be closed; the request that is under way then is carried on.
const CLOSE_WAIT: Duration = Duration::from_secs(30);

/// A range taken out to be reported: it goes back if that fails.
struct Taken<'a> {
    file: &'a OpenFile,
    range: Option<WrittenRange>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if let Some(range) = self.range.take() {
            lock(&self.file.written).add(range);
        }
    }
}

/// Closes a file that was dropped.
pub(super) fn close_behind(file: &Arc<OpenFile>) {
    let open = file.clone();
    file.inner().runtime.spawn(async move {
        if let Err(error) = open.report(true, &mut Patience::new(Some(CLOSE_WAIT))).await {
            tracing::warn!(inode = %open.inode, %error, "a dropped file was not closed");
        }
    });
}

impl OpenFile {
    /// Changes something under the file's own session.
    pub(super) async fn change(
        &self,
        mutation: Mutation,
        patience: &mut Patience,
    ) -> Result<MutationReply, ClientError> {
        let (session, _) = self.writer()?;
        change_under(session, &self.meta.credentials, mutation, patience).await
    }

    /// Reports all that was written, and perhaps closes the handle.
    pub(super) async fn report(
        &self,
        close: bool,
        patience: &mut Patience,
    ) -> Result<(), ClientError> {
        let (_, handle) = self.writer()?;
        let _turn = patience.wait(|| WaitingFor::File, self.reporting.lock()).await?;
        loop {
            let (range, last) = {
                let mut written = lock(&self.written);
                (written.pop_first(), written.is_empty())
            };
            if range.is_none() && !close {
                return Ok(());
            }
            let mut taken = Taken { file: self, range };
            let mutation = Mutation::Report {
                inode: self.inode,
                handle,
                written: range,
                close: close && last,
            };
            let (attributes, _) = inode_of(self.change(mutation, patience).await?)?;
            taken.range = None;
            self.learn(attributes);
            if last {
                return Ok(());
            }
        }
    }

    /// The attributes, asked anew; what this handle wrote is reported before.
    pub(crate) async fn refresh(&self, patience: &mut Patience) -> Result<Attributes, ClientError> {
        if !lock(&self.written).is_empty() {
            self.report(false, patience).await?;
        }
        let query = Query::Attributes { of: Place::inode(self.inode), follow: false };
        match self.meta.ask(query, patience).await? {
            QueryReply::Attributes(attributes) => Ok(self.learn(attributes)),
            other => Err(misfit(&other)),
        }
    }
}
