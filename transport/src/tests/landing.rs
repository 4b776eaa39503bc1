//! Payloads that land in memory of a caller: where they belong, and nowhere once he has it back.

use std::mem::forget;
use std::sync::Arc;

use bytes::Bytes;
use emberfs_buffer::Pool;
use emberfs_layout::ByteLen;
use emberfs_wire::header::{HEADER_BYTES, RequestId};
use emberfs_wire::{FrameHeader, FrameKind, Request, WireError, decode, encode};
use futures_util::FutureExt;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Builder;
use tokio::spawn;

use super::framing::Pieces;
use super::{Echo, against_script, pair, request_bytes};
use crate::arriving::Destination;
use crate::frame::Draft;
use crate::landing::{Lease, Loan};
use crate::reader::FrameReader;
use crate::{
    Answer, CallError, CallOptions, Closed, Handler, IncomingCall, Limits, NoService, Owned, Spot,
    lend,
};

/// What memory holds in which nothing landed.
const CANARY: u8 = 0xee;
/// What its owner writes when he has it back.
const MINE: u8 = 0x55;
/// As much as is read straight from the socket.
const PIECE: usize = 16 << 10;

fn spot(buffer: usize, start: usize, len: usize) -> Spot {
    Spot { buffer, range: start..start + len }
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| u8::try_from(i % 233).expect("below 233")).collect()
}

/// Two frames, of which the payload of the first is to land.
struct Script {
    reader: FrameReader<Pieces>,
    lens: Vec<usize>,
    lease: Option<Arc<Lease>>,
    /// The payloads in the frames that came.
    found: Vec<Bytes>,
    /// In how many turns of the loop something lands before the memory is taken back.
    turns: usize,
    /// Whether all of it did.
    whole: bool,
}

impl Script {
    fn new(payload: &[u8], lens: &[usize], sizes: Vec<usize>, turns: usize) -> Self {
        let bytes = [request_bytes(1, Echo(1), payload), request_bytes(2, Echo(2), b"next")];
        let stream = Pieces::new(bytes.concat(), sizes);
        let reader = FrameReader::new(stream, Pool::new(ByteLen(1 << 20)));
        Self { reader, lens: lens.to_vec(), lease: None, found: Vec::new(), turns, whole: false }
    }

    /// What happens before the memory is taken back.
    fn begin(&mut self, loan: &Loan<'_>) {
        self.lease = Some(loan.lease());
        for _ in 0..self.turns {
            self.turn();
            self.whole = !self.found.is_empty();
            if self.whole {
                return;
            }
        }
    }

    /// What happens after.
    fn finish(&mut self) {
        while self.found.len() < 2 {
            self.turn();
        }
    }

    /// One turn of a connection's loop: its future is dropped where it waits.
    fn turn(&mut self) {
        let (lease, len) = (self.lease.as_ref().expect("it began"), self.lens.iter().sum());
        let land = |header: &FrameHeader, _: &[u8]| {
            let lands = header.request.0 == 1 && lease.take(&self.lens, len);
            lands.then(|| Destination::Caller(lease.clone()))
        };
        let frame = self.reader.next(land).now_or_never();
        self.found.extend(frame.map(|frame| frame.expect("a frame").payload));
    }
}

/// Where frames can be read.
fn inside<T>(test: impl FnOnce() -> T) -> T {
    let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
    let _inside = runtime.enter();
    test()
}

proptest! {
    #[test]
    fn each_room_gets_its_part_however_the_stream_is_cut(
        parts in prop::collection::vec((0_usize..3, 0_usize..40_000, 0_usize..200), 1..6),
        short in prop::collection::vec(0_usize..3_000, 6),
        sizes in prop::collection::vec(1_usize..30_000, 1..10),
    ) {
        let (mut spots, mut ends) = (Vec::new(), [0; 3]);
        for (buffer, len, gap) in &parts {
            spots.push(spot(*buffer, ends[*buffer] + gap, *len));
            ends[*buffer] += gap + len;
        }
        spots.reverse();
        let lens = spots.iter().zip(&short).map(|(spot, cut)| spot.range.len().saturating_sub(*cut));
        let lens: Vec<usize> = lens.collect();
        let payload = pattern(lens.iter().sum());
        let mut expected = ends.map(|end| vec![CANARY; end + 50]).to_vec();
        let mut memory = Owned::new(expected.clone());
        let mut rest = &payload[..];
        for (spot, len) in spots.iter().zip(&lens) {
            let (part, behind) = rest.split_at(*len);
            expected[spot.buffer][spot.range.start..][..*len].copy_from_slice(part);
            rest = behind;
        }
        let landed = inside(|| {
            let mut ground = memory.ground();
            let loan = Loan::new(ground.rooms(&spots));
            let mut script = Script::new(&payload, &lens, sizes, 0);
            script.begin(&loan);
            script.finish();
            let (_, landed) = loan.end();
            assert_eq!(script.found, [if landed { b"" } else { &payload[..] }, b"next"]);
            landed
        });
        let pieces = lens.iter().filter(|len| **len > 0).count();
        prop_assert_eq!(landed, !payload.is_empty() && (pieces == 1 || payload.len() / pieces >= PIECE));
        let untouched = ends.map(|end| vec![CANARY; end + 50]).to_vec();
        prop_assert_eq!(memory.into_inner(), if landed { expected } else { untouched });
    }
}

const SPOTS: [Spot; 2] =
    [Spot { buffer: 0, range: 100..100 + PIECE }, Spot { buffer: 1, range: 0..2 * PIECE }];

fn fresh() -> Vec<Vec<u8>> {
    vec![vec![CANARY; 2 * PIECE]; 2]
}

fn is_mine<'b>(mut buffers: impl Iterator<Item = &'b [u8]>) -> bool {
    buffers.all(|bytes| bytes.iter().all(|byte| *byte == MINE))
}

fn the_call_ends(script: &mut Script) -> bool {
    let mut memory = Owned::new(fresh());
    let mut ground = memory.ground();
    let loan = Loan::new(ground.rooms(&SPOTS));
    script.begin(&loan);
    let (mut rooms, _) = loan.end();
    rooms.iter_mut().for_each(|room| room.bytes().fill(MINE));
    script.finish();
    is_mine(rooms.iter_mut().map(|room| &*room.bytes()))
}

fn the_call_is_forgotten(script: &mut Script) -> bool {
    let mut memory = Owned::new(fresh());
    let mut ground = memory.ground();
    let loan = Loan::new(ground.rooms(&SPOTS));
    script.begin(&loan);
    forget(loan);
    let mut rooms = ground.rooms(&SPOTS);
    rooms.iter_mut().for_each(|room| room.bytes().fill(MINE));
    script.finish();
    is_mine(rooms.iter_mut().map(|room| &*room.bytes()))
}

fn the_owner_takes_it_apart(script: &mut Script) -> bool {
    let mut memory = Owned::new(fresh());
    let mut ground = memory.ground();
    let loan = Loan::new(ground.rooms(&SPOTS));
    script.begin(&loan);
    forget(loan);
    forget(ground);
    let mut buffers = memory.into_inner();
    buffers.iter_mut().for_each(|buffer| buffer.fill(MINE));
    script.finish();
    is_mine(buffers.iter().map(|buffer| &buffer[..]))
}

fn the_lender_returns(script: &mut Script) -> bool {
    let mut buffers = fresh();
    lend(&mut buffers, |mut ground| {
        let loan = Loan::new(ground.rooms(&SPOTS));
        script.begin(&loan);
        forget(loan);
        forget(ground);
    });
    buffers.iter_mut().for_each(|buffer| buffer.fill(MINE));
    script.finish();
    is_mine(buffers.iter().map(|buffer| &buffer[..]))
}

/// After each turn of the loop in which a payload lands.
#[test]
fn nothing_is_written_once_the_memory_is_taken_back() {
    let ways = [the_call_ends, the_call_is_forgotten, the_owner_takes_it_apart, the_lender_returns];
    let (payload, lens) = (pattern(3 * PIECE), [PIECE, 2 * PIECE]);
    for (way, of) in ways.iter().enumerate() {
        let run = |turns| {
            let mut script = Script::new(&payload, &lens, vec![40, 1500, 5000, 1], turns);
            assert!(inside(|| of(&mut script)), "way {way}, after {turns} turns");
            script
        };
        let scripts = (0..).map(run);
        let cut: Vec<_> = scripts.take_while(|script| !script.whole).collect();
        assert!(cut.iter().all(|script| script.found[1] == "next"), "the connection goes on");
        // Taken back before it came, a payload goes to the pool; later it is nowhere.
        let nowhere = cut.iter().filter(|script| script.found[0].is_empty()).count();
        assert!(nowhere > 20, "way {way}: cut {nowhere} times in the middle");
    }
}

/// A thread that writes as often as it may, as a connection's task would.
#[test]
fn whoever_takes_the_memory_back_waits_for_the_write_under_way() {
    for round in 0..300 {
        let mut memory = Owned::new(fresh());
        let mut ground = memory.ground();
        let loan = Loan::new(ground.rooms(&SPOTS));
        let lease = loan.lease();
        assert!(lease.take(&[PIECE, 2 * PIECE], 3 * PIECE));
        let (wrote, began) = std::sync::mpsc::channel();
        let writer = std::thread::spawn(move || {
            while lease.with_rest(PIECE, |rest| rest.fill(CANARY)).is_some() {
                let _gone = wrote.send(());
            }
        });
        began.recv().expect("it writes");
        let mut rooms = if round % 2 == 0 {
            loan.end().0
        } else {
            forget(loan);
            ground.rooms(&SPOTS)
        };
        let bytes = rooms[1].bytes();
        bytes.fill(MINE);
        writer.join().expect("no panic");
        assert!(is_mine(std::iter::once(&*bytes)), "round {round}");
    }
}

#[test]
fn a_payload_that_does_not_fit_is_not_taken() {
    let mut memory = Owned::new(fresh());
    let mut ground = memory.ground();
    let mut takes = |lens: &[usize], len| {
        let loan = Loan::new(ground.rooms(&SPOTS));
        let taken = loan.lease().take(lens, len);
        assert_eq!(loan.end().1, taken);
        taken
    };
    assert!(takes(&[PIECE, 2 * PIECE], 3 * PIECE));
    assert!(takes(&[0, 5], 5), "one piece may be small");
    assert!(!takes(&[5, 5], 10), "two are not worth it");
    assert!(!takes(&[PIECE, 2 * PIECE], 3 * PIECE + 1), "more than is told of");
    assert!(!takes(&[PIECE, 2 * PIECE], 3 * PIECE - 1), "less than is told of");
    assert!(!takes(&[PIECE + 1, PIECE], 2 * PIECE + 1), "one is too small");
    assert!(!takes(&[PIECE], PIECE) && !takes(&[PIECE, PIECE, 0], 2 * PIECE), "other rooms");
    assert!(!takes(&[usize::MAX, PIECE + 1], PIECE), "no sum");
    let lease = Loan::new(ground.rooms(&SPOTS)).lease();
    assert!(!lease.take(&[PIECE, PIECE], 2 * PIECE), "revoked");
}

#[test]
fn rooms_do_not_overlap_and_are_within_their_buffers() {
    let refused = |spots: &[Spot]| {
        let mut memory = Owned::new(vec![[0; 10], [0; 10]]);
        let made = std::panic::AssertUnwindSafe(|| drop(memory.ground().rooms(spots)));
        std::panic::catch_unwind(made).is_err()
    };
    assert!(!refused(&[spot(1, 0, 10), spot(0, 5, 5), spot(0, 0, 5), spot(0, 5, 0)]));
    assert!(refused(&[spot(0, 0, 6), spot(0, 5, 5)]) && refused(&[spot(0, 4, 2), spot(0, 0, 10)]));
    assert!(refused(&[spot(0, 0, 11)]) && refused(&[spot(0, 11, 0)]) && refused(&[spot(2, 0, 0)]));
}

/// Answers with a payload of as many bytes as it is asked for, half of them for each room.
#[derive(Clone, Debug)]
struct Giver;

impl Handler for Giver {
    async fn handle(&self, call: IncomingCall) -> Answer {
        let Echo(len) = decode(&call.message).map_err(|e| WireError::bug(e.to_string()))?;
        Ok((encoded(&Echo(len)), pattern(usize::try_from(len).expect("small")).into()))
    }
}

fn halves(Echo(len): &Echo) -> Vec<usize> {
    vec![usize::try_from(*len / 2).expect("small"); 2]
}

#[tokio::test]
async fn a_reply_lands_in_the_caller_s_memory_or_comes_beside_it() {
    let (asks, gives) = pair(Limits::default());
    let peer = asks.peer();
    let runs = [spawn(asks.run(NoService)), spawn(gives.run(Giver))];
    let mut memory = Owned::new(fresh());
    let mut ground = memory.ground();
    for (len, lands) in [(2 * PIECE, true), (100, false), (6 * PIECE, false), (0, false)] {
        let rooms = ground.rooms(&SPOTS);
        let request = Echo(len as u64);
        let (reply, mut rooms) =
            peer.call_into(&request, rooms, halves, &CallOptions::default()).await;
        let reply = reply.expect("a reply");
        let payload = pattern(len);
        let (first, second) = payload.split_at(len / 2);
        if lands {
            assert!(reply.landed && reply.payload.is_empty());
            assert_eq!(rooms[0].bytes()[..len / 2], *first);
            assert_eq!(rooms[1].bytes()[..len / 2], *second);
        } else {
            assert!(!reply.landed && reply.payload == payload, "{len}");
        }
    }
    // Dropped before the answer: the connection goes on, and so does the memory.
    let (request, options) = (Echo(2 * PIECE as u64), CallOptions::default());
    let hasty = peer.call_into(&request, ground.rooms(&SPOTS), halves, &options);
    assert!(hasty.now_or_never().is_none());
    let (reply, _) = peer.call_into(&request, ground.rooms(&SPOTS), halves, &options).await;
    assert!(reply.expect("a reply").landed);
    peer.close();
    for run in runs {
        run.await.expect("no panic");
    }
}

#[tokio::test]
async fn a_call_that_lands_and_is_cut_off_gives_its_rooms_back() {
    let (asks, mut gives) = against_script(Limits::default());
    let peer = asks.peer();
    let run = spawn(asks.run(NoService));
    let mut memory = Owned::new(fresh());
    let mut ground = memory.ground();
    let options = CallOptions::default();
    let call = peer.call_into(&Echo(0), ground.rooms(&SPOTS), halves, &options);
    let script = async {
        let mut header = [0; HEADER_BYTES];
        gives.read_exact(&mut header).await.expect("the request");
        let draft = Draft {
            method: Echo::METHOD,
            message: encoded(&Echo(2 * PIECE as u64)),
            payload: pattern(2 * PIECE).into(),
            ..Draft::bare(FrameKind::Reply, RequestId(1))
        };
        let frame = draft.seal().expect("small");
        gives.write_all(&[&frame.head[..], &frame.payload[..PIECE]].concat()).await.expect("sent");
        drop(gives);
    };
    let ((reply, rooms), ()) = tokio::join!(call, script);
    assert!(matches!(reply, Err(CallError::Closed(Closed::ByPeer))), "{reply:?}");
    assert_eq!(rooms.len(), 2);
    assert!(matches!(run.await.expect("no panic"), Closed::ByPeer));
}

fn encoded(echo: &Echo) -> Vec<u8> {
    let mut message = Vec::new();
    encode(echo, &mut message);
    message
}
