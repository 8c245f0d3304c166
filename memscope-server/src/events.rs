//! The stream of updates: server-sent events, one a second.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame};
use memscope_runtime::__server::own;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Interval, MissedTickBehavior, interval},
};

use crate::latest::{Format, latest};

const PERIOD: Duration = Duration::from_secs(1);

/// How soon the browser connects again after the stream has broken off.
const RETRY: &[u8] = b"retry: 2000\n\n";

/// A body without an end. The connection asks for the next update once it has written the last one.
/// So a slow client holds one update at most, which it shares with the other clients.
#[derive(Debug)]
pub(crate) struct Events {
    period: Interval,
    has_begun: bool,
    _place: OwnedSemaphorePermit,
}

impl Events {
    /// Returns `None` if there are too many streams. Must be called inside `own`.
    pub(crate) fn new(places: &Arc<Semaphore>) -> Option<Self> {
        let place = Arc::clone(places).try_acquire_owned().ok()?;
        let mut period = interval(PERIOD);
        period.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Some(Self { period, has_begun: false, _place: place })
    }
}

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if !self.has_begun {
            self.has_begun = true;
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(RETRY)))));
        }
        own(|| {
            self.period
                .poll_tick(context)
                .map(|_| Some(Ok(Frame::data(latest().in_format(Format::Update)))))
        })
    }
}
