//! A connection on which messages are sent and received.
//!
//! Small payloads come many at once, and are copied once out of what was received; large ones are received where they
//! are to lie. All that is ready is sent by one call.

use std::collections::VecDeque;
use std::io;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use crate::block::{ALIGNMENT, Block, PAYLOAD, Pool};
use crate::message::{HEADER_BYTES, Header};
use crate::ring::{Done, Held, Piece, Ring};

/// Larger payloads are received where they are to lie.
const SMALL_BYTES: usize = 16 << 10;
/// What is received at once, of small messages.
const GATHER_BYTES: usize = 256 << 10;
/// How many pieces are sent at once.
const PIECES: usize = 64;

/// What happened on a connection, by its number.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PeerEvent {
    Arrived(usize),
    Sent(usize),
}

/// What was received.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) header: Header,
    /// The payload, if the kind of message has one.
    pub(crate) block: Option<Block>,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Peer {
    number: usize,
    socket: Rc<OwnedFd>,
    gathered: Option<Block>,
    /// Bytes of `gathered` that are no whole message yet.
    filled: usize,
    /// Whose payload is to be received where it is to lie, and how much of that is there.
    landing: Option<(Header, Block)>,
    have: usize,
    /// Whose payload is being received so.
    expected: Option<Header>,
    /// Whether the last payload was large, so that the next one probably is.
    is_large: bool,
    outbox: VecDeque<Piece>,
    /// Headers without a payload, not yet in the outbox.
    headers: Vec<u8>,
    is_sending: bool,
}

impl Peer {
    pub(crate) fn new(number: usize, stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self {
            number,
            socket: Rc::new(stream.into()),
            gathered: Some(Block::new(GATHER_BYTES)),
            filled: 0,
            landing: None,
            have: 0,
            expected: None,
            is_large: false,
            outbox: VecDeque::new(),
            headers: Vec::new(),
            is_sending: false,
        })
    }

    /// Receives what comes next. Every [`Self::arrived`] is to be followed by it.
    pub(crate) fn receive<T: From<PeerEvent>>(&mut self, ring: &mut Ring<T>) {
        let whose = PeerEvent::Arrived(self.number).into();
        let (block, range, all) = match self.landing.take() {
            Some((header, block)) => {
                let range = PAYLOAD + self.have..PAYLOAD + header.payload();
                self.expected = Some(header);
                (block, range, true)
            }
            None => {
                let block = self.gathered.take().expect("one receives at a time");
                let wanted = if self.is_large { HEADER_BYTES } else { block.payload().len() };
                (block, PAYLOAD + self.filled..PAYLOAD + wanted, false)
            }
        };
        ring.receive(&self.socket, block, range, all, whose);
    }

    /// Takes in what was received; false: the other side has closed.
    pub(crate) fn arrived<T>(
        &mut self,
        done: Done<T>,
        pool: &mut Pool,
        messages: &mut Vec<Message>,
    ) -> io::Result<bool> {
        let (moved, Held::Fill(block)) = (done.moved?, done.held) else {
            unreachable!("a receive fills")
        };
        if let Some(header) = self.expected.take() {
            self.have += moved;
            match self.have == header.payload() {
                true => messages.push(Message { header, block: Some(block) }),
                false => self.landing = Some((header, block)),
            }
        } else {
            self.filled += moved;
            self.parse(block, pool, messages);
        }
        Ok(moved > 0)
    }

    fn parse(&mut self, mut gathered: Block, pool: &mut Pool, messages: &mut Vec<Message>) {
        let bytes = &mut gathered.payload_mut()[..self.filled];
        let mut at = 0;
        while let Some(header) = Header::read(&bytes[at..]) {
            let rest = &bytes[at + HEADER_BYTES..];
            let wanted = header.payload();
            self.is_large = wanted > SMALL_BYTES;
            if rest.len() < wanted && !self.is_large {
                break;
            }
            let block = (wanted > 0).then(|| {
                let mut block = pool.take(wanted);
                self.have = rest.len().min(wanted);
                block.payload_mut()[..self.have].copy_from_slice(&rest[..self.have]);
                block
            });
            at += HEADER_BYTES + rest.len().min(wanted);
            match block {
                Some(block) if self.have < wanted => self.landing = Some((header, block)),
                block => messages.push(Message { header, block }),
            }
        }
        bytes.copy_within(at.., 0);
        self.filled -= at;
        self.gathered = Some(gathered);
    }

    /// Queues a message without a payload.
    pub(crate) fn say(&mut self, header: &Header) {
        self.headers.extend(header.bytes());
    }

    /// Queues a block with the header that is in it.
    pub(crate) fn say_block(&mut self, block: Rc<Block>, pool: &mut Pool) {
        self.close_headers(pool);
        let range = block.message_range();
        self.outbox.push_back(Piece { block, range });
    }

    /// They go in memory of few sizes, which comes back to the pool when it is sent.
    fn close_headers(&mut self, pool: &mut Pool) {
        if self.headers.is_empty() {
            return;
        }
        let len = self.headers.len();
        let mut block = pool.take(len.next_power_of_two().max(ALIGNMENT));
        block.payload_mut()[..len].copy_from_slice(&self.headers);
        self.headers.clear();
        let range = PAYLOAD..PAYLOAD + len;
        self.outbox.push_back(Piece { block: Rc::new(block), range });
    }

    /// Sends what is queued, unless it is being sent.
    pub(crate) fn flush<T: From<PeerEvent>>(&mut self, ring: &mut Ring<T>, pool: &mut Pool) {
        if self.is_sending {
            return;
        }
        self.close_headers(pool);
        if self.outbox.is_empty() {
            return;
        }
        let count = self.outbox.len().min(PIECES);
        let pieces = self.outbox.drain(..count).collect();
        ring.send(&self.socket, pieces, PeerEvent::Sent(self.number).into());
        self.is_sending = true;
    }

    /// Takes in what was sent; what was not is sent first by the next [`Self::flush`].
    pub(crate) fn sent<T>(&mut self, done: Done<T>, pool: &mut Pool) -> io::Result<()> {
        self.is_sending = false;
        let (mut moved, Held::Pieces(mut pieces)) = (done.moved?, done.held) else {
            unreachable!("a send has pieces")
        };
        let mut rest = VecDeque::new();
        for mut piece in pieces.drain(..) {
            let gone = moved.min(piece.range.len());
            moved -= gone;
            piece.range.start += gone;
            match piece.range.is_empty() {
                true => pool.let_go(piece.block),
                false => rest.push_back(piece),
            }
        }
        rest.append(&mut self.outbox);
        self.outbox = rest;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;
    use crate::message::Kind;

    #[test]
    fn memory_of_headers_comes_back_however_many_are_sent() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let at = listener.local_addr().expect("it listens");
        let stream = TcpStream::connect(at).expect("it listens");
        let _other = listener.accept().expect("somebody connects");
        let Ok(mut ring) = Ring::<PeerEvent>::new() else {
            return println!(
                "skipped: memory_of_headers_comes_back_however_many_are_sent: no io_uring"
            );
        };
        let (mut peer, mut pool) = (Peer::new(0, stream).expect("a socket"), Pool::default());
        let header = Header { kind: Kind::Stored, flags: 0, len: 0, at: 0, id: 1, crc: 0 };
        let mut done = Vec::new();
        for count in 1..100 {
            (0..count).for_each(|_| peer.say(&header));
            peer.flush(&mut ring, &mut pool);
            ring.wait(&mut done).expect("sent");
            done.drain(..).for_each(|done| peer.sent(done, &mut pool).expect("sent"));
        }
        assert_eq!(pool.len(), 1, "one is used again and again");
    }
}
