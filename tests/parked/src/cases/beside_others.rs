//! Futures that are written by hand, and have what they wait for in a list, an array, behind a lock
//! or in an object of a trait of their own, beside what they have polled before.

use crate::park::{leaf, local, on_local_set, parks, turn};
use futures::{FutureExt, Sink, future::Shared, stream::Stream};
use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap, VecDeque},
    future::{Future, poll_fn},
    mem::replace,
    pin::{Pin, pin},
    rc::Rc,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
};
use tokio::sync::mpsc;

type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Something that is polled, and is no future.
trait Drive {
    fn drive(&mut self, context: &mut Context<'_>) -> Poll<()>;
}

impl<F: Future<Output = ()> + Unpin> Drive for Vec<F> {
    fn drive(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.retain_mut(|it| it.poll_unpin(context).is_pending());
        if self.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }
}
impl Drive for VecDeque<Boxed> {
    fn drive(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while let Some(first) = self.front_mut() {
            ready!(first.as_mut().poll(context));
            self.pop_front();
        }
        Poll::Ready(())
    }
}
impl Drive for [Option<Boxed>; 2] {
    fn drive(&mut self, context: &mut Context<'_>) -> Poll<()> {
        for it in self.iter_mut() {
            if it.as_mut().is_some_and(|it| it.as_mut().poll(context).is_ready()) {
                *it = None;
            }
        }
        if self.iter().all(Option::is_none) { Poll::Ready(()) } else { Poll::Pending }
    }
}
impl Drive for HashMap<u8, Boxed> {
    fn drive(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.retain(|_, it| it.as_mut().poll(context).is_pending());
        if self.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }
}
impl Drive for BTreeMap<u8, Boxed> {
    fn drive(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(mut first) = self.first_entry() else { return Poll::Ready(()) };
        first.get_mut().as_mut().poll(context)
    }
}
impl Drive for Arc<Mutex<Boxed>> {
    fn drive(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.lock().unwrap().as_mut().poll(context)
    }
}
impl Drive for Mutex<Option<Boxed>> {
    fn drive(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(it) = self.get_mut().unwrap() else { return Poll::Ready(()) };
        it.as_mut().poll(context)
    }
}
impl Drive for Rc<RefCell<Boxed>> {
    fn drive(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.borrow_mut().as_mut().poll(context)
    }
}
impl<F: Future<Output = ()>> Drive for Shared<F> {
    fn drive(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.poll_unpin(context)
    }
}
impl Drive for Box<dyn Drive + Send> {
    fn drive(&mut self, context: &mut Context<'_>) -> Poll<()> {
        (**self).drive(context)
    }
}
impl Drive for Pin<Box<dyn Sink<u8, Error = ()> + Send>> {
    fn drive(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.as_mut().poll_flush(context).map(drop)
    }
}

/// It has polled the first, and waits for the others.
struct Warmed<F, D> {
    warm: Pin<Box<F>>,
    others: D,
    is_warm: bool,
}
impl<F: Future, D: Drive + Unpin> Future for Warmed<F, D> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if !replace(&mut self.is_warm, true) {
            let _ = self.warm.as_mut().poll(context);
        }
        self.others.drive(context)
    }
}
fn warmed<F: Future, D: Drive>(warm: F, others: D) -> Warmed<F, D> {
    Warmed { warm: Box::pin(warm), others, is_warm: false }
}

/// A server: its listener, its connections, and what it was told.
struct Server<L> {
    listener: Option<Pin<Box<L>>>,
    connections: Vec<Boxed>,
    accepted: u32,
}
impl<L: Future<Output = Boxed>> Future for Server<L> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if let Some(listener) = &mut this.listener
            && let Poll::Ready(it) = listener.as_mut().poll(context)
        {
            this.connections.push(it);
            this.accepted += 1;
            this.listener = None;
        }
        let connections = this.connections.drive(context);
        if this.listener.is_some() { Poll::Pending } else { connections }
    }
}

/// A stream of what its first gives, which it asks for once, and then of a list.
struct Listed<S> {
    first: Pin<Box<S>>,
    rest: Vec<Pin<Box<dyn Stream<Item = u8> + Send>>>,
    asked: u8,
}
impl<S: Stream<Item = u8>> Stream for Listed<S> {
    type Item = u8;
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<u8>> {
        if self.asked == 0 {
            self.asked = 1;
            let _ = self.first.as_mut().poll_next(context);
        }
        match self.rest.last_mut() {
            Some(it) => it.as_mut().poll_next(context),
            None => Poll::Ready(None),
        }
    }
}

/// It has polled the first of two, and waits for a message.
struct Pair<F> {
    both: (Pin<Box<F>>, mpsc::Receiver<u8>),
    polls: u32,
}
impl<F: Future> Future for Pair<F> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.polls += 1;
        if self.polls == 1 {
            let _ = self.both.0.as_mut().poll(context);
        }
        self.both.1.poll_recv(context).map(drop)
    }
}

type Timer = Pin<Box<tokio::time::Sleep>>;

/// The same in an `Option`, with a timer.
struct Lease<F> {
    held: Option<(Pin<Box<F>>, Timer)>,
    polls: u32,
}
impl<F: Future> Future for Lease<F> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.polls += 1;
        let is_first = self.polls == 1;
        let Some((work, until)) = &mut self.held else { return Poll::Ready(()) };
        if is_first {
            let _ = work.as_mut().poll(context);
        }
        until.as_mut().poll(context)
    }
}

pub(super) fn spawn() {
    parks("a Vec of boxes, and what was polled before", async {
        let jobs: Vec<Boxed> = vec![Box::pin(turn()), Box::pin(async { leaf().await })]; //~ 2 leaf
        warmed(async { leaf::<()>().await }, jobs).await; //~ 1
    });
    parks("a VecDeque of boxes, and what was polled before", async {
        let jobs: [Boxed; 2] = [Box::pin(turn()), Box::pin(async { leaf().await })]; //~ 2 leaf
        warmed(async { leaf::<()>().await }, VecDeque::from(jobs)).await; //~ 1
    });
    parks("an array of boxes, and what was polled before", async {
        let job: Boxed = Box::pin(async { leaf().await }); //~ 2 leaf
        warmed(async { leaf::<()>().await }, [None, Some(job)]).await; //~ 1
    });
    parks("a map of boxes, and what was polled before", async {
        let job: Boxed = Box::pin(async { leaf().await }); //~ 2 leaf
        warmed(async { leaf::<()>().await }, HashMap::from([(1_u8, job)])).await; //~ 1
    });
    parks("a tree of boxes, and what was polled before", async {
        let job: Boxed = Box::pin(async { leaf().await }); //~ 2 leaf
        warmed(async { leaf::<()>().await }, BTreeMap::from([(1_u8, job)])).await; //~ 1
    });
    parks("a box behind an Arc and a Mutex, and what was polled before", async {
        let job: Boxed = Box::pin(async { leaf().await }); //~ 2 leaf
        warmed(async { leaf::<()>().await }, Arc::new(Mutex::new(job))).await; //~ 1
    });
    parks("a box in a Mutex, and what was polled before", async {
        let job: Boxed = Box::pin(async { leaf().await }); //~ 2 leaf
        warmed(async { leaf::<()>().await }, Mutex::new(Some(job))).await; //~ 1
    });
    on_local_set(|| {
        local("a box behind an Rc and a RefCell, and what was polled before", async {
            let job: Boxed = Box::pin(async { leaf().await }); //~ 2 leaf
            warmed(async { leaf::<()>().await }, Rc::new(RefCell::new(job))).await; //~ 1
        });
    });
    parks("a Shared, and what was polled before", async {
        let job = async { leaf::<()>().await }.boxed().shared(); //~ 2 leaf
        warmed(async { leaf::<()>().await }, job).await; //~ 1
    });
    parks("an object of a trait of one's own, and what was polled before", async {
        let job: Boxed = Box::pin(async { leaf().await }); //~ 2 leaf
        let others: Box<dyn Drive + Send> = Box::new(vec![job]);
        warmed(async { leaf::<()>().await }, others).await; //~ 1
    });
    parks("a boxed sink, and what was polled before", async {
        let mut into: Pin<Box<dyn Sink<u8, Error = ()> + Send>> =
            Box::pin(futures::sink::unfold((), |(), _: u8| async { leaf().await })); //~ 2 leaf
        assert!(into.as_mut().start_send(1).is_ok());
        warmed(async { leaf::<()>().await }, into).await; //~ 1
    });
    parks("a pair of a function that was polled before, and a channel", async {
        let (send, receive) = mpsc::channel(1);
        Pair { both: (Box::pin(async { leaf::<()>().await }), receive), polls: 0 }.await; //~
        drop(send);
    });
    parks("an Option of a function that was polled before, and a timer", async {
        let until = Box::pin(tokio::time::sleep(std::time::Duration::from_hours(1)));
        let held = Some((Box::pin(async { leaf::<()>().await }), until));
        Lease { held, polls: 0 }.await; //~
    });
    servers();
}

fn servers() {
    parks("a server, whose listener and whose connections wait", async {
        let connections: Vec<Boxed> = vec![Box::pin(async { leaf().await })]; //~ 2b leaf
        let listener = Some(Box::pin(async { leaf::<Boxed>().await })); //~ 2a leaf
        Server { listener, connections, accepted: 0 }.await; //~ 1
    });
    parks("a server, whose listener is closed", async {
        let accept = async {
            turn().await;
            let connection: Boxed = Box::pin(async { leaf().await }); //~ 2 leaf
            connection
        };
        let listener = Some(Box::pin(accept));
        Server { listener, connections: Vec::new(), accepted: 0 }.await; //~ 1
    });
    parks("a stream of a list, and one that was asked before", async {
        let first = Box::pin(futures::stream::once(async { leaf::<u8>().await }));
        let last = Box::pin(futures::stream::once(async { leaf::<u8>().await })); //~ 2 leaf
        let mut all = pin!(Listed { first, rest: vec![last], asked: 0 });
        futures::StreamExt::next(&mut all).await; //~ 1
    });
    parks("poll_fn with a Vec, and what was polled before", async {
        let mut warm = Box::pin(async { leaf::<()>().await });
        let mut jobs: Vec<Boxed> = vec![Box::pin(async { leaf().await })]; //~ 2 leaf
        let mut is_warm = false;
        poll_fn(move |context| {
            if !replace(&mut is_warm, true) {
                let _ = warm.as_mut().poll(context);
            }
            jobs.drive(context)
        })
        .await; //~ 1
    });
    parks("poll_fn that borrows a Vec, and what was polled before", async {
        let mut warm = pin!(async { leaf::<()>().await });
        let mut jobs: Vec<Boxed> = vec![Box::pin(async { leaf().await })]; //~ 2 leaf
        assert!(futures::poll!(warm.as_mut()).is_pending());
        poll_fn(|context| {
            if context.waker().will_wake(std::task::Waker::noop()) {
                return warm.as_mut().poll(context);
            }
            jobs.drive(context)
        })
        .await; //~ 1
    });
    parks("a join! of a type with a Vec, and of a function", async {
        let jobs: Vec<Boxed> = vec![Box::pin(async { leaf().await })]; //~ 2a leaf
        let first = warmed(turn(), jobs);
        tokio::join!(first, async { leaf::<()>().await }); //~ 1 2b leaf
    });
    parks("a select! of a type with a Vec, and of a function", async {
        let jobs: Vec<Boxed> = vec![Box::pin(async { leaf().await })]; //~ 2a leaf
        let first = warmed(async { leaf::<()>().await }, jobs);
        tokio::select! { //~ 1
            () = first => {}
            () = async { leaf().await } => {} //~ 2b leaf
        }
    });
}
