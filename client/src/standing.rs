//! How the members of the metadata group stand, each asked for itself: also where none leads.

use std::time::Duration;

use emberfs_transport::{Address, NoService};
use emberfs_wire::group::GetMemberReply;

use crate::group::MetaLinks;
use crate::links::Dialling;
use crate::options::{ClientOptions, ClusterAddress};

/// What one member says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberAnswer {
    /// Where it was asked.
    pub address: Address,
    /// Its answer, or why there is none.
    pub answer: Result<GetMemberReply, String>,
}

/// Asks each member of a cluster how it stands, those too of which only another tells. A connection may take as long as
/// `wait`, and an answer as long again.
pub async fn members(address: &ClusterAddress, wait: Duration) -> Vec<MemberAnswer> {
    let dialling = Dialling::new(address.cluster, &ClientOptions::default());
    let meta = MetaLinks::new(&dialling, &address.meta, &NoService);
    let answers = meta.ask_each(wait).await.into_iter();
    answers.map(|(address, answer)| MemberAnswer { address, answer }).collect()
}
