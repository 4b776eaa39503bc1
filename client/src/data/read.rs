//! Reading: what is there, what is a hole, what is lost.
//!
//! Bytes that a replica does not have are zeros only if the file was never written there, which its
//! attributes say, asked *after* the replica answered. Where the file was written, every other serving
//! replica is asked; when all lack the bytes, and the attributes are still the same, the chunk is lost.
//!
//! So is the end of the file: a range that reaches past the length that is known asks for the length, along
//! with the bytes.
//!
//! A replica that says that its copy is damaged, or whose bytes twice do not match their sums, is not asked again
//! under that version of its chain. When no other is left the chunk is given up as damaged; as long as one is
//! merely out of reach, it is waited for.
//!
//! Ranges share requests and the time, and fail each for itself (`outcomes`).

use std::time::Duration;

use emberfs_client_session::{FileStripe, Missing, Next, Work, decide, missing};
use emberfs_layout::{ByteLen, ChainId, ChunkSize};
use emberfs_wire::chunk::Replica;
use emberfs_wire::meta::Attributes;
use emberfs_wire::meta::inode::FileData;
use futures_util::StreamExt;
use futures_util::stream;

use super::batch::{Answer, Chosen, Failed, gather};
use super::data_of;
use super::outcomes::Outcomes;
use super::part::{Choice, Part};
use super::targets::Targets;
use crate::error::{ClientError, Try, WaitingFor};
use crate::file::OpenFile;
use crate::patience::Patience;

/// How long one replica may take to answer before another is asked: far beyond what a busy disk takes.
pub(super) const READ_WAIT: Duration = Duration::from_secs(10);
/// Batches of one call under way (a count): enough to keep several servers busy, and with 4 MiB each, should
/// none land in the caller's memory, within that of the default options.
const BATCHES_MAX: usize = 8;

/// A part of which a replica has only the first bytes.
#[derive(Debug)]
struct Short {
    part: Part,
    have: u32,
    /// Whether every serving replica said so.
    exhausted: bool,
}

/// Reads all of `targets`, and says how many bytes each got: fewer than its buffer has at the end of the
/// file.
pub(crate) async fn read(
    file: &OpenFile,
    mut targets: Targets<'_>,
    mut patience: Patience,
) -> Vec<Result<usize, ClientError>> {
    let mut outcomes = Outcomes::new(targets.count());
    let ended = read_all(file, &mut targets, &mut outcomes, &mut patience).await;
    outcomes.end(&targets, ended.err().as_ref())
}

/// Reads until no range is open; an error ends those that are.
async fn read_all(
    file: &OpenFile,
    targets: &mut Targets<'_>,
    outcomes: &mut Outcomes,
    patience: &mut Patience,
) -> Result<(), ClientError> {
    let mut known = file.attributes();
    loop {
        outcomes.restart();
        let data = data_of(&known)?;
        let wanted = targets.cut(data.layout.chunk_size, ByteLen::ZERO, known.size)?;
        let past = &targets.past(known.size);
        wanted.iter().for_each(|part| outcomes.open(part.target));
        past.iter().for_each(|target| outcomes.open(*target));
        outcomes.begun(known.size);
        let first = fetch_and_ask(file, &data, wanted, past, targets, outcomes, patience);
        let (fetched, asked) = first.await;
        let (mut more, mut seen) = (Vec::new(), known.size);
        if let Some(asked) = asked.filter(|asked| is_same(&data, asked)) {
            // It counts also if bytes of others did not come.
            more = grown(seen, asked.size, targets, data.layout.chunk_size, outcomes)?;
            past.iter().for_each(|target| outcomes.close(*target));
            seen = seen.max(asked.size);
        }
        let mut short = fetched?;
        let fresh = match asked {
            None if short.is_empty() => return Ok(()),
            Some(asked) if short.is_empty() => asked,
            _ => Box::pin(file.refresh(patience)).await?,
        };
        if !is_same(&data, &fresh) {
            known = fresh;
            continue;
        }
        more.extend(grown(seen, fresh.size, targets, data.layout.chunk_size, outcomes)?);
        short.extend(fetch(file, &data_of(&fresh)?, more, targets, outcomes, patience).await?);
        match Box::pin(settle(file, &fresh, short, targets, outcomes, patience)).await? {
            None => return Ok(()),
            Some(changed) => known = changed,
        }
    }
}

/// Whether the bytes are those of these attributes, though there may be more or fewer now.
fn is_same(data: &FileData, now: &Attributes) -> bool {
    now.data.is_some_and(|now| (now.id, now.layout) == (data.id, data.layout))
}

/// The file is so long `now`: the parts behind what was `seen` of it, which are open then.
fn grown(
    seen: ByteLen,
    now: ByteLen,
    targets: &Targets<'_>,
    chunk_size: ChunkSize,
    outcomes: &mut Outcomes,
) -> Result<Vec<Part>, ClientError> {
    let more = targets.cut(chunk_size, seen, now)?;
    more.iter().for_each(|part| outcomes.open(part.target));
    outcomes.size = now;
    Ok(more)
}

/// Reads parts, and asks for the file's length meanwhile if ranges reach `past` the one that is known: these
/// fail without an answer, and the others go on. The answer counts also if the parts did not come.
async fn fetch_and_ask(
    file: &OpenFile,
    data: &FileData,
    wanted: Vec<Part>,
    past: &[usize],
    targets: &mut Targets<'_>,
    outcomes: &mut Outcomes,
    patience: &mut Patience,
) -> (Result<Vec<Short>, ClientError>, Option<Attributes>) {
    if past.is_empty() {
        return (fetch(file, data, wanted, targets, outcomes, patience).await, None);
    }
    let (no_other, mut other) = (past.len() == targets.count(), patience.clone());
    let mut asked = None;
    let asking = async {
        let answer = asked.insert(Box::pin(file.refresh(&mut other)).await);
        answer.as_ref().map(|_| ()).or_else(|why| if no_other { Err(why.clone()) } else { Ok(()) })
    };
    let bytes = fetch(file, data, wanted, targets, outcomes, patience);
    let fetched = tokio::try_join!(bytes, asking).map(|(short, ())| short);
    match asked {
        Some(Err(why)) if fetched.is_ok() => {
            let failed = past.iter().try_for_each(|target| outcomes.fail(*target, why.clone()));
            (failed.and(fetched), None)
        }
        asked => (fetched, asked.and_then(Result::ok)),
    }
}

/// Decides what missing bytes are; `Some` if the file changed meanwhile and all is to be read again.
async fn settle(
    file: &OpenFile,
    fresh: &Attributes,
    mut short: Vec<Short>,
    targets: &mut Targets<'_>,
    outcomes: &mut Outcomes,
    patience: &mut Patience,
) -> Result<Option<Attributes>, ClientError> {
    let data = data_of(fresh)?;
    let mut lost = Vec::new();
    while !short.is_empty() {
        let mut elsewhere = Vec::new();
        for Short { mut part, have, exhausted } in short {
            let whole = part.span.len;
            clip(&mut part, data.layout.chunk_size, fresh.size);
            match missing(data.layout.chunk_size, &part.span, have, data.dense_to) {
                Missing::None => outcomes.close(part.target),
                Missing::Zeros => {
                    targets.bytes_of(&part)[have as usize..].fill(0);
                    outcomes.close(part.target);
                }
                Missing::Lost if exhausted => lost.push(part),
                Missing::Lost => {
                    part.span.len = whole;
                    elsewhere.push(part);
                }
            }
        }
        short = fetch(file, &data, elsewhere, targets, outcomes, patience).await?;
    }
    if lost.is_empty() {
        return Ok(None);
    }
    let again = file.refresh(patience).await?;
    if (again.data, again.size) != (fresh.data, fresh.size) {
        return Ok(Some(again));
    }
    let stripe = file.stripe(&data, patience).await?;
    for part in lost {
        let (chunk, chain) = (part.chunk(&data), stripe.chain_of(part.span.index));
        tracing::error!(%chunk, %chain, "bytes are lost");
        outcomes.fail(part.target, ClientError::Lost { chunk, chain })?;
    }
    Ok(None)
}

/// Cuts off what lies behind the end of the file.
fn clip(part: &mut Part, size: ChunkSize, file_size: ByteLen) {
    let covered = size.covered(part.span.index, file_size).get();
    part.span.len = part.span.len.min(covered.saturating_sub(part.span.start.get()));
}

/// Reads parts, each from some serving replica, until each was answered or its range failed; those of which
/// bytes are missing are returned.
async fn fetch(
    file: &OpenFile,
    data: &FileData,
    mut todo: Vec<Part>,
    targets: &mut Targets<'_>,
    outcomes: &mut Outcomes,
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
                Choice::Of(replica) => chosen.push((part, replica)),
                Choice::Exhausted => short.push(Short { part, have: 0, exhausted: true }),
                Choice::Damaged => outcomes.fail(part.target, damaged(&part, data, &stripe))?,
                Choice::Nobody(why) => {
                    part.avoid.clear();
                    failed.push(Failed { part, from: None, why: why.into() });
                }
            }
        }
        let rooms = targets.rooms(chosen.iter().map(|(part, _)| part));
        let chosen = chosen.into_iter().zip(rooms);
        let chosen = chosen.map(|((part, replica), room)| Chosen { part, replica, room }).collect();
        let gathering = gather(chosen, &routing, &session.storage, &mut failed);
        let batches = patience.wait(what, gathering).await?;
        let routes = &file.inner().routes;
        let sent = batches.into_iter().map(|batch| batch.send(data, routes, &session.meta));
        // Collected, as a future that holds a closure over lifetimes is not seen to be `Send`.
        let mut answers = stream::iter(sent.collect::<Vec<_>>()).buffer_unordered(BATCHES_MAX);
        while let Some(answers) = patience.wait(what, answers.next()).await? {
            take_in(answers, outcomes, &mut short, &mut failed);
        }
        drop(answers);
        if let Some(failure) = failed.first() {
            last = failure.why.to_string();
        }
        todo = again(file, failed, chain, outcomes, patience).await?;
    }
    Ok(short)
}

/// Sorts out what is there, what is not, and what failed.
fn take_in(
    answers: Vec<(Part, Replica, Answer)>,
    outcomes: &mut Outcomes,
    short: &mut Vec<Short>,
    failed: &mut Vec<Failed>,
) {
    for (mut part, replica, answer) in answers {
        let why = match answer {
            Answer::Bytes(have) if have < part.span.len => {
                part.lacking.push(replica.target);
                short.push(Short { part, have, exhausted: false });
                continue;
            }
            Answer::Bytes(_) => {
                outcomes.close(part.target);
                continue;
            }
            Answer::Unfit(unfit) => {
                part.was_unfit(replica);
                Try::Damaged(unfit.to_string())
            }
            Answer::Failed(why) => {
                part.failed(replica, &why);
                why
            }
        };
        failed.push(Failed { part, from: Some(replica), why });
    }
}

/// No serving replica is left that might have a chunk whole.
fn damaged(part: &Part, data: &FileData, stripe: &FileStripe) -> ClientError {
    let (chunk, chain) = (part.chunk(data), stripe.chain_of(part.span.index));
    tracing::error!(%chunk, %chain, "every copy is damaged");
    ClientError::Damaged { chunk, chain }
}

/// Pauses and refreshes as the failures ask for; the parts that are tried again.
async fn again(
    file: &OpenFile,
    failed: Vec<Failed>,
    chain: ChainId,
    outcomes: &mut Outcomes,
    patience: &mut Patience,
) -> Result<Vec<Part>, ClientError> {
    let (mut pause, mut refresh, mut silent) = (Duration::ZERO, false, false);
    let mut last = None::<Try>;
    let mut parts = Vec::with_capacity(failed.len());
    for Failed { mut part, from, why } in failed {
        let decision = decide(Work::Read, why.as_failure(), part.tries, rand::random());
        part.tries += 1;
        match decision.next {
            Next::Refused(no) => outcomes.fail(part.target, no.into())?,
            Next::Fault => {
                outcomes.fail(part.target, ClientError::Fault { text: why.to_string() })?;
            }
            Next::Elsewhere => {
                part.avoid.extend(from.map(|replica| replica.target));
                silent |= why.is_silence();
            }
            Next::Refresh => refresh = true,
            Next::Again => {}
        }
        if outcomes.goes_on(part.target) {
            pause = pause.max(decision.pause);
            last = Some(why);
            parts.push(part);
        }
    }
    let Some(last) = last else { return Ok(parts) };
    tracing::debug!(%chain, why = %last, parts = parts.len(), "reading again");
    patience.pause(|| WaitingFor::Chain { chain, last: last.to_string() }, pause).await?;
    if refresh || silent {
        let session = file.inner().session(patience).await?;
        let routes = &file.inner().routes;
        match refresh {
            true => routes.refresh(routes.now().version(), &session.meta, patience).await?,
            // Another replica may do; the next read should know better whom to ask.
            false => routes.look_behind(&session),
        }
    }
    Ok(parts)
}
