//! Pictures that something disturbs, and heaps that are made to hurt them.

#![expect(clippy::linkedlist, clippy::vec_box, reason = "blocks of their own are what is tested")]

use std::{
    collections::LinkedList,
    env, fs,
    hint::black_box,
    os::unix::process::{CommandExt, ExitStatusExt},
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use memscope_rs::async_memory::{HeapGraph, HeldBy, RootKind, heap_graph};
use memscope_tests::programs::is_with_variable;

fn is_listed() -> bool {
    is_with_variable("MEMSCOPE_HOLDERS", "on")
}

fn has_right_sums(graph: &HeapGraph) {
    let alone: u64 = graph.roots.iter().map(|root| root.retained_bytes).sum();
    assert_eq!(graph.bytes, alone + graph.shared_bytes + graph.unreachable_bytes(), "{graph}");
}

fn of_static<'g>(graph: &'g HeapGraph, name: &str) -> &'g HeldBy {
    let is_it = |root: &&HeldBy| root.kind == RootKind::Static && root.name.ends_with(name);
    graph.roots.iter().find(is_it).unwrap_or_else(|| panic!("no {name} in\n{graph:#}"))
}

/// A heap for which a picture takes long enough to be disturbed.
fn large_heap() -> Vec<Box<[u64; 4]>> {
    (0..200_000).map(|it| Box::new([it; 4])).collect()
}

/// The processes that this one has made and that have not ended, by the thread that made them.
fn children() -> Vec<libc::pid_t> {
    let threads = fs::read_dir("/proc/self/task").expect("threads").flatten();
    let lists = threads.filter_map(|it| fs::read_to_string(it.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().map(parsed).collect::<Vec<_>>()).collect()
}

fn parsed(number: &str) -> libc::pid_t {
    number.parse().expect("a number")
}

#[test]
fn a_copy_that_is_killed_is_an_error_and_the_next_one_is_whole() {
    if !is_listed() {
        return;
    }
    if !fs::exists("/proc/thread-self/children").expect("readable") {
        eprintln!("skipped: this kernel does not list the children of a thread");
        return;
    }
    let heap = black_box(large_heap());
    let is_over = AtomicBool::new(false);
    let mut killed = 0;
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                for child in children() {
                    // SAFETY: takes numbers.
                    unsafe { libc::kill(child, libc::SIGKILL) };
                }
                thread::sleep(Duration::from_micros(200));
            }
        });
        // The killer may be late on a busy machine.
        for _ in 0..50 {
            match heap_graph() {
                Ok(graph) => has_right_sums(&graph),
                Err(error) => {
                    assert!(error.to_string().contains("ended"), "{error}");
                    killed += 1;
                }
            }
            if killed == 3 {
                break;
            }
        }
        is_over.store(true, Ordering::SeqCst);
    });
    assert!(killed > 0, "no copy was killed");
    let graph = heap_graph().expect("a graph");
    has_right_sums(&graph);
    assert!(graph.blocks > 200_000, "{graph}");
    drop(heap);
}

/// The program of the test below.
#[test]
fn a_program_takes_pictures_until_it_is_killed() {
    if env::var_os("PICTURES_UNTIL_KILLED").is_none() {
        return;
    }
    let heap = black_box(large_heap());
    fs::write(env::var_os("PICTURES_UNTIL_KILLED").expect("a file"), "begun").expect("written");
    loop {
        has_right_sums(&heap_graph().expect("a graph"));
        black_box(&heap);
    }
}

/// The processes of a group that run.
fn running_in(group: u32) -> usize {
    let all = fs::read_dir("/proc").expect("processes").flatten();
    let is_one = |stat: &String| {
        // What follows the name: the state, the parent, the group.
        let mut words = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let state = words.next().unwrap_or_default();
        words.nth(1) == Some(group.to_string().as_str()) && !["Z", "X"].contains(&state)
    };
    all.filter_map(|it| fs::read_to_string(it.path().join("stat")).ok()).filter(is_one).count()
}

#[test]
fn a_copy_ends_with_the_process_that_would_read_it() {
    let begun = env::temp_dir().join(format!("pictures-until-killed-{}", std::process::id()));
    for wait_ms in [0, 20, 70] {
        drop(fs::remove_file(&begun));
        let mut program = Command::new(env::current_exe().expect("a path"))
            .args(["--exact", "hostile::a_program_takes_pictures_until_it_is_killed"])
            .env("PICTURES_UNTIL_KILLED", &begun)
            .env("MEMSCOPE_HOLDERS", "on")
            .env("TESTS_OF_ONE_FILE", "1")
            .process_group(0)
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("it starts");
        while !begun.exists() {
            assert_eq!(program.try_wait().expect("its own"), None, "it ended");
            thread::sleep(Duration::from_millis(5));
        }
        thread::sleep(Duration::from_millis(wait_ms));
        program.kill().expect("it runs");
        assert_eq!(program.wait().expect("its own").signal(), Some(libc::SIGKILL));
        let start = Instant::now();
        while running_in(program.id()) != 0 {
            assert!(start.elapsed() < Duration::from_mins(1), "a copy is left");
            thread::sleep(Duration::from_millis(5));
        }
    }
    drop(fs::remove_file(&begun));
}

static LIST: Mutex<LinkedList<u64>> = Mutex::new(LinkedList::new());

#[test]
fn a_list_of_a_million_nodes_is_held_by_its_static_to_the_byte() {
    const NODES: u64 = 1_000_000;
    if !is_listed() {
        return;
    }
    LIST.lock().expect("no panic").extend(0..NODES);
    let graph = heap_graph().expect("a graph");
    has_right_sums(&graph);
    let list = of_static(&graph, "::LIST");
    // A number, and two pointers.
    assert_eq!((list.blocks, list.retained_bytes), (NODES, NODES * 24), "{graph}");
}

static NUMBERS: Mutex<Vec<u64>> = Mutex::new(Vec::new());
static KEEPS: Mutex<Vec<Box<[u8; 48]>>> = Mutex::new(Vec::new());

#[test]
fn numbers_that_look_like_pointers_break_nothing_and_hold_what_they_point_into() {
    if !is_listed() {
        return;
    }
    let mut random = 88_172_645_463_325_252_u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let mut keeps = KEEPS.lock().expect("no panic");
    keeps.extend((0..2_000).map(|_| Box::new([1; 48])));
    let addresses: Vec<u64> = keeps.iter().map(|it| it.as_ptr().addr() as u64).collect();
    // A block that only a number leads to.
    let forgotten = Box::leak(Box::new([7_u8; 5_432]));
    let forgotten = std::ptr::from_mut(forgotten).addr() as u64;
    let mut numbers = vec![0, 1, 7, 8, u64::MAX, u64::MAX - 7, 1 << 47, (1 << 47) - 8, 4_096];
    for at in &addresses {
        // Into blocks, between them, before the first and behind the last, with tags.
        numbers.extend([at + next() % 64, at.wrapping_sub(next() % 64), at | 7, at ^ (1 << 63)]);
        numbers.extend([next(), next() >> 16, (next() >> 20) << 4]);
    }
    numbers.push(forgotten);
    let count = numbers.len() as u64;
    *NUMBERS.lock().expect("no panic") = numbers;
    drop(keeps);
    let graph = heap_graph().expect("a graph");
    has_right_sums(&graph);
    let numbers = of_static(&graph, "::NUMBERS");
    assert_eq!(numbers.blocks, 2, "its own block, and the forgotten one: {graph:#}");
    let capacity = NUMBERS.lock().expect("no panic").capacity() as u64;
    assert!(capacity >= count);
    assert_eq!(numbers.retained_bytes, capacity * 8 + 5_432, "{graph:#}");
    assert!(numbers.reachable_bytes > 2_000 * 48, "both reach the blocks: {graph:#}");
    NUMBERS.lock().expect("no panic").clear();
    NUMBERS.lock().expect("no panic").shrink_to_fit();
    let graph = heap_graph().expect("a graph");
    has_right_sums(&graph);
    let holds = |root: &HeldBy| root.kind == RootKind::Static && root.name.ends_with("::NUMBERS");
    assert!(!graph.roots.iter().any(holds), "{graph:#}");
}

#[test]
fn pictures_are_right_while_the_program_starts_others() {
    if !is_listed() {
        return;
    }
    let heap = black_box(large_heap());
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let starting = [(); 3].map(|()| {
            scope.spawn(|| {
                let mut ended = 0_u32;
                while !is_over.load(Ordering::SeqCst) {
                    let status = Command::new("true").status().expect("it starts");
                    assert!(status.success(), "{status}");
                    ended += 1;
                }
                ended
            })
        });
        for _ in 0..8 {
            has_right_sums(&heap_graph().expect("a graph"));
        }
        is_over.store(true, Ordering::SeqCst);
        let ended: u32 = starting.into_iter().map(|it| it.join().expect("no panic")).sum();
        assert!(ended >= 3, "{ended}");
    });
    drop(heap);
}
