//! One member whose disk syncs at once, for tests of what it says.

use emberfs_wire::group::MessageKind;

use crate::{Effect, Input, Member, Millis, PeerMessage};

/// Steps, and all that follows from it; what it says comes out.
pub(super) fn speak(member: &mut Member, now: Millis, input: Input) -> Vec<PeerMessage> {
    let (mut said, mut inputs) = (Vec::new(), vec![input]);
    while let Some(input) = inputs.pop() {
        let mut effects = Vec::new();
        member.step(now, input, &mut effects);
        for effect in effects {
            match effect {
                Effect::Append(append) => inputs.push(Input::Durable(append.synced())),
                Effect::Send(message) => said.push(message),
                _ => {}
            }
        }
    }
    said
}

/// The kinds of what it says.
pub(super) fn said(member: &mut Member, now: Millis, input: Input) -> Vec<MessageKind> {
    let said = speak(member, now, input).into_iter();
    said.map(|message| message.into_parts().0.kind).collect()
}
