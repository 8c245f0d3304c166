//! What the graph of the heap says of statics, thread-locals, stacks, shared values and leaks, in
//! programs whose truth is known.

use std::{
    cell::RefCell,
    collections::HashMap,
    hint::black_box,
    mem,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

use memscope_rs::async_memory::{HeapGraph, HeldBy, RootKind, heap_graph, track};
use memscope_tests::{Meter, block_on, programs::is_with_variable};

/// A graph, whose sums are right.
fn graph() -> HeapGraph {
    let graph = heap_graph().expect("a graph");
    let alone: u64 = graph.roots.iter().map(|root| root.retained_bytes).sum();
    assert_eq!(graph.bytes, alone + graph.shared_bytes + graph.unreachable_bytes(), "{graph}");
    graph
}

/// Whether this is the process with blocks listed from its first one on.
fn is_listed() -> bool {
    is_with_variable("MEMSCOPE_HOLDERS", "on")
}

/// Calls `work` in a task of this name, on a thread that ends. Returns how many more bytes live.
fn growth(name: &'static str, work: impl FnOnce() + Send) -> u64 {
    let (meter, ()) = thread::scope(|scope| {
        let run = || block_on(track(async { Meter::of(work) }).named(name));
        scope.spawn(run).join().expect("no panic")
    });
    meter.allocated_bytes - meter.freed_bytes
}

fn root<'g>(graph: &'g HeapGraph, kind: RootKind, name: &str) -> &'g HeldBy {
    let is_it = |root: &&HeldBy| root.kind == kind && root.name.ends_with(name);
    graph.roots.iter().find(is_it).unwrap_or_else(|| panic!("no {name} in\n{graph:#}"))
}

static CACHE: Mutex<Option<HashMap<u64, Vec<u8>>>> = Mutex::new(None);
const CACHE_LINE: u32 = line!() - 1;

#[test]
fn a_static_holds_its_table_and_what_is_in_it_to_the_byte() {
    if !is_listed() {
        return;
    }
    let fill = || (0..300_u64).zip(10_000..).map(|(key, length)| (key, vec![7; length])).collect();
    let bytes = growth("fills", || *CACHE.lock().expect("no panic") = Some(fill()));
    let graph = graph();
    let cache = root(&graph, RootKind::Static, "::CACHE");
    assert_eq!((cache.retained_bytes, cache.reachable_bytes), (bytes, bytes), "{graph}");
    assert_eq!(cache.blocks, 301, "300 values and the table");
    assert_eq!(cache.line, Some(CACHE_LINE));
    let path = cache.file.as_deref().expect("a file");
    assert!(path.ends_with("/holders/what_holds.rs"), "{path}");
    let place = format!("holders/what_holds.rs:{CACHE_LINE} ");
    assert!(graph.to_string().contains(&place), "{graph}");
    assert!(cache.reachable_is_whole);
    let [table, values, ..] = &cache.largest[..] else { panic!("{graph}") };
    assert_eq!((table.blocks, values.blocks), (1, 300));
    assert_eq!(table.retained_bytes, bytes);
    drop(CACHE.lock().expect("no panic").take());
}

thread_local! {
    static OWN: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
    static LAZY: RefCell<Vec<Box<[u8]>>> = RefCell::new(Vec::with_capacity(9));
}

#[test]
fn a_thread_local_holds_what_its_thread_has_put_there() {
    if !is_listed() {
        return;
    }
    let (filled, is_filled) = mpsc::channel();
    let (ends, end) = mpsc::channel::<()>();
    let fill = move || {
        OWN.with_borrow_mut(|own| (0..50).for_each(|_| own.push(Box::from([1; 3_000]))));
        LAZY.with_borrow_mut(|lazy| (0..9).for_each(|_| lazy.push(Box::from([1; 2_000]))));
        filled.send(()).expect("received");
        let _ = end.recv();
    };
    let thread = thread::Builder::new().name("has-locals".to_owned()).spawn(fill).expect("thread");
    is_filled.recv().expect("sent");
    let graph = graph();
    let of_thread = |root: &&HeldBy| {
        root.kind == RootKind::ThreadLocal && root.thread.as_deref() == Some("has-locals")
    };
    let held: Vec<_> = graph.roots.iter().filter(of_thread).collect();
    let of = |bytes: u64| {
        let root = held.iter().find(|root| root.largest.iter().any(|step| step.own_bytes == bytes));
        root.unwrap_or_else(|| panic!("none holds {bytes} in\n{graph:#}"))
    };
    assert!(of(150_000).name.contains("OWN"), "{graph}");
    assert!(of(18_000).name.contains("LAZY"), "{graph}");
    assert_eq!(of(18_000).retained_bytes, 18_000 + 9 * 16);
    drop(ends);
    thread.join().expect("no panic");
}

#[test]
fn a_local_variable_is_held_by_the_stack_of_its_thread() {
    if !is_listed() {
        return;
    }
    let (made, is_made) = mpsc::channel();
    let (ends, end) = mpsc::channel::<()>();
    let hold = move || {
        let local = vec![1_u8; 777_777];
        made.send(()).expect("received");
        let _ = end.recv();
        black_box(&local);
    };
    let thread = thread::Builder::new().name("has-a-vec".to_owned()).spawn(hold).expect("thread");
    is_made.recv().expect("sent");
    let graph = graph();
    let stack = root(&graph, RootKind::Stack, "stack of has-a-vec");
    assert!(stack.retained_bytes >= 777_777, "{graph}");
    assert!(stack.largest.iter().any(|step| step.own_bytes == 777_777), "{graph}");
    // The caller's own variables too, on this thread.
    let mine = vec![2_u8; 555_555];
    let graph = self::graph();
    let has_mine = |root: &HeldBy| {
        root.kind == RootKind::Stack && root.largest.iter().any(|step| step.own_bytes == 555_555)
    };
    assert!(graph.roots.iter().any(has_mine), "{graph:#}");
    drop((mine, ends));
    thread.join().expect("no panic");
}

static ONE: Mutex<Option<Arc<Vec<u8>>>> = Mutex::new(None);
static OTHER: Mutex<Option<Arc<Vec<u8>>>> = Mutex::new(None);

#[test]
fn what_two_statics_hold_is_neither_ones() {
    if !is_listed() {
        return;
    }
    let bytes = growth("shares", || {
        let both = Arc::new(vec![3; 1_234_567]);
        *ONE.lock().expect("no panic") = Some(Arc::clone(&both));
        *OTHER.lock().expect("no panic") = Some(both);
    });
    let graph = graph();
    let own = graph.roots.iter().find(|root| root.name.starts_with("memscope_runtime::"));
    assert_eq!(own, None, "it holds nothing of the program's");
    let shared = graph.shared.iter().filter(|step| step.site.as_deref() == Some("shares"));
    assert_eq!(shared.map(|step| step.retained_bytes).sum::<u64>(), bytes, "{graph}");
    for name in ["::ONE", "::OTHER"] {
        let root = root(&graph, RootKind::Static, name);
        assert_eq!((root.retained_bytes, root.reachable_bytes), (0, bytes), "{graph}");
    }
    *ONE.lock().unwrap_or_else(PoisonError::into_inner) = None;
    // Now the other one holds it alone.
    let graph = self::graph();
    assert_eq!(root(&graph, RootKind::Static, "::OTHER").retained_bytes, bytes);
    OTHER.lock().unwrap_or_else(PoisonError::into_inner).take();
}

struct Node {
    next: Mutex<Option<Arc<Node>>>,
    load: Vec<u8>,
}

/// Bytes, blocks and leaks that tasks of this name have made and nothing holds.
fn lost(graph: &HeapGraph, name: &str, in_cycle: bool) -> (u64, u64, u64) {
    let of = graph.unreachable.iter().filter(|leak| leak.site.as_deref() == Some(name));
    of.fold((0, 0, 0), |sum, leak| {
        assert_eq!(leak.in_cycle, in_cycle, "{leak:?}");
        assert!(leak.task.is_some(), "{leak:?}");
        (sum.0 + leak.bytes, sum.1 + leak.blocks, sum.2 + leak.leaks)
    })
}

#[test]
fn cycles_and_lost_blocks_are_found_to_the_byte_and_told_apart() {
    if !is_listed() {
        return;
    }
    let cycles = growth("cycles", || {
        for _ in 0..20 {
            let node = |load| Arc::new(Node { next: Mutex::new(None), load: vec![1; load] });
            let (one, other) = (node(20_000), node(1));
            *other.next.lock().expect("no panic") = Some(Arc::clone(&one));
            *one.next.lock().expect("no panic") = Some(other);
            black_box(one.load.len());
        }
    });
    let blocks = growth("loses", || {
        mem::forget(vec![vec![2_u8; 30_000], vec![2; 40_000]]);
        (0..10).for_each(|_| mem::forget(Box::new([0_u8; 100])));
    });
    let graph = graph();
    assert_eq!(lost(&graph, "cycles", true), (cycles, 80, 20), "{graph}");
    assert_eq!(lost(&graph, "loses", false), (blocks, 13, 11), "{graph}");
}

#[test]
fn a_text_and_json_say_what_the_graph_says() {
    if !is_listed() {
        return;
    }
    let graph = graph();
    let text = graph.to_string();
    assert!(text.starts_with("heap: ") && text.contains("HELD BY"), "{text}");
    assert!(text.contains("held by nothing"), "{text}");
    let json = serde_json::to_string(&graph).expect("JSON");
    assert_eq!(serde_json::from_str::<HeapGraph>(&json).expect("its own"), graph);
}
