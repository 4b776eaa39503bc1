//! One server: a disk, whoever asks, and the next of the chain.
//!
//! It forwards a write while it writes it, and answers when its own record is durable *and* the next has answered. An
//! append it spreads to both others, and answers when two of three have it.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::rc::Rc;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::block::{Block, Pool};
use crate::message::{CRC, DISK, GETS, Header, Kind, SPREAD};
use crate::peer::{Message, Peer, PeerEvent};
use crate::ring::{Done, Held, Ring};
use crate::store::{Store, StoreEvent};

#[derive(Args)]
pub(crate) struct Serve {
    /// Where its files are
    #[arg(long)]
    directory: PathBuf,
    /// How many will connect
    #[arg(long)]
    peers: usize,
    /// Where the others listen: the next of the chain first
    #[arg(long)]
    next: Vec<u16>,
}

/// What a ring's answer is about.
enum Event {
    Peer(PeerEvent),
    /// Bytes that a peer asked for.
    Read(usize, Header),
    Store(StoreEvent),
}

impl From<PeerEvent> for Event {
    fn from(event: PeerEvent) -> Self {
        Self::Peer(event)
    }
}

impl From<StoreEvent> for Event {
    fn from(event: StoreEvent) -> Self {
        Self::Store(event)
    }
}

/// What waits to be answered.
struct Pending {
    peer: usize,
    header: Header,
    /// How many are yet to say that they have it.
    missing: usize,
}

struct Server {
    ring: Ring<Event>,
    store: Store,
    pool: Pool,
    peers: Vec<Peer>,
    /// How many of `peers` it has connected to: they stand first.
    next: usize,
    pending: HashMap<u64, Pending>,
    /// What is looked up: made when it is first.
    warm: OnceCell<BTreeMap<u64, [u8; VALUE_BYTES]>>,
}

/// How many values can be looked up, and how large each is.
const VALUES: u64 = 100_000;
const VALUE_BYTES: usize = 128;

/// Serves until somebody closes a connection, or standard input.
pub(crate) fn run(args: &Serve) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut out = std::io::stdout();
    writeln!(out, "{}", listener.local_addr()?.port())?;
    out.flush()?;
    std::thread::spawn(|| {
        let ended = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(i32::from(ended.is_err()))
    });
    let mut streams = Vec::new();
    for port in &args.next {
        streams.push(TcpStream::connect((Ipv4Addr::LOCALHOST, *port))?);
    }
    for _ in 0..args.peers {
        streams.push(listener.accept()?.0);
    }
    let peers = streams.into_iter().enumerate().map(|(number, stream)| Peer::new(number, stream));
    let mut server = Server {
        ring: Ring::new().context("this needs io_uring")?,
        store: Store::open(&args.directory, 0)?,
        pool: Pool::default(),
        peers: peers.collect::<Result<_, _>>()?,
        next: args.next.len(),
        pending: HashMap::new(),
        warm: OnceCell::new(),
    };
    server.run()
}

impl Server {
    fn run(&mut self) -> Result<()> {
        let (mut answers, mut messages) = (Vec::new(), Vec::new());
        for peer in &mut self.peers {
            peer.receive(&mut self.ring);
        }
        loop {
            self.ring.wait(&mut answers)?;
            for done in answers.drain(..) {
                if !self.take(done, &mut messages)? {
                    return Ok(());
                }
            }
            for peer in &mut self.peers {
                peer.flush(&mut self.ring, &mut self.pool);
            }
        }
    }

    /// Takes in one answer of the ring; false: it is over.
    fn take(&mut self, done: Done<Event>, messages: &mut Vec<Message>) -> Result<bool> {
        match done.whose {
            Event::Peer(PeerEvent::Arrived(number)) => {
                let peer = &mut self.peers[number];
                if !peer.arrived(done, &mut self.pool, messages)? {
                    return Ok(false);
                }
                peer.receive(&mut self.ring);
                for message in messages.drain(..) {
                    self.handle(number, message)?;
                }
            }
            Event::Peer(PeerEvent::Sent(number)) => {
                self.peers[number].sent(done, &mut self.pool)?;
            }
            Event::Read(peer, header) => {
                let (moved, Held::Fill(block)) = (done.moved?, done.held) else {
                    unreachable!("a read fills")
                };
                ensure!(moved == header.len as usize, "a read of {moved} bytes");
                self.answer_read(peer, header, block);
            }
            Event::Store(StoreEvent { step, .. }) => {
                done.moved?;
                if let Held::Pieces(pieces) = done.held {
                    pieces.into_iter().for_each(|piece| self.pool.let_go(piece.block));
                }
                let mut durable = Vec::new();
                self.store.on(&mut self.ring, step, &mut durable);
                durable.into_iter().for_each(|id| self.one_has(id));
            }
        }
        Ok(true)
    }

    fn handle(&mut self, peer: usize, message: Message) -> Result<()> {
        let Message { header, block } = message;
        match (header.kind, block) {
            (Kind::Read, _) => {
                let block = self.pool.take(header.len as usize);
                if header.has(DISK) {
                    let (range, whose) = (block.payload_range(), Event::Read(peer, header));
                    self.ring.read(self.store.data(), block, range, header.at, whose);
                } else {
                    let block =
                        if header.has(GETS) { self.look_up(header.id, block) } else { block };
                    self.answer_read(peer, header, block);
                }
            }
            (Kind::Write, Some(block)) => self.write(peer, header, block)?,
            (Kind::Append, Some(block)) => self.append(peer, header, block),
            (Kind::Stored, _) => self.one_has(header.id),
            (kind, _) => unreachable!("nobody sends a server {kind:?}"),
        }
        Ok(())
    }

    /// Two warm gets, as the path of a file takes: of its name, and of what has that name.
    fn look_up(&self, id: u64, mut block: Block) -> Block {
        let values = || (0..VALUES).map(|key| (key, [key as u8; VALUE_BYTES])).collect();
        let warm = self.warm.get_or_init(values);
        for (place, factor) in [0x9E37_79B9, 0x85EB_CA6B].into_iter().enumerate() {
            let value = &warm[&(id.wrapping_mul(factor) % VALUES)];
            let to = block.payload_mut().chunks_mut(VALUE_BYTES).nth(place);
            if let Some(to) = to.filter(|to| to.len() == VALUE_BYTES) {
                to.copy_from_slice(value);
            }
        }
        block
    }

    fn answer_read(&mut self, peer: usize, asked: Header, mut block: Block) {
        let crc = if asked.has(CRC) { crc32c::crc32c(block.payload()) } else { 0 };
        block.set_header(&Header { kind: Kind::Data, crc, ..asked });
        self.peers[peer].say_block(Rc::new(block), &mut self.pool);
    }

    fn write(&mut self, peer: usize, header: Header, mut block: Block) -> Result<()> {
        if header.has(CRC) {
            ensure!(
                crc32c::crc32c(block.payload()) == header.crc,
                "bytes were damaged on their way"
            );
        }
        block.set_header(&header);
        let block = Rc::new(block);
        let forwards = self.next > 0;
        let missing = usize::from(header.has(DISK)) + usize::from(forwards);
        self.pending.insert(header.id, Pending { peer, header, missing });
        if forwards {
            self.peers[0].say_block(block.clone(), &mut self.pool);
        }
        if header.has(DISK) {
            self.store.write(&mut self.ring, block, header.at, header.id);
            return Ok(());
        }
        self.pool.let_go(block);
        if missing == 0 {
            self.answer(header.id);
        }
        Ok(())
    }

    fn append(&mut self, peer: usize, header: Header, mut block: Block) {
        let spreads = header.has(SPREAD);
        let (id, missing) = (header.id, if spreads { 2 } else { 1 });
        self.pending.insert(id, Pending { peer, header, missing });
        if spreads {
            block.set_header(&Header { flags: header.flags & !SPREAD, ..header });
            let block = Rc::new(block);
            for other in &mut self.peers[..self.next] {
                other.say_block(block.clone(), &mut self.pool);
            }
        } else {
            self.pool.give(block);
        }
        match header.has(DISK) {
            true => self.store.append(&mut self.ring, id),
            false => self.one_has(id),
        }
    }

    /// One of those that are to have it has it. Of an append, the third says so to nobody.
    fn one_has(&mut self, id: u64) {
        let Some(pending) = self.pending.get_mut(&id) else { return };
        pending.missing -= 1;
        if pending.missing == 0 {
            self.answer(id);
        }
    }

    fn answer(&mut self, id: u64) {
        let Some(Pending { peer, header, .. }) = self.pending.remove(&id) else { return };
        self.peers[peer].say(&Header { kind: Kind::Stored, len: 0, ..header });
    }
}
