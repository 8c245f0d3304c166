//! What Tokio has to wait for: locks, time and joins.

use std::{future::pending, sync::Arc, time::Duration};

use tokio::{
    sync::{Barrier, Mutex, Notify, OnceCell, RwLock, Semaphore},
    task::{self, JoinSet},
    time::{self, Instant},
};

use crate::park::{here, is, leaf, local, on_local_set, on_thread, parks, tracked, turn};

const HOUR: Duration = Duration::from_hours(1);

pub(super) fn spawn() {
    locks();
    times();
    tasks();
    runtimes();
}

fn locks() {
    tracked("lock", async {
        let lock = Mutex::new(1);
        let first = lock.lock().await;
        let second = lock.lock().await; //~
        drop((first, second));
    });
    parks("lock_owned", async {
        let lock = Arc::new(Mutex::new(1));
        let _first = lock.clone().lock_owned().await;
        lock.lock_owned().await; //~
    });
    parks("a lock of futures", async {
        let lock = futures::lock::Mutex::new(1);
        let _first = lock.lock().await;
        *lock.lock().await //~
    });
    parks("what is awaited with a lock held", async {
        let lock = Mutex::new(Box::pin(async { leaf::<()>().await })); //~ 2 leaf
        let mut inner = lock.lock().await;
        inner.as_mut().await; //~ 1
    });
    parks("read of a lock that is written", async {
        let lock = RwLock::new(1);
        let _writes = lock.write().await;
        *lock.read().await //~
    });
    parks("write of a lock that is read", async {
        let lock = RwLock::new(1);
        let _reads = lock.read().await;
        *lock.write().await = 2; //~
    });
    parks("acquire", async { Semaphore::new(0).acquire().await.is_ok() }); //~
    parks("acquire_many_owned", async {
        Arc::new(Semaphore::new(1)).acquire_many_owned(2).await.is_ok() //~
    });
    parks("notified", async { Notify::new().notified().await }); //~
    tracked("a pinned Notified that is enabled", async {
        let notify = Notify::new();
        let mut notified = std::pin::pin!(notify.notified());
        notified.as_mut().enable();
        notified.await; //~
    });
    parks("wait of a barrier", async { Barrier::new(2).wait().await }); //~
    parks("get_or_init, whose function waits", async {
        OnceCell::new().get_or_init(|| async { leaf::<u8>().await }).await.wrapping_add(1)
        //~ 1 2 leaf
    });
    parks("get_or_try_init, whose function waits", async {
        let cell = OnceCell::new();
        let init = || async { leaf::<Result<u8, ()>>().await }; //~ 2 leaf
        cell.get_or_try_init(init).await.is_ok() //~ 1
    });
    static CELL: OnceCell<u8> = OnceCell::const_new();
    on_thread(|started| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            parks("the first of two that fill a cell", async {
                *CELL.get_or_init(|| async { leaf::<u8>().await }).await //~ 1 2 leaf
            });
            turn().await;
            parks("the second of two that fill a cell", async {
                *CELL.get_or_init(|| async { leaf::<u8>().await }).await //~ 1
            });
            turn().await;
            started.send(()).expect("it waits");
            pending::<()>().await;
        });
    });
}

fn times() {
    tracked("sleep", async { time::sleep(HOUR).await }); //~
    parks("sleep_until", async { time::sleep_until(Instant::now() + HOUR).await }); //~
    parks("a pinned sleep after its reset", async {
        let mut sleep = std::pin::pin!(time::sleep(Duration::from_millis(1)));
        sleep.as_mut().await;
        sleep.as_mut().reset(Instant::now() + HOUR);
        sleep.await; //~
    });
    parks("the second tick of an interval", async {
        let mut ticks = time::interval(HOUR);
        ticks.tick().await;
        ticks.tick().await; //~
    });
    tracked("timeout", async { time::timeout(HOUR, leaf::<()>()).await }); //~ leaf
    parks("timeout_at of a boxed timeout", async {
        let inner = Box::pin(time::timeout(HOUR, async { leaf::<()>().await })); //~ 2 leaf
        time::timeout_at(Instant::now() + HOUR, inner).await.is_ok() //~ 1
    });
    parks("after a timeout is over, with its future kept", async {
        let mut kept = Box::pin(leaf::<()>());
        let _ = time::timeout(Duration::from_millis(1), &mut kept).await;
        turn().await;
        time::sleep(HOUR).await; //~
        drop(kept);
    });
    parks("after a timeout is over, with its future awaited again", async {
        let mut kept = Box::pin(async { leaf::<()>().await }); //~ 2 leaf
        if time::timeout(Duration::from_millis(1), &mut kept).await.is_err() {
            kept.await; //~ 1
        }
    });
    parks("the second try of a loop with timeouts", async {
        for limit in [Duration::from_millis(1), HOUR] {
            let tries = async {
                turn().await;
                leaf::<()>().await; //~ 2 leaf
            };
            let _ = time::timeout(limit, tries).await; //~ 1
        }
    });
}

fn tasks() {
    parks("a JoinHandle", async { tokio::spawn(pending::<()>()).await }); //~
    drop(tokio::spawn(async {
        let inner = tokio::spawn(async {
            here("the task of a JoinHandle");
            leaf::<()>().await; //~ leaf
        });
        is("the task that joins it", task::id());
        inner.await //~
    }));
    drop(tokio::spawn(async {
        let mut set = JoinSet::new();
        let member = set.spawn(async { leaf::<()>().await });
        is("join_next", task::id());
        drop(member);
        set.join_next().await //~
    }));
    drop(tokio::spawn(async {
        let mut set = JoinSet::new();
        let member = set.spawn(async {
            turn().await;
            here("a member of a set");
            leaf::<()>().await; //~ leaf
        });
        is("the task with the set", task::id());
        pending::<()>().await; //~
        drop((set, member));
    }));
    parks("spawn_blocking", async {
        let (send, receive) = std::sync::mpsc::channel::<()>();
        let end = task::spawn_blocking(move || receive.recv()).await; //~
        drop((end, send));
    });
    tracked("unconstrained", async { task::unconstrained(leaf::<()>()).await }); //~ leaf
    parks("cooperative", async { task::coop::cooperative(leaf::<()>()).await }); //~ leaf
    parks("consume_budget, and then", async {
        for _ in 0..300 {
            task::consume_budget().await;
        }
        leaf::<()>().await; //~ leaf
    });
    tokio::task_local! {
        static NAME: u8;
    }
    parks("scope of a task-local value", async { NAME.scope(1, leaf::<()>()).await }); //~ leaf
    parks("two scopes of a task-local value", async {
        let inner = NAME.scope(2, async { leaf::<()>().await }); //~ 2 leaf
        NAME.scope(1, inner).await; //~ 1
    });
}

fn runtimes() {
    on_local_set(|| {
        local("spawn_local", async { leaf::<()>().await }); //~ leaf
        drop(task::spawn_local(async {
            let kept = std::rc::Rc::new(1);
            let inner = task::spawn_local(async {
                here("the task of the same set");
                leaf::<()>().await; //~ leaf
            });
            is("the spawner in a local set", task::id());
            inner.await.expect("it never ends"); //~
            drop(kept);
        }));
        local("run_until of another set", async {
            let set = task::LocalSet::new();
            set.run_until(async { leaf::<()>().await }).await; //~ 1 2 leaf
        });
    });
    on_thread(|started| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            parks("a child of block_on", async { leaf::<()>().await }); //~ leaf
            drop(tokio::spawn(async {
                tokio::spawn(async {
                    here("a grandchild of block_on");
                    turn().await;
                    leaf::<()>().await; //~ leaf
                });
                is("the child of block_on", task::id());
                turn().await;
                pending::<()>().await; //~
            }));
            for _ in 0..9 {
                turn().await;
            }
            started.send(()).expect("it waits");
            pending::<()>().await;
        });
    });
    on_thread(|started| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build();
        runtime.expect("a runtime").block_on(async {
            tracked("a tracked child of block_on", async { leaf::<()>().await }); //~ leaf
            turn().await;
            started.send(()).expect("it waits");
            pending::<()>().await;
        });
    });
}
