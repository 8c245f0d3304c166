//! A dump says which tasks wait in the same queue: for one lock, one semaphore, one channel.

use std::{collections::HashSet, sync::Arc};

use memscope_rs::async_memory::{TaskDump, spawn_tracked, task_dump};
use memscope_tests::cells_learned;
use tokio::sync::{Mutex, Notify, RwLock, Semaphore, mpsc};

async fn reads_orders(lock: Arc<Mutex<u64>>) -> u64 {
    *lock.lock().await
}

async fn writes_orders(lock: Arc<Mutex<u64>>) {
    *lock.lock_owned().await += 1;
}

async fn has_a_lock_of_its_own() {
    let lock = Mutex::new(1);
    let guard = lock.lock().await;
    let again = lock.lock().await;
    drop((guard, again));
}

async fn takes_a_permit(permits: Arc<Semaphore>) {
    drop(permits.acquire_many(2).await);
}

async fn changes(lock: Arc<RwLock<u64>>) {
    *lock.write().await += 1;
}

async fn sends_orders(to: mpsc::Sender<u64>) {
    let _ = to.send(1).await;
}

async fn waits_for_news(news: Arc<Notify>) {
    news.notified().await;
}

async fn waits_for_news_or_time(news: Arc<Notify>) {
    tokio::select! {
        () = news.notified() => {}
        () = tokio::time::sleep(std::time::Duration::from_hours(1)) => {}
    }
}

async fn locks_of_futures(lock: Arc<futures::lock::Mutex<u64>>) {
    *lock.lock().await += 1;
}

/// The queue of each task whose name ends so.
fn queues(dump: &TaskDump, name: &str) -> Vec<Option<u64>> {
    let named = dump.tasks.iter().filter(|task| task.name.ends_with(name));
    let queues: Vec<_> = named.map(|task| task.queue).collect();
    assert!(!queues.is_empty(), "{name}: {dump:#}");
    queues
}

/// The one queue that these tasks wait in.
fn queue(dump: &TaskDump, name: &str, tasks: usize) -> u64 {
    let queues = queues(dump, name);
    assert_eq!(queues.len(), tasks, "{name}: {dump:#}");
    let one = queues[0].unwrap_or_else(|| panic!("{name}: {dump:#}"));
    assert!(queues.iter().all(|queue| *queue == Some(one)), "{name}: {dump:#}");
    one
}

#[test]
fn tasks_that_wait_for_one_lock_are_in_one_queue_wherever_they_wait() {
    cells_learned();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("one");
    let dump = runtime.block_on(async {
        let orders = Arc::new(Mutex::new(0));
        let _held = Arc::clone(&orders).lock_owned().await;
        for _ in 0..4 {
            tokio::spawn(reads_orders(Arc::clone(&orders)));
        }
        drop(spawn_tracked(reads_orders(Arc::clone(&orders))));
        tokio::spawn(Box::pin(writes_orders(orders)));
        for _ in 0..3 {
            tokio::spawn(has_a_lock_of_its_own());
        }
        let permits = Arc::new(Semaphore::new(1));
        let lock = Arc::new(RwLock::new(0));
        let _read = Arc::clone(&lock).read_owned().await;
        let (to, _from) = mpsc::channel(1);
        to.send(0).await.expect("room for one");
        let news = Arc::new(Notify::new());
        let in_futures = Arc::new(futures::lock::Mutex::new(0));
        let _held_there = Arc::clone(&in_futures).lock_owned().await;
        for _ in 0..2 {
            tokio::spawn(takes_a_permit(Arc::clone(&permits)));
            tokio::spawn(changes(Arc::clone(&lock)));
            tokio::spawn(sends_orders(to.clone()));
            tokio::spawn(waits_for_news(Arc::clone(&news)));
            tokio::spawn(locks_of_futures(Arc::clone(&in_futures)));
        }
        tokio::spawn(waits_for_news_or_time(news));
        tokio::spawn(tokio::time::sleep(std::time::Duration::from_hours(1)));
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        tokio::task::spawn_blocking(task_dump).await.expect("no panic").expect("a dump")
    });
    let orders = queue(&dump, "::reads_orders", 5);
    assert_eq!(orders, 1, "most wait there: {dump:#}");
    assert_eq!(queue(&dump, "::writes_orders", 1), orders);
    let own: HashSet<_> = queues(&dump, "::has_a_lock_of_its_own").into_iter().collect();
    assert_eq!((own.len(), own.contains(&None)), (3, false), "{dump:#}");
    let mut all = HashSet::from([orders]);
    for name in ["takes_a_permit", "changes", "sends_orders", "waits_for_news", "locks_of_futures"]
    {
        assert!(all.insert(queue(&dump, &format!("::{name}"), 2)), "{name}: {dump:#}");
    }
    assert_eq!(queues(&dump, "::waits_for_news_or_time"), [None], "it waits for two");
    assert_eq!(queues(&dump, "::Sleep"), [None]);
    let text = dump.to_string();
    let lines = text.lines().filter(|line| line.ends_with(", in queue 1"));
    assert_eq!(lines.count(), 2, "{text}");
    assert!(!text.contains("has_a_lock_of_its_own: "), "{text}");
}
