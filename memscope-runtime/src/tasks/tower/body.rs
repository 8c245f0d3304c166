//! The body of a response, polled inside the request's task until its last frame.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Buf;
use http::{Response, header::CONTENT_LENGTH};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::request::Request;
use crate::alloc::poll_guard;

pin_project! {
    /// The body of a response, whose allocations are charged to the request; made by
    /// [`TrackService`](super::TrackService).
    ///
    /// It gives the same frames, trailers, size hints and errors as the wrapped body, and panics
    /// when that body does. It is `Send`, `Sync` and `Unpin` if the body in it is.
    #[must_use = "bodies do nothing unless polled"]
    pub struct TrackedBody<B> {
        #[pin]
        body: Option<B>,
        request: Request,
        // How many bytes are still to come, if that is known.
        bytes_left: Option<u64>,
    }

    impl<B> PinnedDrop for TrackedBody<B> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let is_whole = *this.bytes_left == Some(0);
            this.request.close(is_whole, || this.body.set(None));
        }
    }
}

impl<B: Body> TrackedBody<B> {
    /// Returns the response with its body in the request's task.
    pub(super) fn of(response: Response<B>, request: Request) -> Response<Self> {
        let header = response.headers().get(CONTENT_LENGTH);
        let length = header.and_then(|it| it.to_str().ok()?.parse().ok());
        let bytes_left = length.or_else(|| response.body().size_hint().exact());
        response.map(|body| Self { body: Some(body), request, bytes_left })
    }

    /// Makes the body of a request without a row.
    pub(super) fn without_row(body: B) -> Self {
        Self { body: Some(body), request: Request::without_row(), bytes_left: None }
    }
}

impl<B: Body> Body for TrackedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let Some(mut body) = this.body.as_pin_mut() else {
            unreachable!("the body is taken out only when it is dropped");
        };
        let Some(record) = this.request.record() else { return body.poll_frame(context) };
        poll_guard::note_tracked();
        let running = record.run_apart();
        let poll = body.as_mut().poll_frame(context);
        let is_last = match &poll {
            Poll::Pending => false,
            Poll::Ready(None | Some(Err(_))) => true,
            Poll::Ready(Some(Ok(frame))) => {
                if let (Some(data), Some(left)) = (frame.data_ref(), this.bytes_left.as_mut()) {
                    *left = left.saturating_sub(data.remaining() as u64);
                }
                frame.is_trailers() || body.is_end_stream()
            }
        };
        running.finish(is_last);
        poll
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(B::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, B::size_hint)
    }
}

impl<B> fmt::Debug for TrackedBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrackedBody").finish_non_exhaustive()
    }
}
