//! The life of a variable, to the byte: its end, its growth, the task that holds it and the task
//! that frees it.

use std::{
    cell::RefCell,
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, mpsc},
};

use memscope_macros::track_var;
use memscope_rs::async_memory::{
    Extent, MemorySnapshot, TaskId, VariableProfile, VariableSiteProfile, current_task_id, track,
};
use memscope_tests::{
    block_on, conserved, keep_wanted_panics_quiet, poll, record_bytes, settled_record_bytes,
    wait_once, workers,
};

memscope_tests::install!();

/// Rows are told apart by their names; each test has its own.
fn alone() -> MutexGuard<'static, ()> {
    memscope_tests::alone()
}

#[track_caller]
fn now() -> MemorySnapshot {
    let snapshot = conserved(&ALLOCATOR);
    for site in snapshot.variable_sites() {
        let live: Vec<&VariableProfile> = live(&snapshot, &site.name)
            .into_iter()
            .filter(|variable| (variable.line, &variable.type_name) == (site.line, &site.type_name))
            .collect();
        assert_eq!(site.live, live.len() as u64, "{site:#?}");
        assert_eq!(site.live_bytes, live.iter().map(|variable| variable.heap_bytes).sum::<u64>());
        assert_eq!(
            site.registered,
            site.live + site.ended + site.repeated + site.unfollowed,
            "{site:#?}"
        );
    }
    snapshot
}

fn live<'s>(snapshot: &'s MemorySnapshot, name: &str) -> Vec<&'s VariableProfile> {
    let variables = snapshot.variables().iter();
    variables.filter(|variable| variable.live && variable.name == name).collect()
}

/// The only live variable of this name.
#[track_caller]
fn one(name: &str) -> VariableProfile {
    let snapshot = now();
    let [variable] = live(&snapshot, name)[..] else { panic!("not one `{name}`\n{snapshot:#}") };
    variable.clone()
}

/// The last variable of this name that is over; none lives.
#[track_caller]
fn over(name: &str) -> VariableProfile {
    let snapshot = now();
    assert!(live(&snapshot, name).is_empty(), "{snapshot:#}");
    let mut past = snapshot.variables().iter().filter(|variable| variable.name == name);
    past.next().unwrap_or_else(|| panic!("no `{name}`\n{snapshot:#}")).clone()
}

#[track_caller]
fn site(name: &str) -> VariableSiteProfile {
    let snapshot = now();
    let mut sites = snapshot.variable_sites().iter().filter(|site| site.name == name);
    sites.next().unwrap_or_else(|| panic!("no `{name}`\n{snapshot:#}")).clone()
}

#[test]
fn a_variable_lives_until_its_block_is_freed() {
    let _alone = alone();
    let plain = vec![1u16; 100];
    track_var!(plain);
    let line = line!() - 1;
    let seen = one("plain");
    assert_eq!((&*seen.type_name, seen.line), ("alloc::vec::Vec<u16>", line));
    assert_eq!(seen.file, file!());
    assert_eq!((seen.heap_bytes, seen.stack_bytes, seen.extent), (200, 24, Extent::Whole));
    assert_eq!((seen.task, seen.freed_by), (None, None));
    let moved = Some(Box::new(plain));
    assert_eq!(one("plain").heap_bytes, 200, "moving it changes nothing");
    assert!(one("plain").lifetime_ns > seen.lifetime_ns, "it goes on");
    drop(moved);
    let seen = over("plain");
    assert_eq!((seen.heap_bytes, seen.live, seen.freed_by), (200, false, None));
    let site = site("plain");
    assert_eq!((site.registered, site.ended, site.largest_bytes), (1, 1, 200));
    assert_eq!(
        (seen.lifetime_ns, seen.lifetime_ns),
        (site.lifetime_sum_ns, site.longest_lifetime_ns)
    );
    assert!(seen.lifetime_ns > 0);
}

#[test]
fn growth_is_followed_in_place_or_to_a_new_place() {
    let _alone = alone();
    let mut growing: Vec<u64> = Vec::with_capacity(1);
    track_var!(growing);
    for number in 0..10_000 {
        growing.push(number);
        if number % 1_111 == 0 {
            assert_eq!(one("growing").heap_bytes, growing.capacity() as u64 * 8);
        }
    }
    let largest = growing.capacity() as u64 * 8;
    growing.truncate(10);
    growing.shrink_to_fit();
    assert_eq!(one("growing").heap_bytes, 80);
    growing.clear();
    growing.shrink_to_fit();
    assert_eq!(over("growing").heap_bytes, 80, "no capacity, no block");
    growing.push(1);
    assert_eq!(over("growing").heap_bytes, 80, "a new block has no name");
    assert_eq!(site("growing").largest_bytes, largest);
}

#[test]
fn a_variable_belongs_to_the_allocating_task_until_another_task_reallocates_it() {
    let _alone = alone();
    block_on(async {
        let (sender, receiver) = mpsc::channel();
        let maker = track(async move {
            let handed = vec![7u8; 300];
            track_var!(handed);
            sender.send(handed).expect("received");
            current_task_id()
        })
        .named("maker");
        let maker_id = maker.await;
        assert!(maker_id.is_some());
        let seen = one("handed");
        assert_eq!((seen.task, seen.heap_bytes), (maker_id, 300), "its maker is over and charged");
        assert_eq!(seen.task_site.expect("a site").name, "maker");
        let grower = track(async {
            let mut handed: Vec<u8> = receiver.recv().expect("sent");
            let id = current_task_id();
            assert_eq!(one("handed").task, maker_id);
            handed.reserve_exact(700);
            assert_eq!((one("handed").task, one("handed").heap_bytes), (id, 1_000));
            (handed, id)
        });
        let (handed, grower_id) = grower.await;
        let freer = track(async move {
            drop(handed);
            current_task_id()
        });
        let freer_id = freer.await;
        let seen = over("handed");
        assert_eq!((seen.task, seen.freed_by, seen.heap_bytes), (grower_id, freer_id, 1_000));
    });
}

#[test]
fn abort_panic_and_a_dropped_runtime_end_variables() {
    let _alone = alone();
    keep_wanted_panics_quiet();
    let mut aborted = Box::pin(track(async {
        let held = vec![0u8; 4_000];
        track_var!(held);
        wait_once().await;
        drop(held);
    }));
    let id = aborted.id();
    assert!(poll(&mut aborted).is_pending());
    assert_eq!((one("held").task, one("held").heap_bytes), (id, 4_000));
    drop(aborted);
    assert_eq!((over("held").freed_by, over("held").task), (id, id), "its own drop frees it");

    let panicking = track(async {
        let lost = vec![0u8; 5_000];
        track_var!(lost);
        wait_once().await;
        assert!(lost.is_empty(), "wanted: a panic that holds a variable");
    });
    let id = panicking.id();
    block_on(async {
        tokio::spawn(panicking).await.expect_err("it panics");
    });
    assert_eq!((over("lost").freed_by, over("lost").heap_bytes), (id, 5_000));

    let runtime = workers(2);
    let (sender, receiver) = mpsc::channel();
    runtime.spawn(track(async move {
        let kept = vec![0u8; 6_000];
        track_var!(kept);
        sender.send(()).expect("received");
        std::future::pending::<()>().await;
        drop(kept);
    }));
    receiver.recv().expect("sent");
    assert_eq!(one("kept").heap_bytes, 6_000);
    drop(runtime);
    assert_eq!(over("kept").heap_bytes, 6_000);
}

#[test]
fn one_block_may_have_several_names() {
    let _alone = alone();
    let first = vec![0u8; 50];
    track_var!(first);
    let second = first;
    track_var!(second);
    assert_eq!((one("first").heap_bytes, one("second").heap_bytes), (50, 50));
    let mut third = second;
    third.reserve_exact(50);
    assert_eq!((one("first").heap_bytes, one("second").heap_bytes), (100, 100));
    drop(third);
    assert_eq!((over("first").heap_bytes, over("second").heap_bytes), (100, 100));
}

#[test]
fn a_block_that_has_the_name_already_is_not_registered_twice() {
    let _alone = alone();
    let mut again = vec![0u8; 10];
    for _ in 0..1_000 {
        track_var!(again);
        again.push(1);
    }
    let row = site("again");
    assert_eq!((row.registered, row.live, row.repeated), (1_000, 1, 999));
    assert_eq!(one("again").heap_bytes, again.capacity() as u64);
    drop(again);
    assert_eq!(site("again").ended, 1);
}

#[test]
fn what_holds_no_block_is_registered_as_holding_nothing() {
    struct Unknown([u64; 4]);
    let _alone = alone();
    let empty: Vec<u8> = Vec::new();
    let unknown = Unknown([1; 4]);
    track_var!(empty, unknown);
    assert_eq!(over("empty").extent, Extent::Nothing);
    let seen = over("unknown");
    assert_eq!((seen.extent, seen.stack_bytes, seen.heap_bytes), (Extent::Opaque, 32, 0));
    assert!(seen.type_name.ends_with("Unknown"), "{seen:?}");
    assert_eq!((site("unknown").unfollowed, site("unknown").live), (1, 0));
    drop((empty, unknown.0));
    let in_task = block_on(track(async {
        let number = 5u8;
        track_var!(number);
        current_task_id()
    }));
    assert_eq!(over("number").task, in_task, "without a block, the registering task");
}

#[test]
fn a_generic_function_has_a_row_for_each_type() {
    fn registers<T: Clone>(value: &T) -> Vec<T> {
        let copies = vec![value.clone(); 3];
        track_var!(copies);
        copies
    }
    let _alone = alone();
    let kept = (registers(&1u8), registers(&1u64), registers(&1u8));
    let snapshot = now();
    let mut rows: Vec<(&str, u64, u64)> = snapshot
        .variable_sites()
        .iter()
        .filter(|site| site.name == "copies")
        .map(|site| (&*site.type_name, site.registered, site.live_bytes))
        .collect();
    rows.sort_unstable();
    assert_eq!(rows, [("alloc::vec::Vec<u64>", 1, 24), ("alloc::vec::Vec<u8>", 2, 6)]);
    drop(kept);
}

#[test]
fn a_thousand_items_of_a_loop_are_one_row() {
    let _alone = alone();
    let mut items = Vec::new();
    for number in 0..1_000_usize {
        let item = vec![number; 100];
        track_var!(item);
        items.push(item);
    }
    items.truncate(400);
    let row = site("item");
    assert_eq!((row.registered, row.live, row.ended), (1_000, 400, 600));
    assert_eq!((row.live_bytes, row.largest_bytes), (400 * 800, 800));
    drop(items);
    assert_eq!((site("item").live, site("item").ended), (0, 1_000));
}

#[test]
fn millions_of_variables_leave_memscopes_memory_where_it_was() {
    /// Ten million with optimisation, so that the suite does not wait for them.
    const TIMES: usize = if cfg!(debug_assertions) { 1_000_000 } else { 10_000_000 };
    let _alone = alone();
    let register = |times: usize| {
        for number in 0..times {
            let passing = Box::new(number);
            track_var!(passing);
        }
    };
    let mut first = 0;
    let before = settled_record_bytes(|| {
        register(1_000);
        first += 1_000;
        now()
    });
    register(TIMES);
    assert_eq!(record_bytes(&now()), before);
    let row = site("passing");
    let all = first + TIMES as u64;
    assert_eq!((row.registered, row.ended, row.live), (all, all, 0));
}

#[test]
fn a_variable_registered_while_a_thread_ends_is_followed_too() {
    thread_local! {
        static KEPT: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
    }
    struct Late;
    impl Drop for Late {
        fn drop(&mut self) {
            let late = vec![0u8; 70];
            track_var!(late);
        }
    }
    thread_local! {
        static LATE: Late = const { Late };
    }
    let _alone = alone();
    std::thread::spawn(|| {
        LATE.with(|_| ());
        let early = vec![0u8; 60];
        track_var!(early);
        KEPT.set(Some(early));
    })
    .join()
    .expect("no panic");
    assert_eq!((over("early").heap_bytes, over("late").heap_bytes), (60, 70));
}

/// Many workers make, grow, hand over and free variables at random; a plain map says what must be
/// left.
#[test]
fn four_workers_end_with_exactly_the_variables_that_a_map_holds() {
    let _alone = alone();
    let runtime = workers(4);
    let kept: Arc<Mutex<HashMap<u64, Vec<u32>>>> = Arc::default();
    let tasks: Vec<_> = (0..16_u64)
        .map(|seed| {
            let kept = Arc::clone(&kept);
            runtime.spawn(track(async move {
                let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
                for step in 0..500 {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    let key = random % 200;
                    let found = kept.lock().expect("no panic").remove(&key);
                    match (found, random >> 60) {
                        (Some(mut shared), 0..=6) => {
                            shared.extend(0..u32::try_from(random % 50).expect("small"));
                            kept.lock().expect("no panic").entry(key).or_insert(shared);
                        }
                        (Some(shared), 7..=9) => {
                            drop(tokio::task::spawn_blocking(move || drop(shared)).await);
                        }
                        (Some(_), _) => {}
                        (None, _) => {
                            let shared: Vec<u32> = Vec::with_capacity(
                                1 + usize::try_from(random % 90).expect("small"),
                            );
                            track_var!(shared);
                            kept.lock().expect("no panic").entry(key).or_insert(shared);
                        }
                    }
                    if step % 7 == 0 {
                        tokio::task::yield_now().await;
                    }
                }
            }))
        })
        .collect();
    for task in tasks {
        runtime.block_on(task).expect("no panic");
    }
    drop(runtime);
    let snapshot = now();
    let seen = live(&snapshot, "shared");
    let mut sizes: Vec<u64> = seen.iter().map(|variable| variable.heap_bytes).collect();
    sizes.sort_unstable();
    let kept = kept.lock().expect("no panic");
    let mut expected: Vec<u64> = kept.values().map(|vec| vec.capacity() as u64 * 4).collect();
    expected.sort_unstable();
    assert_eq!(sizes, expected);
    assert!(expected.len() > 50, "{expected:?}");
    // Each is charged to the task that last reallocated it: by task they are as many bytes as the
    // tasks hold.
    let mut by_task: HashMap<Option<TaskId>, u64> = HashMap::new();
    for variable in seen {
        *by_task.entry(variable.task).or_default() += variable.heap_bytes;
    }
    for (task, bytes) in by_task {
        let row = snapshot.task(task.expect("a task")).expect("its row");
        assert!(row.live_bytes >= bytes, "{row:?} {bytes}");
    }
}
