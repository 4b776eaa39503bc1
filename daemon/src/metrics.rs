//! The address at which a process tells its metrics, to whoever asks by HTTP: `GET /metrics`.
//!
//! It has a thread and an event loop of its own, so that it answers also while all others are busy. Connections have a
//! bound: where one more comes, the oldest gives way, so that whoever keeps connections open keeps nobody out. That one
//! has mostly had its answer, or said nothing yet; an answer that it is still taking in is cut off, which whoever asked
//! sees as an error. Whoever reaches it can read, and change nothing;
//! as with [`listen`] it is on loopback unless the operator names the danger.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, LocalSet};
use tokio::time::{sleep, timeout};

use crate::listen::{self, ListenError};

/// Where the text is.
const PATH: &str = "/metrics";
/// The format of the text.
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
/// Connections at once (a count): some Prometheus servers, and a person.
const CONNECTIONS_MAX: usize = 16;
/// How long one may last: longer than Prometheus waits.
const CONNECTION_MAX: Duration = Duration::from_secs(60);
/// After a failed accept, which mostly means that descriptors are used up: some become free soon.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why metrics are not told.
#[derive(Debug, Error)]
pub enum MetricsError {
    /// The address can be reached from elsewhere.
    #[error(
        "metrics: {address} can be reached from other machines, and there is no authentication yet: whoever reaches it \
         reads what this process counts. Use a loopback address{}",
        or_say(*key)
    )]
    BeyondLoopback {
        /// Which address.
        address: SocketAddr,
        /// The key that allows it, if there is one.
        key: Option<&'static str>,
    },
    /// It is not to be had.
    #[error("metrics: nothing can {0}")]
    Listen(ListenError),
    /// The system has no thread.
    #[error("metrics: no thread to serve them: {0}")]
    Thread(std::io::Error),
}

fn or_say(key: Option<&str>) -> String {
    key.map_or_else(String::new, |key| format!(", or set `{key} = true`"))
}

/// The key of servers that lets others reach them.
pub const BEYOND_KEY: &str = "listen_beyond_loopback_without_authentication";

/// Metrics are told as long as this is not dropped.
#[derive(Debug)]
pub struct Endpoint {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What can be said of an address before anything listens on it.
///
/// # Errors
/// [`MetricsError::BeyondLoopback`]; `beyond` allows it, and `key` is what would.
pub fn check(
    address: Option<SocketAddr>,
    beyond: bool,
    key: Option<&'static str>,
) -> Result<(), MetricsError> {
    match address {
        Some(address) if !beyond && !address.ip().is_loopback() => {
            Err(MetricsError::BeyondLoopback { address, key })
        }
        _ => Ok(()),
    }
}

/// Tells this process's metrics at `address`, from now on; nothing is done without one.
///
/// # Errors
/// [`MetricsError`].
pub fn serve(address: Option<SocketAddr>, beyond: bool) -> Result<Option<Endpoint>, MetricsError> {
    emberfs_metrics::process::begin();
    let Some(address) = address else { return Ok(None) };
    check(Some(address), beyond, None)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(MetricsError::Thread)?;
    let bound = {
        let _within = runtime.enter();
        listen::bind(&[address], beyond)
    };
    let listener = match bound {
        Ok(mut listeners) => listeners.pop().expect("one address, one listener"),
        Err(error) => {
            // Whoever calls may be in a runtime of its own, which must not wait for the end of another.
            runtime.shutdown_background();
            return Err(MetricsError::Listen(error));
        }
    };
    let address = listener.local_addr().unwrap_or(address);
    let (stop, stopped) = oneshot::channel();
    let work = move || {
        LocalSet::new().block_on(&runtime, async move {
            tokio::select! {
                () = accept(listener) => {}
                _ = stopped => {}
            }
        });
    };
    let thread = std::thread::Builder::new().name("emberfs-metrics".to_owned()).spawn(work);
    let thread = Some(thread.map_err(MetricsError::Thread)?);
    tracing::info!(%address, "metrics are told");
    Ok(Some(Endpoint { address, stop: Some(stop), thread }))
}

impl Endpoint {
    /// Where it listens, with the port that the system chose.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        drop(self.stop.take());
        // One that panicked has logged it.
        let _panicked = self.thread.take().map(JoinHandle::join);
    }
}

async fn accept(listener: TcpListener) {
    // The oldest first.
    let mut connections: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.retain(|connection| !connection.is_finished());
                while connections.len() >= CONNECTIONS_MAX {
                    connections.pop_front().expect("there is one").abort();
                }
                let conversation = tokio::task::spawn_local(async move {
                    let _slow = timeout(CONNECTION_MAX, converse(stream)).await;
                });
                connections.push_back(conversation.abort_handle());
            }
            Err(error) => {
                tracing::debug!(%error, "no connection for metrics");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn converse(stream: TcpStream) {
    let answer = service_fn(async |request: Request<hyper::body::Incoming>| {
        Ok::<_, Infallible>(answer(&request))
    });
    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
    if let Err(error) = served {
        tracing::debug!(%error, "a request for metrics came to nothing");
    }
}

fn answer(request: &Request<hyper::body::Incoming>) -> Response<Full<Bytes>> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, PATH) => (StatusCode::OK, emberfs_metrics::text()),
        (&Method::GET | &Method::HEAD, _) => {
            (StatusCode::NOT_FOUND, format!("only {PATH} is here\n"))
        }
        _ => (StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, TEXT);
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;

    fn asked(at: SocketAddr, line: &str) -> String {
        let mut stream = TcpStream::connect(at).expect("it listens");
        write!(stream, "{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    #[test]
    fn metrics_are_told_and_nothing_else_is() {
        let any = "127.0.0.1:0".parse().expect("an address");
        let endpoint = serve(Some(any), false).expect("a free port").expect("an address was said");
        let at = endpoint.address();
        let answer = asked(at, "GET /metrics");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("content-type: text/plain; version=0.0.4"), "{answer}");
        assert!(answer.contains("\nemberfs_build_info{version="), "{answer}");
        assert!(asked(at, "GET /").starts_with("HTTP/1.1 404 "));
        assert!(asked(at, "POST /metrics").starts_with("HTTP/1.1 405 "));
        let head = asked(at, "HEAD /metrics");
        assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
        // Somebody who says nothing keeps nobody from an answer, nor from the end.
        let _silent = TcpStream::connect(at).expect("it listens");
        assert!(asked(at, "GET /metrics").starts_with("HTTP/1.1 200 OK\r\n"));
        drop(endpoint);
        assert!(TcpStream::connect(at).is_err(), "it has ended");
        assert!(serve(None, false).expect("nothing is done").is_none());
    }

    #[test]
    fn connections_that_say_nothing_keep_nobody_out() {
        let any = "127.0.0.1:0".parse().expect("an address");
        let endpoint = serve(Some(any), false).expect("a free port").expect("an address was said");
        let at = endpoint.address();
        let silent: Vec<TcpStream> =
            (0..CONNECTIONS_MAX + 2).map(|_| TcpStream::connect(at).expect("it listens")).collect();
        assert!(asked(at, "GET /metrics").starts_with("HTTP/1.1 200 OK\r\n"));
        let mut oldest = &silent[0];
        assert_eq!(oldest.read(&mut [0]).expect("it was closed in order"), 0, "it gave way");
    }

    #[test]
    fn other_machines_are_kept_out_unless_the_danger_is_named() {
        let everywhere = Some("0.0.0.0:0".parse().expect("an address"));
        let error = check(everywhere, false, Some(BEYOND_KEY)).expect_err("reachable").to_string();
        assert!(error.starts_with("metrics: 0.0.0.0:0 can be reached"), "{error}");
        assert!(error.contains("listen_beyond_loopback_without_authentication = true"), "{error}");
        assert!(check(everywhere, true, None).is_ok() && serve(everywhere, false).is_err());
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let error = serve(taken.local_addr().ok(), false).expect_err("taken").to_string();
        assert!(error.starts_with("metrics: nothing can listen: 127.0.0.1:"), "{error}");
    }
}
