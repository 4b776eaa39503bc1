//! Bytes in any order, against a plain file; runs, pieces and their memory.

use super::*;
use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};

/// One step on a small file around the border of two runs.
#[derive(Clone, Debug)]
enum Step {
    Put {
        by: u8,
        at: u64,
        len: usize,
    },
    /// What is due, or what had begun at some time.
    Take {
        due: bool,
        begun: usize,
    },
    /// Of a piece that is under way.
    End {
        which: usize,
        well: bool,
    },
    Cut {
        at: u64,
    },
}

const BASE: u64 = RUN - 64;
/// Bytes of a chunk.
const CHUNK: usize = 32;

fn step() -> impl Strategy<Value = Step> {
    (any::<u8>(), 0..128_u64, 1..64_usize, any::<bool>(), any::<usize>()).prop_map(
        |(kind, at, len, yes, which)| match kind % 16 {
            0..7 => Step::Put { by: kind % 2, at, len },
            7..10 => Step::Take { due: yes, begun: which },
            10..15 => Step::End { which, well: yes },
            _ => Step::Cut { at },
        },
    )
}

fn small(at: u64) -> usize {
    usize::try_from(at).expect("a small file")
}

fn apply(file: &mut Vec<u8>, at: u64, bytes: &[u8]) {
    let at = small(at);
    file.resize(file.len().max(at + bytes.len()), 0);
    file[at..at + bytes.len()].copy_from_slice(bytes);
}

/// What is gathered, what is under way, and what the servers have.
#[derive(Default)]
struct Written {
    gather: Gather<u8>,
    pieces: Vec<Taken<u8>>,
    file: Vec<u8>,
}

impl Written {
    fn take(&mut self, which: Which) {
        let taken = self.gather.take(which);
        for Taken { run, start, bytes, .. } in &taken {
            let within = small(start.get() % CHUNK as u64);
            assert!(!bytes.is_empty() && within + bytes.len() <= CHUNK, "of one chunk");
            assert!(!matches!(which, Which::Begun(begun) if *run >= begun), "began later");
        }
        self.pieces.extend(taken);
    }

    fn end(&mut self, which: usize, well: bool) {
        let piece = self.pieces.swap_remove(which);
        if well {
            apply(&mut self.file, piece.start.get() - BASE, &piece.bytes);
            self.gather.done(&piece);
        } else {
            self.gather.put_back(piece);
        }
    }

    /// In any order: they do not touch each other.
    fn end_all(&mut self) {
        while let Some(last) = self.pieces.len().checked_sub(1) {
            self.end(last / 2, true);
        }
    }
}

proptest! {
    #[test]
    fn what_was_put_is_what_is_written(steps in proptest::collection::vec(step(), 1..60)) {
        let (mut written, mut model) = (Written::default(), Vec::new());
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Put { by, at, len } => {
                    let data = vec![u8::try_from(number + 1).expect("few steps"); len];
                    written.gather.put(&by, FileOffset(BASE + at), &data, CHUNK);
                    apply(&mut model, at, &data);
                }
                Step::Take { due: true, .. } => written.take(Which::Due),
                Step::Take { begun, .. } => {
                    let all = written.gather.begun();
                    written.take(Which::Begun(begun as u64 % (all + 1)));
                }
                Step::End { which, well } => {
                    if let Some(which) = which.checked_rem(written.pieces.len()) {
                        written.end(which, well);
                    }
                }
                Step::Cut { at } => {
                    written.end_all();
                    written.gather.cut(ByteLen(BASE + at));
                    model.resize(small(at), 0);
                    written.file.resize(small(at), 0);
                }
            }
            let (memory, len) = (memory(&written.gather), written.gather.len());
            prop_assert!(len <= memory && memory <= 2 * len, "{} bytes for {}", memory, len);
            let end = written.gather.end().get();
            prop_assert!(end == 0 || end <= BASE + model.len() as u64);
            let at = |at: usize| FileOffset(BASE + at as u64);
            for (number, byte) in model.iter().enumerate() {
                let here = written.gather.has_any_of(at(number), at(number + 1));
                let there = written.file.get(number).copied().unwrap_or_default();
                prop_assert!(here || there == *byte, "neither here nor there: {}", number);
            }
            let all = written.gather.has_any_of(at(0), at(model.len()));
            prop_assert_eq!(all, !written.gather.is_empty());
        }
        while !written.gather.is_empty() {
            written.take(Which::Begun(written.gather.begun()));
            prop_assert!(!written.pieces.is_empty(), "something moves");
            written.end_all();
        }
        prop_assert_eq!(written.file, model);
    }
}

/// What it takes of the machine's memory, with what is under way.
fn memory<W>(gather: &Gather<W>) -> usize {
    gather.runs.iter().map(Run::memory).sum::<usize>() + gather.taken
}

fn lens<W>(taken: &[Taken<W>]) -> Vec<usize> {
    taken.iter().map(|piece| piece.bytes.len()).collect()
}

#[test]
fn bytes_in_a_row_make_one_run_up_to_its_border() {
    let (mut gather, chunk) = (Gather::default(), 1 << 21);
    for piece in 0..6 {
        gather.put(&(), FileOffset(piece << 20), &vec![1; 1 << 20], chunk);
    }
    assert!(gather.is_due() && gather.has_room(2 << 20) && !gather.has_room((2 << 20) + 1));
    let taken = gather.take(Which::Due);
    assert_eq!(lens(&taken), [2 << 20; 2]);
    assert!(!gather.has_room((2 << 20) + 1), "what is on its way counts");
    assert_eq!(gather.end(), ByteLen(6 << 20));
    let all = Which::Begun(gather.begun());
    assert_eq!((gather.take(Which::Due).len(), gather.take(all).len()), (0, 1));
}

/// Of two chains one hangs: what goes to the other counts as soon as it is there, and more follows it.
#[test]
fn each_piece_ends_for_itself() {
    let (mut gather, chunk) = (Gather::default(), 1 << 20);
    gather.put(&(), FileOffset(0), &vec![1; 4 << 20], chunk);
    let mut taken = gather.take(Which::Due);
    assert_eq!(lens(&taken), [chunk; 4]);
    let hangs = taken.remove(0);
    gather.done(&taken.remove(0));
    gather.put_back(taken.remove(0));
    assert_eq!(gather.len(), 3 << 20);
    gather.put(&(), FileOffset(4 << 20), &[1; 9], chunk);
    gather.put(&(), FileOffset(5), &[2; 9], chunk);
    let all = Which::Begun(gather.begun());
    gather.put(&(), FileOffset(99 << 20), &[3; 9], chunk);
    assert_eq!(lens(&gather.take(all)), [chunk, 9], "nothing goes before what hangs");
    gather.done(&hangs);
    assert_eq!(lens(&gather.take(all)), [9], "what began later is not waited for");
}

/// Of 64 chunks one hangs: all others give their memory back.
#[test]
fn each_piece_has_memory_of_its_own() {
    let (chunk, step) = (64 << 10, 5000);
    let mut gather = Gather::default();
    for at in (0..RUN).step_by(step) {
        let len = step.min(small(RUN - at));
        gather.put(&(), FileOffset(at), &vec![1; len], chunk);
        let (memory, run) = (memory(&gather), &gather.runs[0]);
        assert!(memory < run.len() + chunk && memory <= 2 * run.len(), "{memory}");
    }
    assert_eq!(memory(&gather), small(RUN), "a full run has nothing to spare");
    let pieces = gather.take(Which::Due);
    assert_eq!(lens(&pieces), [chunk; 64]);
    for piece in pieces {
        let alone = piece.bytes.try_into_mut().expect("nobody else has a part of it");
        assert_eq!(alone.capacity(), chunk);
    }
}

#[test]
fn a_run_that_grows_no_more_has_nothing_to_spare() {
    let (mut gather, chunk) = (Gather::default(), 1 << 20);
    for number in 0..9 {
        gather.put(&(), FileOffset(number * 100), &[1; 100], chunk);
    }
    assert!(memory(&gather) > gather.len());
    gather.put(&(), FileOffset(9 << 20), &[1; 100], chunk);
    assert_eq!(memory(&gather), gather.len());
    gather.cut(ByteLen(250));
    assert_eq!((memory(&gather), gather.len()), (250, 250));
}

#[test]
fn many_small_runs_go_a_few_at_a_time() {
    let (mut gather, chunk, mut put) = (Gather::default(), 1 << 20, 0);
    while gather.has_room(1) {
        gather.put(&(), FileOffset(put * 2), &[1], chunk);
        put += 1;
    }
    let all = Which::Begun(put);
    let taken = gather.take(all);
    assert_eq!((taken.len(), gather.take(all).len()), (PIECES_AT_ONCE, 0));
    assert!(!gather.has_room(1), "what is on its way counts");
    gather.done(&taken[0]);
    assert!(gather.has_room(1) && gather.take(all).len() == 1);
}
