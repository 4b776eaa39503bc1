//! Faults that are built into the simulated servers, leaders or clients on purpose: each breaks one rule
//! that the core relies on or keeps, and the simulation must find each.

/// One broken rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Planted {
    /// The store says that a put is durable before it is.
    DurableTooEarly,
    /// Every replica stores as committed, without its successor's answer.
    CommittedTooEarly,
    /// A restarted server has forgotten which changes were applied.
    TagsForgotten,
    /// A server never lets go of its lease.
    LeaseForEver,
    /// Messages are taken whatever version of the chain they go by.
    AnyChainVersion,
    /// A read of a dirty chunk gets the pending version, without a question to the tail.
    DirtyReadUnasked,
    /// The predecessor does not compare and says that all is sent.
    NothingCompared,
    /// A client tries again under a new number.
    RetryWithoutTag,
    /// The store says that commits and discards are durable, and makes none so.
    FlushSkipped,
    /// A replica takes what its predecessor sent before the latest refusal.
    AnyAttempt,
    /// A server counts its lease from the answer, not from when it asked.
    LeaseFromAnswer,
    /// The leader changes a chain before T has passed.
    ChangedTooEarly,
    /// A member that returns says that it has everything before that is durable.
    FinishedUnflushed,
    /// A syncing member that has no room for a chunk says that it has it.
    RoomPretended,
    /// What an open syncing member has no room for, its predecessor refuses.
    SyncingObeyed,
    /// A replica gives out bytes that do not match their sums.
    Unchecked,
    /// A session's mark for a chain passes requests to it that wait for their replies.
    MarkTooHigh,
    /// The leader passes no session's mark on: what is idle holds the others up.
    MarksKept,
    /// A replica learns marks of sessions that wrote by a newer version of its chain, of which it hears later.
    MarksEarly,
    /// A server that started anew is taken for its earlier process.
    RestartIgnored,
    /// When no member of the last serving set is there, any other takes over.
    StaleTakesOver,
    /// A syncing member is sent a chunk of which a version from under the chain's version before is not through.
    SentTooEarly,
    /// A syncing member stores a copy of a chunk that comes late, over what it has from under the same version of
    /// the chain.
    LateCopyTaken,
    /// A syncing member stores a chunk that it has once more, as often as it is sent, before it answers.
    InstalledAgain,
    /// A leader takes no heed of what the ones before it may have granted.
    EarlierGrantsIgnored,
    /// A leader takes heed of what the ones before it granted as if they had granted by its own lease.
    EarlierLeaseIgnored,
    /// Whoever once led goes on answering heartbeats: neither its lease nor its term is looked at.
    DeposedGrants,
    /// What one leader decided is proposed later, by whoever leads then.
    DecidedBefore,
    /// A member returns with an older state than it says.
    StateForgotten,
    /// A member leads as soon as it is elected, before its state has taken in what was committed before.
    LeadsTooEarly,
}
