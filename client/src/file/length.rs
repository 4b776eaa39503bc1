//! Reporting what was written: the file's length, and up to where it is dense.
//!
//! One reports at a time, and reports all that is there; who waited meanwhile mostly finds nothing left. So
//! many writers of one file share their reports.
//!
//! A report whose caller goes away is carried through, and nobody reports or changes the length before it is.
//!
//! Whether a write made the file longer only the metadata group knows: another client may have cut the file
//! since this one last heard of it. So a write that ends within the length as it is known here asks, after it was
//! acknowledged: an answer from before that could be from before the cut. That is the least that will do while
//! nobody is called back who knows a length: one question, which the leader answers by its lease. A report, a
//! command in the group's log, is for writes that make the file longer.
//!
//! Whether such a write came before the cut, and was cut away, the client cannot know, unless it had heard of the
//! cut before it began. A report says of what it had heard; of the rest the metadata group asks the chains
//! before it tells anybody the length. So a report's answer may hold a length that is too small, and a later one
//! does not.
//!
//! The chains say where the file ends, not that it is dense up to there: of a writer that had not heard of a cut,
//! `dense_to` moves no further than that cut. A chunk above it that is lost later reads as zeros, and is not called
//! lost, until all from `dense_to` up to its end is written anew by who has heard of the cut.

use std::sync::Arc;

use emberfs_layout::FileOffset;
use emberfs_wire::meta::{
    Attributes, Mutation, MutationReply, Place, Query, QueryReply, WrittenRange,
};

use super::writer::Writer;
use super::{OpenFile, lock};
use crate::error::{ClientError, WaitingFor};
use crate::meta::{change_under, inode_of, misfit};
use crate::patience::Patience;

/// A range taken out to be reported: it goes back if that fails.
struct Taken<'a> {
    writer: &'a Writer,
    range: Option<WrittenRange>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if let Some(range) = self.range.take() {
            lock(&self.writer.written).add(range);
        }
    }
}

impl Writer {
    /// Changes something under the file's own session.
    pub(super) async fn change(
        &self,
        mutation: Mutation,
        patience: &mut Patience,
    ) -> Result<MutationReply, ClientError> {
        self.session.check()?;
        change_under(&self.session, &self.credentials, mutation, patience).await
    }

    /// Changes the file's attributes. What they are then is known before `guard` is let go, also if nobody
    /// waits for it any more.
    pub(super) async fn set_attributes(
        self: &Arc<Self>,
        mutation: Mutation,
        guard: impl Send + 'static,
        patience: &mut Patience,
    ) -> Result<Attributes, ClientError> {
        let by = self.clone();
        let change = async move {
            let reply = by.change(mutation, &mut Patience::new(None)).await?;
            let known = by.known.learn(inode_of(reply)?);
            drop(guard);
            Ok(known)
        };
        let change = self.session.carry(change, || true);
        patience.wait_quietly(|| self.session.meta.waiting_for(None), change).await?
    }

    /// Reports all that was written, and perhaps closes the handle.
    pub(super) async fn report(
        self: &Arc<Self>,
        close: bool,
        patience: &mut Patience,
    ) -> Result<(), ClientError> {
        self.session.check()?;
        let turn = self.reporting.clone().lock_owned();
        let mut closed = patience.wait(|| WaitingFor::File, turn).await?;
        if *closed || (!close && lock(&self.written).is_empty()) {
            return Ok(());
        }
        let by = self.clone();
        let report = async move {
            by.report_all(close).await?;
            *closed = close;
            Ok(())
        };
        let report = self.session.carry(report, || true);
        patience.wait_quietly(|| self.session.meta.waiting_for(None), report).await?
    }

    async fn report_all(&self, close: bool) -> Result<(), ClientError> {
        let mut patience = Patience::new(None);
        loop {
            let (range, last) = {
                let mut written = lock(&self.written);
                (written.pop_first(), written.is_empty())
            };
            if range.is_none() && !close {
                return Ok(());
            }
            let mut taken = Taken { writer: self, range };
            let mutation = Mutation::Report {
                inode: self.inode,
                handle: self.handle,
                written: range,
                close: close && last,
            };
            let attributes = inode_of(self.change(mutation, &mut patience).await?)?;
            taken.range = None;
            self.known.learn(attributes);
            if last {
                return Ok(());
            }
        }
    }
}

impl OpenFile {
    /// The attributes, asked anew; what this handle wrote is reported before.
    pub(crate) async fn refresh(&self, patience: &mut Patience) -> Result<Attributes, ClientError> {
        if let Some(writer) = &self.writer
            && !lock(&writer.written).is_empty()
        {
            writer.report(false, patience).await?;
        }
        self.ask(patience).await
    }

    /// Reports what was written, unless the metadata group, asked now, knows the file to be as long as `end`.
    pub(super) async fn report_growth(
        &self,
        end: FileOffset,
        patience: &mut Patience,
    ) -> Result<(), ClientError> {
        let grows = |known: Attributes| end.get() > known.size.get();
        if grows(self.attributes()) || grows(self.ask(patience).await?) {
            self.writer()?.report(false, patience).await?;
        }
        Ok(())
    }

    async fn ask(&self, patience: &mut Patience) -> Result<Attributes, ClientError> {
        let query = Query::Attributes { of: Place::inode(self.inode), follow: false };
        match self.meta.ask(query, patience).await? {
            QueryReply::Attributes(attributes) => Ok(self.known.learn(attributes)),
            other => Err(misfit(&other)),
        }
    }
}
