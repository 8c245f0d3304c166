//! Loops of services: actors, retries, limits, fan-in and fan-out, and what they have besides what
//! they wait for.

use std::{
    collections::{HashMap, VecDeque},
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use futures::{
    FutureExt, SinkExt, StreamExt,
    future::{self, BoxFuture, Either, OptionFuture},
    stream::FuturesUnordered,
};
use tokio::{
    sync::{Barrier, Mutex, Notify, OnceCell, RwLock, Semaphore, broadcast, mpsc, oneshot, watch},
    task::JoinSet,
    time::{Instant, interval, sleep, sleep_until, timeout, timeout_at},
};
use tokio_util::{sync::CancellationToken, time::DelayQueue};

use crate::park::{leaf, parks, tracked, turn};

const HOUR: Duration = Duration::from_hours(1);

type Boxed<T = ()> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A message of an actor.
enum Ask {
    Get(u8, oneshot::Sender<u8>),
    Stop,
}

pub(super) fn spawn() {
    actors();
    retries();
    limits();
    fans();
    kept();
}

fn actors() {
    tracked("an actor that loads what it was asked for", async {
        /// An actor with its state.
        struct Actor {
            inbox: mpsc::Receiver<Ask>,
            values: HashMap<u8, u8>,
            stop: CancellationToken,
        }
        impl Actor {
            async fn load(&mut self, key: u8) -> u8 {
                if let Some(it) = self.values.get(&key) {
                    return *it;
                }
                let it = leaf::<u8>().await; //~ 4 leaf
                self.values.insert(key, it);
                it
            }
            async fn handle(&mut self, ask: Ask) -> bool {
                match ask {
                    Ask::Get(key, reply) => reply.send(self.load(key).await).is_ok(), //~ 3
                    Ask::Stop => false,
                }
            }
            async fn run(mut self) {
                loop {
                    tokio::select! {
                        biased;
                        () = self.stop.cancelled() => break,
                        ask = self.inbox.recv() => match ask {
                            Some(ask) => {
                                if !self.handle(ask).await { //~ 2
                                    break;
                                }
                            }
                            None => break,
                        },
                    }
                }
            }
        }
        let (send, inbox) = mpsc::channel(4);
        let (reply, answer) = oneshot::channel();
        send.send(Ask::Get(1, reply)).await.ok().expect("room");
        let actor = Actor { inbox, values: HashMap::new(), stop: CancellationToken::new() };
        actor.run().await; //~ 1
        drop((send, answer));
    });
    parks("an actor that is asked, and does not answer", async {
        let (send, mut inbox) = mpsc::channel(4);
        let (reply, answer) = oneshot::channel();
        send.send(Ask::Get(1, reply)).await.ok().expect("room");
        let kept = inbox.recv().await;
        let it = timeout(HOUR, answer).await.is_ok(); //~
        drop((kept, send.send(Ask::Stop).await));
        it
    });
    parks("an actor between its inbox and its jobs", async {
        let (send, mut inbox) = mpsc::channel::<u8>(4);
        send.send(1).await.expect("room");
        let mut jobs: FuturesUnordered<Boxed> = FuturesUnordered::new();
        let mut ticks = interval(HOUR);
        ticks.tick().await;
        loop {
            tokio::select! { //~ 1
                Some(_) = inbox.recv(), if jobs.len() < 2 => {
                    jobs.push(Box::pin(async { leaf().await })); //~ 2 leaf
                }
                Some(()) = jobs.next() => {}
                _ = ticks.tick() => {}
                else => break,
            }
        }
        drop(send);
    });
    parks("an actor whose jobs are in a set", async {
        let mut jobs = JoinSet::new();
        let stop = Arc::new(Notify::new());
        jobs.spawn(leaf::<()>());
        loop {
            tokio::select! { //~
                it = jobs.join_next(), if !jobs.is_empty() => drop(it),
                () = stop.notified() => jobs.abort_all(),
                else => break,
            }
        }
    });
    parks("a loop whose current job is an Option", async {
        let (send, mut inbox) = mpsc::channel::<u8>(4);
        send.send(1).await.expect("room");
        let mut job: OptionFuture<BoxFuture<'static, ()>> = None.into();
        let mut queue = VecDeque::new();
        loop {
            tokio::select! { //~ 1
                Some(it) = inbox.recv() => {
                    queue.push_back(it);
                    job = Some(async { leaf::<()>().await }.boxed()).into(); //~ 2 leaf
                }
                Some(()) = &mut job => job = None.into(),
                else => break,
            }
        }
        drop(send);
    });
    parks("a loop without a current job", async {
        let (send, mut inbox) = mpsc::channel::<u8>(4);
        let mut job: future::Fuse<BoxFuture<'static, ()>> = future::Fuse::terminated();
        loop {
            tokio::select! { //~
                it = inbox.recv() => match it {
                    Some(_) => job = async { leaf::<()>().await }.boxed().fuse(),
                    None => break,
                },
                () = &mut job => {}
            }
        }
        drop(send);
    });
}

fn retries() {
    parks("a retry with backoff, in its pause", async {
        async fn call(at: u32) -> Result<u8, u32> {
            if at < 9 { Err(at) } else { Ok(leaf().await) }
        }
        let mut pause = Duration::from_millis(0);
        let mut at = 0;
        loop {
            match timeout(HOUR, call(at)).await {
                Ok(Ok(it)) => break it,
                _ if at == 2 => sleep(HOUR).await, //~
                _ => sleep(pause).await,
            }
            at += 1;
            pause *= 2;
        }
    });
    parks("a retry with backoff, in its third call", async {
        async fn call(at: u32) -> Result<u8, u32> {
            turn().await;
            if at < 2 { Err(at) } else { Ok(leaf().await) } //~ 2 leaf
        }
        let mut at = 0;
        loop {
            match timeout(HOUR, call(at)).await {
                //~ 1
                Ok(Ok(it)) => break it,
                Ok(Err(_)) => sleep(Duration::ZERO).await,
                Err(_) => turn().await,
            }
            at += 1;
        }
    });
    parks("a retry of a boxed maker", async {
        type Make = Box<dyn Fn(u32) -> BoxFuture<'static, Result<u8, ()>> + Send + Sync>;
        async fn retry(make: &Make) -> Result<u8, ()> {
            for at in 0..2 {
                if let Ok(it) = make(at).await {
                    return Ok(it);
                }
            }
            make(2).await //~ 2
        }
        let make: Make = Box::new(|at| {
            async move { if at < 2 { Err(()) } else { leaf().await } }.boxed() //~ 3 leaf
        });
        retry(&make).await //~ 1
    });
    parks("a hedge: the first call, and a second one after a while", async {
        let mut first = pin!(async { leaf::<()>().await }); //~ 2a leaf
        if timeout(Duration::from_millis(1), &mut first).await.is_err() {
            let second = pin!(async { leaf::<()>().await }); //~ 2b leaf
            match future::select(first, second).await {
                //~ 1
                Either::Left(_) | Either::Right(_) => {}
            }
        }
    });
    parks("a deadline, which all of a loop has", async {
        let end = Instant::now() + HOUR;
        for at in 0.. {
            let step = async move { if at < 3 { turn().await } else { leaf().await } }; //~ 2 leaf
            if timeout_at(end, step).await.is_err() {
                //~ 1
                break;
            }
        }
    });
}

fn limits() {
    parks("a token bucket that is empty", async {
        let (tokens, mut until) = (Semaphore::new(1), pin!(sleep_until(Instant::now() + HOUR)));
        loop {
            if let Ok(it) = tokens.try_acquire() {
                it.forget();
                turn().await;
                continue;
            }
            until.as_mut().await; //~
            tokens.add_permits(1);
        }
    });
    parks("a permit, held while a row of locks is taken", async {
        let (permits, table) = (Semaphore::new(1), RwLock::new(Mutex::new(1)));
        let _permit = permits.acquire().await.expect("open");
        let row = table.read().await;
        let first = row.lock().await;
        let second = row.lock().await; //~
        drop((first, second));
    });
    parks("a cell that is filled by a function", async {
        let cell = OnceCell::new();
        let fill = || async {
            turn().await;
            leaf::<Result<u8, ()>>().await //~ 2 leaf
        };
        cell.get_or_try_init(fill).await.copied() //~ 1
    });
    parks("a barrier of two, in a select! with a Notify", async {
        let (barrier, notify) = (Barrier::new(2), Notify::new());
        tokio::select! { //~
            _ = barrier.wait() => {}
            () = notify.notified() => {}
        }
    });
    parks("a queue of delays beside a function", async {
        let mut queue = DelayQueue::new();
        queue.insert(1_u8, HOUR);
        let mut work = pin!(async { leaf::<()>().await }.fuse()); //~ 2 leaf
        loop {
            tokio::select! { //~ 1
                _ = queue.next() => {}
                () = &mut work => break,
            }
        }
    });
}

fn fans() {
    parks("a fan-out of calls, of which the first two are over", async {
        async fn call(at: u8) -> Result<u8, ()> {
            if at < 2 { Ok(at) } else { leaf().await } //~ 2 leaf
        }
        future::try_join_all((0..4).map(call)).await.map(|it| it.len()) //~ 1
    });
    parks("a quorum of calls", async {
        let call = |at: u8| async move {
            if at == 0 { at } else { leaf::<u8>().await } //~ 2 leaf
        };
        let mut all: FuturesUnordered<_> = (0..3).map(call).collect();
        let mut answers = Vec::new();
        while let Some(it) = all.next().await {
            //~ 1
            answers.push(it);
            if answers.len() == 2 {
                break;
            }
        }
    });
    parks("a fan-in of channels", async {
        let (first_send, mut first) = mpsc::channel::<u8>(1);
        let (second_send, mut second) = broadcast::channel::<u8>(1);
        let (third_send, mut third) = watch::channel(1_u8);
        tokio::select! { //~
            _ = first.recv() => {}
            _ = second.recv() => {}
            _ = third.changed() => {}
        }
        drop((first_send, second_send, third_send));
    });
    parks("a fan-out into sinks, of which one is full", async {
        let (mut first, _one) = futures::channel::mpsc::channel::<u8>(4);
        let (mut second, _two) = futures::channel::mpsc::channel::<u8>(0);
        second.feed(1).await.expect("room");
        let both = future::try_join(first.send(2), second.send(2));
        both.await.map(drop) //~
    });
    parks("a pipeline of three functions", async {
        let (send, receive) = mpsc::channel::<u8>(1);
        let producer = async move {
            for at in 0.. {
                if send.send(at).await.is_err() {
                    //~ 2a
                    break;
                }
            }
        };
        let (forward, mut end) = mpsc::channel::<u8>(1);
        let stage = async move {
            let mut receive = receive;
            while let Some(it) = receive.recv().await {
                forward.send(it).await.expect("open"); //~ 2b
            }
        };
        let consumer = async move {
            end.recv().await;
            leaf::<()>().await; //~ 2c leaf
        };
        tokio::join!(producer, stage, consumer); //~ 1
    });
}

fn kept() {
    parks("a future that was kept out of a select!, and its result used", async {
        let mut work = pin!(async { leaf::<()>().await });
        let mut tries = 0;
        while tries < 2 {
            tokio::select! {
                () = &mut work => break,
                () = turn() => tries += 1,
            }
        }
        let (send, receive) = oneshot::channel::<u8>();
        let it = receive.await; //~
        drop(send);
        work.await;
        it
    });
    parks("a select! in a select! that was cancelled before", async {
        let inner = |waits: bool| async move {
            tokio::select! { //~ 2
                () = async { leaf().await } => {} //~ 3a leaf
                () = async { if waits { leaf().await } } => {} //~ 3b leaf
            }
        };
        tokio::select! {
            () = inner(true) => {}
            () = turn() => {}
        }
        inner(true).await; //~ 1
    });
    parks("an array of boxes that is awaited one by one", async {
        let all: [Boxed<u8>; 3] = [
            Box::pin(async { 1 }),
            Box::pin(async { leaf().await }), //~ 2 leaf
            Box::pin(async { leaf().await }),
        ];
        let mut sum = 0;
        for it in all {
            sum += it.await; //~ 1
        }
        sum
    });
    parks("a Vec of boxes that are polled before they are awaited", async {
        let mut all: Vec<Boxed> =
            vec![Box::pin(async { leaf().await }), Box::pin(async { leaf().await })]; //~ 2 leaf
        for it in &mut all {
            assert!(futures::poll!(it).is_pending());
        }
        all.remove(0).await; //~ 1
    });
    parks("an Option of a future that is taken", async {
        struct Slot {
            current: Option<Boxed>,
        }
        let mut slot = Slot { current: Some(Box::pin(async { leaf().await })) }; //~ 2 leaf
        if let Some(it) = slot.current.as_mut() {
            assert!(futures::poll!(it).is_pending());
        }
        if let Some(it) = slot.current.take() {
            it.await; //~ 1
        }
    });
    parks("a Shared that another task drives", async {
        let shared = async { leaf::<()>().await }.boxed().shared();
        let other = tokio::spawn(shared.clone());
        turn().await;
        turn().await;
        tokio::join!(shared, async { leaf::<()>().await }); //~ 1 2 leaf
        drop(other);
    });
}
