//! Is there one order of all operations on a chunk that explains every answer, each at a moment between
//! its begin and its end? The search of Wing and Gong (Testing and verifying concurrent objects, 1993),
//! with a memory of what was tried, as Lowe describes it (2017).
//!
//! An operation whose answer never came may have happened at any moment after its begin, or not at all.

use std::collections::HashMap;

use emberfs_wire::FsError;

/// What an operation does to a chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Write { start: usize, bytes: Vec<u8> },
    Cut(usize),
    Remove,
    Read,
}

/// What it was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// A change, with the chunk's length then.
    Changed(usize),
    /// A read: the whole chunk, or its absence.
    Saw(Option<Vec<u8>>),
    /// A change that has not happened and never will, for this reason.
    Refused(FsError),
}

/// One operation; moments are places in the order of events.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) begin: u64,
    pub(crate) end: Option<(u64, Answered)>,
    pub(crate) action: Action,
}

/// Operations on one chunk that the search takes: one bit each.
pub(crate) const OPERATIONS_MAX: usize = 128;

/// States the search looks at before it gives up, which is a failure too.
const STATES_MAX: usize = 3_000_000;

type Content = Option<Vec<u8>>;

/// Says what is wrong, if no order explains the answers.
pub(crate) fn check(operations: &[Operation]) -> Result<(), String> {
    let operations: Vec<&Operation> = operations
        .iter()
        .filter(|operation| operation.end.is_some() || operation.action != Action::Read)
        .filter(|operation| !matches!(operation.end, Some((_, Answered::Refused(_)))))
        .collect();
    assert!(operations.len() <= OPERATIONS_MAX, "the scenario keeps histories short");
    let all = operations
        .iter()
        .enumerate()
        .filter(|(_, operation)| operation.end.is_some())
        .fold(0_u128, |bits, (i, _)| bits | 1 << i);
    // By what is answered and what is there then: which of the others had to happen for it.
    let mut seen: HashMap<(u128, Content), Vec<u128>> = HashMap::new();
    let mut states = 0;
    // By how many of the others had to happen: what was never answered mostly does not matter.
    let mut stacks: Vec<Vec<(u128, Content)>> = vec![Vec::new(); operations.len() + 1];
    stacks[0].push((0, None));
    let mut furthest = 0_u128;
    while let Some((done, content)) = stacks.iter_mut().find_map(Vec::pop) {
        if done & all == all {
            return Ok(());
        }
        let open = done & !all;
        let ways = seen.entry((done & all, content.clone())).or_default();
        // Whoever got here with less has all the more left to go on with.
        if ways.iter().any(|less| less & !open == 0) {
            continue;
        }
        ways.push(open);
        states += 1;
        if states > STATES_MAX {
            return Err(format!("the search gave up, {}", explain(&operations, furthest)));
        }
        if (done & all).count_ones() > (furthest & all).count_ones() {
            furthest = done;
        }
        push_next(&operations, all, done, &content, &mut stacks);
    }
    Err(explain(&operations, furthest))
}

/// Every operation that may come next.
fn push_next(
    operations: &[&Operation],
    all: u128,
    done: u128,
    content: &Content,
    stacks: &mut [Vec<(u128, Content)>],
) {
    let open = |i: &usize| done & (1 << i) == 0;
    let first_end = (0..operations.len())
        .filter(open)
        .filter_map(|i| operations[i].end.as_ref().map(|(end, _)| *end))
        .min()
        .expect("something answered is left");
    let may = |i: &usize| open(i) && operations[*i].begin < first_end;
    for i in (0..operations.len()).filter(may) {
        if let Some(next) = apply(operations[i], content) {
            let done = done | 1 << i;
            stacks[(done & !all).count_ones() as usize].push((done, next));
        }
    }
}

/// The chunk after the operation, if its answer fits.
fn apply(operation: &Operation, content: &Content) -> Option<Content> {
    let mut next = content.clone();
    match &operation.action {
        Action::Write { start, bytes } => {
            let chunk = next.get_or_insert_default();
            chunk.resize(chunk.len().max(start + bytes.len()), 0);
            chunk[*start..start + bytes.len()].copy_from_slice(bytes);
        }
        Action::Cut(len) => next.iter_mut().for_each(|chunk| chunk.truncate(*len)),
        Action::Remove => next = None,
        Action::Read => {}
    }
    let fits = match operation.end.as_ref().map(|(_, answered)| answered) {
        None => true,
        Some(Answered::Changed(len)) => next.as_ref().map_or(0, Vec::len) == *len,
        Some(Answered::Saw(saw)) => *saw == next,
        Some(Answered::Refused(_)) => false,
    };
    fits.then_some(next)
}

fn explain(operations: &[&Operation], furthest: u128) -> String {
    let mut lines = vec!["no order explains:".to_owned()];
    for (i, operation) in operations.iter().enumerate() {
        let mark = if furthest & (1 << i) == 0 { "?" } else { " " };
        lines.push(format!(
            "  {mark} {}..{}: {:?} -> {:?}",
            operation.begin,
            operation.end.as_ref().map_or("never".to_owned(), |(end, _)| end.to_string()),
            operation.action,
            operation.end.as_ref().map(|(_, answered)| answered),
        ));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(begin: u64, end: Option<u64>, value: u8) -> Operation {
        let action = Action::Write { start: 0, bytes: vec![value] };
        Operation { begin, end: end.map(|end| (end, Answered::Changed(1))), action }
    }

    fn read(begin: u64, end: u64, value: Option<u8>) -> Operation {
        let saw = Answered::Saw(value.map(|value| vec![value]));
        Operation { begin, end: Some((end, saw)), action: Action::Read }
    }

    #[test]
    fn an_old_value_after_a_new_one_is_found() {
        let good = [write(0, Some(5), 1), write(6, Some(9), 2), read(7, 8, Some(1))];
        assert!(check(&good).is_ok());
        let bad = [good[0].clone(), good[1].clone(), read(10, 11, Some(1))];
        assert!(check(&bad).is_err());
    }

    #[test]
    fn a_write_without_an_answer_happens_once_or_never() {
        let open = write(0, None, 1);
        assert!(check(&[open.clone(), read(5, 6, None), read(7, 8, Some(1))]).is_ok());
        let back = [open, write(2, Some(3), 2), read(4, 5, Some(1)), read(6, 7, Some(2))];
        assert!(check(&back).is_err(), "2 cannot come back");
    }

    #[test]
    fn what_was_refused_is_never_seen() {
        let mut refused = write(0, None, 1);
        refused.end = Some((3, Answered::Refused(FsError::NoSpace)));
        assert!(check(&[refused.clone(), read(1, 2, None), read(4, 5, None)]).is_ok());
        assert!(check(&[refused.clone(), read(1, 2, Some(1))]).is_err());
        assert!(check(&[refused, read(4, 5, Some(1))]).is_err());
    }
}
