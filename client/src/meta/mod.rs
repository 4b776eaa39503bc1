//! Names and attributes: one function for each operation on the wire, each one request.
//!
//! This is the base: it names things by inode, or by a path from an inode ([`Place`]), as the mount does.
//! [`Fs`](crate::Fs) is the same by path from the root, [`File`](crate::File) what an open file can do.

mod operations;

use std::sync::Arc;
use std::time::Duration;

use emberfs_wire::FsError;
use emberfs_wire::meta::{Ask, Attributes, Mutation, MutationReply, Query, QueryReply};

use crate::client::Inner;
use crate::credentials::Credentials;
use crate::error::ClientError;
use crate::patience::Patience;
use crate::session::Session;

pub use operations::{Page, Position};

/// The namespace, on behalf of somebody.
#[derive(Clone, Debug)]
pub struct Meta {
    pub(crate) inner: Arc<Inner>,
    pub(crate) credentials: Credentials,
    /// How long a call may take.
    deadline: Option<Duration>,
}

impl Meta {
    pub(crate) fn new(inner: Arc<Inner>, credentials: Credentials) -> Self {
        let deadline = inner.options.deadline;
        Self { inner, credentials, deadline }
    }

    /// The same without a deadline: a call ends when it is known what became of it. For who has others wait for
    /// that with a deadline of their own. What files do that it opens has [`ClientOptions::deadline`] again.
    ///
    /// [`ClientOptions::deadline`]: crate::ClientOptions::deadline
    #[must_use]
    pub fn patient(&self) -> Self {
        Self { deadline: None, ..self.clone() }
    }

    /// The patience of a call that begins now.
    pub(crate) fn patience(&self) -> Patience {
        Patience::new(self.deadline)
    }

    /// Asks; with the caller's groups where the answer says that they decide.
    pub(crate) async fn ask(
        &self,
        query: Query,
        patience: &mut Patience,
    ) -> Result<QueryReply, ClientError> {
        let session = self.inner.session(patience).await?;
        let mut ask = Ask { caller: self.credentials.caller(), query };
        let reply = session.meta.call(&ask, patience).await?;
        if reply != QueryReply::GroupsNeeded {
            return Ok(reply);
        }
        ask.caller = self.credentials.caller_with_groups();
        session.meta.call(&ask, patience).await
    }

    /// Changes something under the session that is live now.
    pub(crate) async fn change(
        &self,
        mutation: Mutation,
        patience: &mut Patience,
    ) -> Result<MutationReply, ClientError> {
        let session = self.inner.session(patience).await?;
        change_under(&session, &self.credentials, mutation, patience).await
    }
}

/// Changes something under this session and no other: that of an open handle.
pub(crate) async fn change_under(
    session: &Arc<Session>,
    credentials: &Credentials,
    mutation: Mutation,
    patience: &mut Patience,
) -> Result<MutationReply, ClientError> {
    let reply = session.mutate(credentials.caller(), mutation.clone(), patience).await?;
    if reply != MutationReply::GroupsNeeded {
        return Ok(reply);
    }
    session.mutate(credentials.caller_with_groups(), mutation, patience).await
}

/// An answer of another kind than was asked for.
pub(crate) fn misfit(reply: &impl std::fmt::Debug) -> ClientError {
    ClientError::Fault { text: format!("an answer that does not fit: {reply:?}") }
}

/// The attributes in an answer to what makes, opens or changes an inode.
pub(crate) fn inode_of(reply: MutationReply) -> Result<Attributes, ClientError> {
    match reply {
        MutationReply::Inode { attributes, .. } => Ok(attributes),
        MutationReply::GroupsNeeded => Err(FsError::PermissionDenied.into()),
        other => Err(misfit(&other)),
    }
}

/// Nothing but that it was done.
pub(crate) fn done(reply: MutationReply) -> Result<(), ClientError> {
    match reply {
        MutationReply::Done => Ok(()),
        MutationReply::GroupsNeeded => Err(FsError::PermissionDenied.into()),
        other => Err(misfit(&other)),
    }
}
