//! Reading: what is there, what is a hole, what is lost.
//!
//! Bytes that a replica does not have are zeros only if the file was never written there, which its
//! attributes say, asked *after* the replica answered. Where the file was written, every other serving
//! replica is asked; when all lack the bytes, and the attributes are still the same, the chunk is lost.
//!
//! So is the end of the file: a range that reaches past the length that is known asks for the length, along
//! with the bytes.

use std::time::Duration;

use emberfs_client_session::{Missing, Next, Work, decide, missing, parts};
use emberfs_layout::{ByteLen, ChunkSize, FileOffset};
use emberfs_wire::meta::Attributes;
use emberfs_wire::meta::inode::FileData;
use futures_util::StreamExt;
use futures_util::stream;

use super::batch::{Answer, Choice, Chosen, Failed, Part, gather};
use super::data_of;
use crate::error::{ClientError, Try, WaitingFor};
use crate::file::OpenFile;
use crate::patience::Patience;

/// How long one replica may take to answer before another is asked: far beyond what a busy disk takes.
pub(super) const READ_WAIT: Duration = Duration::from_secs(10);
/// Batches of one call under way (a count): enough to keep several servers busy, and with 4 MiB each
/// within the memory of the default options.
const BATCHES_MAX: usize = 8;

/// A range of a file, and where its bytes go.
#[derive(Debug)]
pub(crate) struct Target<'b> {
    pub(crate) offset: FileOffset,
    pub(crate) buf: &'b mut [u8],
}

/// A part of which a replica has only the first bytes.
#[derive(Debug)]
struct Short {
    part: Part,
    have: u32,
    /// Whether every serving replica said so.
    exhausted: bool,
}

impl Target<'_> {
    /// How many bytes of the range a file of this size has.
    fn within(&self, size: ByteLen) -> u64 {
        size.get().saturating_sub(self.offset.get()).min(self.buf.len() as u64)
    }
}

/// Reads all of `targets`, and says how many bytes each got: fewer than its buffer has at the end of the
/// file.
pub(crate) async fn read(
    file: &OpenFile,
    targets: &mut [Target<'_>],
    patience: &mut Patience,
) -> Result<Vec<usize>, ClientError> {
    let mut known = file.attributes();
    loop {
        let data = data_of(&known)?;
        let beyond = targets.iter().any(|t| t.within(known.size) < t.buf.len() as u64);
        let wanted = cut(&data, targets, ByteLen::ZERO, known.size)?;
        let (mut short, asked) = if beyond {
            let mut other = patience.clone();
            let bytes = fetch(file, &data, wanted, targets, patience);
            let (bytes, asked) = tokio::join!(bytes, file.refresh(&mut other));
            (bytes?, Some(asked?))
        } else {
            (fetch(file, &data, wanted, targets, patience).await?, None)
        };
        let fresh = match asked {
            None if short.is_empty() => return Ok(lens(targets, known.size)),
            Some(asked) if short.is_empty() => asked,
            _ => file.refresh(patience).await?,
        };
        let now = data_of(&fresh)?;
        if (now.id, now.layout) != (data.id, data.layout) {
            known = fresh;
            continue;
        }
        if fresh.size > known.size {
            let more = cut(&now, targets, known.size, fresh.size)?;
            short.extend(fetch(file, &now, more, targets, patience).await?);
        }
        match settle(file, &fresh, short, targets, patience).await? {
            None => return Ok(lens(targets, fresh.size)),
            Some(changed) => known = changed,
        }
    }
}

fn lens(targets: &[Target<'_>], size: ByteLen) -> Vec<usize> {
    let len = |target: &Target<'_>| {
        usize::try_from(target.within(size)).expect("not more than the buffer has")
    };
    targets.iter().map(len).collect()
}

/// The parts of all ranges that lie between `from` and `to` of the file.
fn cut(
    data: &FileData,
    targets: &[Target<'_>],
    from: ByteLen,
    to: ByteLen,
) -> Result<Vec<Part>, ClientError> {
    let mut all = Vec::new();
    for (target, Target { offset, buf }) in targets.iter().enumerate() {
        let end = offset.get().saturating_add(buf.len() as u64).min(to.get());
        let start = offset.get().max(from.get());
        let len = ByteLen(end.saturating_sub(start));
        if len == ByteLen::ZERO {
            continue;
        }
        for mut span in parts(data.layout.chunk_size, FileOffset(start), len)? {
            span.at = ByteLen(span.at.get() + (start - offset.get()));
            let (lacking, avoid) = (Vec::new(), Vec::new());
            all.push(Part { target, span, lacking, avoid, tries: 0 });
        }
    }
    Ok(all)
}

/// Decides what missing bytes are; `Some` if the file changed meanwhile and all is to be read again.
async fn settle(
    file: &OpenFile,
    fresh: &Attributes,
    mut short: Vec<Short>,
    targets: &mut [Target<'_>],
    patience: &mut Patience,
) -> Result<Option<Attributes>, ClientError> {
    let data = data_of(fresh)?;
    let mut lost = None;
    while !short.is_empty() {
        let mut elsewhere = Vec::new();
        for Short { mut part, have, exhausted } in short {
            let whole = part.span.len;
            clip(&mut part, data.layout.chunk_size, fresh.size);
            match missing(data.layout.chunk_size, &part.span, have, data.dense_to) {
                Missing::None => {}
                Missing::Zeros => place(&part, targets)[have as usize..].fill(0),
                Missing::Lost if exhausted => lost = Some(part),
                Missing::Lost => {
                    part.span.len = whole;
                    elsewhere.push(part);
                }
            }
        }
        short = fetch(file, &data, elsewhere, targets, patience).await?;
    }
    let Some(part) = lost else { return Ok(None) };
    let again = file.refresh(patience).await?;
    if (again.data, again.size) != (fresh.data, fresh.size) {
        return Ok(Some(again));
    }
    let chain = file.stripe(&data, patience).await?.chain_of(part.span.index);
    let chunk = part.chunk(&data);
    tracing::error!(%chunk, %chain, "bytes are lost");
    Err(ClientError::Lost { chunk, chain })
}

/// Cuts off what lies behind the end of the file.
fn clip(part: &mut Part, size: ChunkSize, file_size: ByteLen) {
    let covered = size.covered(part.span.index, file_size).get();
    part.span.len = part.span.len.min(covered.saturating_sub(part.span.start.get()));
}

/// Where a part's bytes go.
fn place<'t>(part: &Part, targets: &'t mut [Target<'_>]) -> &'t mut [u8] {
    let at = usize::try_from(part.span.at.get()).expect("within the caller's buffer");
    &mut targets[part.target].buf[at..at + part.span.len as usize]
}

/// Reads parts, each from some serving replica, until each was answered; those of which bytes are missing
/// are returned.
async fn fetch(
    file: &OpenFile,
    data: &FileData,
    mut todo: Vec<Part>,
    targets: &mut [Target<'_>],
    patience: &mut Patience,
) -> Result<Vec<Short>, ClientError> {
    let mut short = Vec::new();
    if todo.is_empty() {
        return Ok(short);
    }
    let stripe = file.stripe(data, patience).await?;
    let mut last = "the reply".to_owned();
    while let Some(first) = todo.first() {
        let chain = stripe.chain_of(first.span.index);
        let what = || WaitingFor::Chain { chain, last: last.clone() };
        let session = file.inner().session(patience).await?;
        let routing = file.inner().routes.now();
        let (mut chosen, mut failed) = (Vec::new(), Vec::new());
        for mut part in todo {
            match part.choose(&routing, &stripe) {
                Choice::Of(replica) => chosen.push(Chosen { part, replica }),
                Choice::Exhausted => short.push(Short { part, have: 0, exhausted: true }),
                Choice::Nobody(why) => {
                    part.avoid.clear();
                    failed.push(Failed { part, from: None, why: why.into() });
                }
            }
        }
        let gathering = gather(chosen, &routing, &session.storage, &mut failed);
        let batches = patience.wait(what, gathering).await?;
        let mut answers =
            stream::iter(batches).map(|batch| batch.send(data)).buffer_unordered(BATCHES_MAX);
        while let Some((parts, answers)) = patience.wait(what, answers.next()).await? {
            for (Chosen { mut part, replica }, answer) in parts.into_iter().zip(answers) {
                match answer {
                    Answer::Failed(why) => failed.push(Failed { part, from: Some(replica), why }),
                    Answer::Bytes(payload) => {
                        let bytes = payload.as_ref().map_or(&[][..], |payload| payload.bytes());
                        place(&part, targets)[..bytes.len()].copy_from_slice(bytes);
                        let have = u32::try_from(bytes.len()).expect("not more than was asked");
                        if have < part.span.len {
                            part.lacking.push(replica.target);
                            short.push(Short { part, have, exhausted: false });
                        }
                    }
                }
            }
        }
        drop(answers);
        if let Some(failure) = failed.first() {
            last = failure.why.to_string();
        }
        todo = again(file, failed, chain, patience).await?;
    }
    Ok(short)
}

/// Pauses and refreshes as the failures ask for; the parts that are tried again.
async fn again(
    file: &OpenFile,
    failed: Vec<Failed>,
    chain: emberfs_layout::ChainId,
    patience: &mut Patience,
) -> Result<Vec<Part>, ClientError> {
    let (mut pause, mut refresh, mut last) = (Duration::ZERO, false, None::<Try>);
    let mut parts = Vec::with_capacity(failed.len());
    for Failed { mut part, from, why } in failed {
        let decision = decide(Work::Read, why.as_failure(), part.tries, rand::random());
        part.tries += 1;
        match decision.next {
            Next::Refused(why) => return Err(why.into()),
            Next::Fault => return Err(ClientError::Fault { text: why.to_string() }),
            Next::Elsewhere => part.avoid.extend(from.map(|replica| replica.target)),
            Next::Refresh => refresh = true,
            Next::Again => {}
        }
        pause = pause.max(decision.pause);
        last = Some(why);
        parts.push(part);
    }
    let Some(last) = last else { return Ok(parts) };
    tracing::debug!(%chain, why = %last, parts = parts.len(), "reading again");
    patience.pause(|| WaitingFor::Chain { chain, last: last.to_string() }, pause).await?;
    if refresh {
        let session = file.inner().session(patience).await?;
        let seen = file.inner().routes.now().version();
        file.inner().routes.refresh(seen, &session.meta, patience).await?;
    }
    Ok(parts)
}
