//! What goes on when nobody waits for it any more.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;

/// A future that a task takes over from whoever drops it before its end: unless `goes_on`, asked then, says
/// that it need not.
pub(crate) struct Carried<T: Send + 'static, G: FnOnce() -> bool> {
    future: Option<BoxFuture<'static, T>>,
    goes_on: Option<G>,
    runtime: Handle,
}

impl<T: Send + 'static, G: FnOnce() -> bool> Carried<T, G> {
    pub(crate) fn new(
        runtime: &Handle,
        future: impl Future<Output = T> + Send + 'static,
        goes_on: G,
    ) -> Self {
        Self { future: Some(future.boxed()), goes_on: Some(goes_on), runtime: runtime.clone() }
    }
}

impl<T: Send + 'static, G: FnOnce() -> bool + Unpin> Future for Carried<T, G> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let future = self.future.as_mut().expect("not polled after its end");
        let output = ready!(future.as_mut().poll(context));
        self.future = None;
        Poll::Ready(output)
    }
}

impl<T: Send + 'static, G: FnOnce() -> bool> Drop for Carried<T, G> {
    fn drop(&mut self) {
        let Some(future) = self.future.take() else { return };
        let goes_on = self.goes_on.take().expect("it is asked once");
        if goes_on() {
            self.runtime.spawn(async move { drop(future.await) });
        }
    }
}
