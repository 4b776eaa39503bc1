//! How bytes get from one machine to another: TCP today, another wire behind the same trait later.

use std::future::Future;
use std::io;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};

use crate::address::Address;

/// A way to reach an address by a stream of bytes.
pub trait Network: Clone + Send + 'static {
    /// The stream: both directions, ordered, reliable.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Connects.
    ///
    /// # Errors
    /// The system's.
    fn connect(&self, to: &Address) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

/// TCP over IPv4 and IPv6, with small frames sent at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tcp;

impl Tcp {
    /// What every stream of ours needs, also one that was accepted: frames are gathered by the
    /// connection itself, so the kernel must not hold back small ones.
    ///
    /// # Errors
    /// The system's.
    pub fn tune(stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)
    }
}

impl Network for Tcp {
    type Stream = TcpStream;

    /// Tries each address that the host name stands for, in the resolver's order.
    async fn connect(&self, to: &Address) -> io::Result<TcpStream> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the host name has no address");
        for socket in lookup_host((to.host(), to.port())).await? {
            match TcpStream::connect(socket).await {
                Ok(stream) => {
                    Self::tune(&stream)?;
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}
