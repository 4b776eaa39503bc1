//! Copies of chunks on their way to a syncing member, and what is under way meanwhile: what a replica must be right
//! about though it seldom happens.

use emberfs_buffer::Payload;
use emberfs_chain_replication::target::{Chunks, Input, VersionState};
use emberfs_layout::{ChunkId, ChunkOffset};
use emberfs_wire::cluster::{Chain, PublicState};
use emberfs_wire::replica::{ChunkSummary, InstallChunk};

use super::begun::Begun;
use super::{Node, Want};
use crate::network::target_of;
use crate::store::Work;

/// How a copy of a chunk meets what its receiver has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Copy {
    /// It replaces something, or is no copy.
    New,
    /// It is there already.
    Again,
    /// What is there was made after it, under this version of the chain.
    Late,
}

/// The state that an install asks for.
pub(super) fn asked(install: &InstallChunk, data: Option<&Payload>) -> VersionState {
    let ChunkSummary { version, digest, written_in, removed, .. } = install.summary;
    let len = data.map_or(ChunkOffset(0), Payload::end);
    VersionState { version, len, digest, written_in, removed }
}

impl Node {
    pub(super) fn copy(&self, input: &Input) -> Copy {
        let Input::Install { install, data, .. } = input else { return Copy::New };
        let there = self.store.state(install.summary.chunk).and_then(|state| state.committed);
        let of_now = install.replica.version == self.version;
        match there.filter(|_| of_now) {
            Some(there) if there == asked(install, data.as_ref()) => Copy::Again,
            Some(there)
                if there.written_in == self.version && there.version > install.summary.version =>
            {
                Copy::Late
            }
            _ => Copy::New,
        }
    }

    /// Chunks of which versions are under way where this is the last that serves, and a member behind it begins to
    /// sync with this version of the chain.
    pub(super) fn under_way(&self, chain: &Chain) -> Vec<ChunkId> {
        let last = chain.members.iter().rfind(|member| member.state == PublicState::Serving);
        let last = last.is_some_and(|member| member.target == target_of(self.at));
        let syncing = chain.members.iter().any(|member| member.state == PublicState::Syncing);
        if !last || !syncing {
            return Vec::new();
        }
        let begun = self.begun.values().filter_map(|begun| match begun {
            Begun::Change(Work::Put(chunk, _)) => Some(*chunk),
            _ => None,
        });
        let all = self.store.page(None, usize::MAX).into_iter();
        let pending = all.filter(|(_, state)| state.pending.is_some()).map(|(chunk, _)| chunk);
        begun.chain(pending).collect()
    }
}

impl Copy {
    /// What is counted.
    pub(super) fn counted(self) -> Option<Want> {
        match self {
            Self::New => None,
            Self::Again => Some(Want::Count("a chunk is sent that is there already")),
            Self::Late => Some(Want::Count("a copy of a chunk comes after what replaced it")),
        }
    }
}
