//! The one client: it keeps a load's calls under way, and times them.

use std::collections::HashMap;
use std::net::{Ipv4Addr, TcpStream};
use std::rc::Rc;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::block::Pool;
use crate::load::{Load, Places};
use crate::message::{CRC, Header, Kind, SPREAD};
use crate::peer::{Message, Peer, PeerEvent};
use crate::ring::Ring;
use crate::slice::Slice;

/// A client with a connection to each server, the head first.
pub(crate) struct Client {
    ring: Ring<PeerEvent>,
    peers: Vec<Peer>,
    pool: Pool,
    /// How large the file of each server is.
    bytes: u64,
    next: u64,
}

/// A call under way.
struct Call {
    stream: usize,
    begin: Instant,
}

impl Client {
    /// Connects.
    pub(crate) fn connect(ports: &[u16], bytes: u64) -> Result<Self> {
        let mut ring = Ring::new().context("this needs io_uring")?;
        let mut peers = Vec::new();
        for (number, port) in ports.iter().enumerate() {
            let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, *port))?;
            let mut peer = Peer::new(number, stream)?;
            peer.receive(&mut ring);
            peers.push(peer);
        }
        Ok(Self { ring, peers, pool: Pool::default(), bytes, next: 0 })
    }

    /// Carries out a load, with all of the parts that `flags` name.
    pub(crate) fn carry_out(&mut self, load: &Load, flags: u8) -> Result<Slice> {
        let mut places: Vec<Places> =
            (0..load.streams).map(|number| Places::new(load, number, self.bytes)).collect();
        let mut calls = HashMap::new();
        let mut slice = Slice { size: load.size, ..Slice::default() };
        let (begin, mut answers, mut messages) = (Instant::now(), Vec::new(), Vec::new());
        for call in 0..load.calls() {
            let stream = call % load.streams;
            self.begin(load, flags, stream, &mut places[stream], &mut calls);
        }
        while !calls.is_empty() {
            self.peers.iter_mut().for_each(|peer| peer.flush(&mut self.ring, &mut self.pool));
            self.ring.wait(&mut answers)?;
            for done in answers.drain(..) {
                match done.whose {
                    PeerEvent::Sent(number) => self.peers[number].sent(done, &mut self.pool)?,
                    PeerEvent::Arrived(number) => {
                        let peer = &mut self.peers[number];
                        let is_open = peer.arrived(done, &mut self.pool, &mut messages)?;
                        ensure!(is_open, "a server has ended: see what it said");
                        peer.receive(&mut self.ring);
                    }
                }
            }
            for message in messages.drain(..) {
                let id = self.end(message)?;
                let Call { stream, begin: from } =
                    calls.remove(&id).context("an answer to nobody")?;
                if begin.elapsed() < load.time {
                    slice.count(from.elapsed());
                    slice.time = begin.elapsed();
                    self.begin(load, flags, stream, &mut places[stream], &mut calls);
                }
            }
        }
        Ok(slice)
    }

    /// Begins a call.
    fn begin(
        &mut self,
        load: &Load,
        flags: u8,
        stream: usize,
        places: &mut Places,
        calls: &mut HashMap<u64, Call>,
    ) {
        let (id, (at, server)) = (self.next, places.next());
        self.next += 1;
        calls.insert(id, Call { stream, begin: Instant::now() });
        let len = u32::try_from(load.size).unwrap_or(u32::MAX);
        let header = Header { kind: load.kind, flags, len, at, id, crc: 0 };
        if load.kind == Kind::Read {
            let server = if load.is_echo { 0 } else { server };
            return self.peers[server].say(&header);
        }
        let mut block = self.pool.take(load.size);
        if block.payload().iter().take(16).all(|byte| *byte == 0) {
            block.fill(id);
        }
        let header = match load.kind {
            Kind::Append => Header { flags: flags | SPREAD, ..header },
            _ if header.has(CRC) => Header { crc: crc32c::crc32c(block.payload()), ..header },
            _ => header,
        };
        block.set_header(&header);
        self.peers[0].say_block(Rc::new(block), &mut self.pool);
    }

    /// Takes in an answer: to which call.
    fn end(&mut self, message: Message) -> Result<u64> {
        let Message { header, block } = message;
        match (header.kind, block) {
            (Kind::Stored, _) => {}
            (Kind::Data, Some(block)) => {
                if header.has(CRC) {
                    let crc = crc32c::crc32c(block.payload());
                    ensure!(crc == header.crc, "bytes were damaged on their way");
                }
                self.pool.give(block);
            }
            (kind, _) => bail!("a server sent {kind:?}"),
        }
        Ok(header.id)
    }
}
