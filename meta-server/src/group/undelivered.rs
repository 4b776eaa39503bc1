//! A state that was for another member and is not with it, and why: only what that member says itself tells of its disk.
//!
//! | what happened | is it told as | does it count towards giving the member up |
//! | --- | --- | --- |
//! | its disk does not take the state: `Wait`, or any other answer that is final | refused | yes |
//! | it has no place just now, or cannot fetch it: `Retry` | not sent | no |
//! | the connection ended, or never stood | not sent | no |
//! | it was withdrawn, or found no room here | not sent | no; withdrawn, it ends the count |

use std::time::Duration;

use emberfs_meta_server_consensus::Transfer;
use emberfs_transport::CallError;
use emberfs_wire::WireError;
use thiserror::Error;

/// Why a state is not with the member that it was for.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum Undelivered {
    /// The member says that it cannot take it in.
    #[error("{0}")]
    Refused(String),
    /// It did not get there.
    #[error("{0}")]
    NotSent(String),
}

impl From<&CallError> for Undelivered {
    fn from(error: &CallError) -> Self {
        let text = error.to_string();
        match error {
            CallError::Failed(WireError::Retry { .. }) => Self::NotSent(text),
            CallError::Failed(_) => Self::Refused(text),
            CallError::Deadline
            | CallError::Closed(_)
            | CallError::Unreadable(_)
            | CallError::TooLarge(_) => Self::NotSent(text),
        }
    }
}

/// What that is to the member that sent it.
pub(crate) fn became(sent: &Result<(), Undelivered>) -> Transfer {
    match sent {
        Ok(()) => Transfer::Delivered,
        Err(Undelivered::Refused(_)) => Transfer::Refused,
        Err(Undelivered::NotSent(_)) => Transfer::NotSent,
    }
}

/// How long its receiver wishes to be left alone after it.
pub(crate) fn wish(error: &CallError) -> Duration {
    match error {
        CallError::Failed(WireError::Retry { after_ms, .. }) => {
            Duration::from_millis((*after_ms).into())
        }
        _ => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use emberfs_transport::Closed;
    use emberfs_wire::FsError;

    use super::*;

    #[test]
    fn only_an_answer_that_is_final_is_a_refusal() {
        let text = || "why".to_owned();
        let of = |error: CallError| became(&Err((&error).into()));
        for refused in [
            WireError::Wait { text: text() },
            WireError::bug("why"),
            WireError::from(FsError::NoSpace),
        ] {
            assert_eq!(of(CallError::Failed(refused)), Transfer::Refused);
        }
        for error in [
            CallError::Failed(WireError::Retry { after_ms: 7, text: text() }),
            CallError::Deadline,
            CallError::Closed(Closed::ByPeer),
        ] {
            assert_eq!(of(error), Transfer::NotSent);
        }
        assert_eq!(became(&Ok(())), Transfer::Delivered);
        let retry = CallError::Failed(WireError::Retry { after_ms: 7, text: text() });
        let wishes = [wish(&retry), wish(&CallError::Deadline)];
        assert_eq!(wishes, [Duration::from_millis(7), Duration::ZERO]);
    }
}
