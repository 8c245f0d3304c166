//! The dump of all tasks, as text: a tree of the places where they wait.

use std::fmt;

use super::{
    MOST_ROWS,
    heap_graph::{duration, number_of},
    more,
    table::{Column, Table},
    task_tree::{Branch, LONG_LINE_COLUMNS, lines},
};
use crate::{
    alloc::own_work,
    model::{
        AwaitPoints, DumpedTask, HumanBytes, TaskDump,
        human::{cell, count},
        task_dump::queues,
    },
};

/// Columns for a line of the tree.
const LINE_COLUMNS: usize = 200;

/// Prints the tasks by their names. Below each name are the functions that wait, outermost first,
/// with the tasks that wait there and their bytes. What most tasks share comes first. Prints the
/// first twenty of each; `{:#}` prints all.
impl fmt::Display for TaskDump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _work = own_work::work();
        self.head(f)?;
        let most = if f.alternate() { usize::MAX } else { MOST_ROWS };
        let mut tree = Branch::default();
        for (number, task) in self.tasks.iter().enumerate() {
            tree.add(number, task, &[lines(task)]);
        }
        tree.sort();
        tree.tell_queues(&queues(&self.tasks));
        let mut table = Table::new(&[
            Column::Right("TASKS"),
            Column::Right("BYTES"),
            Column::Left("TASK, AND WHERE IT WAITS"),
        ]);
        let columns = if f.alternate() { LONG_LINE_COLUMNS } else { LINE_COLUMNS };
        tree.rows(most, columns, 0, &mut table);
        write!(f, "\n{table}{}", more(tree.branches.len(), most, "kinds of tasks"))
    }
}

impl TaskDump {
    fn head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tasks = self.tasks.iter();
        let bytes = tasks.fold(0, |sum: u64, task| sum.saturating_add(task.live_bytes));
        let is_over = |task: &&DumpedTask| task.state.is_ended();
        let number_with = |is: &dyn Fn(&&DumpedTask) -> bool| {
            count(self.tasks.iter().filter(|task| is(task)).count() as u64)
        };
        writeln!(
            f,
            "{} with {}: {} running, {} waiting, {} over and still there",
            number_of(self.tasks.len() as u64, "task"),
            HumanBytes(bytes),
            number_with(&|task| task.running),
            number_with(&|task| !task.running && !is_over(task)),
            number_with(&is_over),
        )?;
        writeln!(
            f,
            "the process stood still for {}, and went on for the rest of {}",
            duration(self.pause_ns),
            duration(self.taken_ns),
        )?;
        if let AwaitPoints::Unavailable(why) = &self.await_points {
            writeln!(f, "where they wait is not known: {}", cell(why, LINE_COLUMNS))?;
        }
        self.memory_lines(f)?;
        if let Some(why) = &self.missing {
            writeln!(f, "tasks without annotations are missing: {}", cell(why, LINE_COLUMNS))?;
        }
        Ok(())
    }
}

impl TaskDump {
    /// Prints what to do about places that are not known because debug information is missing.
    fn memory_lines(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tasks = number_of(self.without_types, "waiting task");
        match &self.memory {
            _ if self.without_types == 0 => {}
            None => writeln!(
                f,
                "{tasks} of types without debug information: with MEMSCOPE_DUMP_MEMORY=on the \
                 program saves their memory, and `cargo memscope tasks FILE --debug-file PATH` \
                 reads it elsewhere",
            )?,
            Some(_) => writeln!(
                f,
                "{tasks} of types without debug information: their memory is in the JSON of this \
                 dump, and `cargo memscope tasks FILE --debug-file PATH` reads it",
            )?,
        }
        if self.memory_left_out != 0 {
            let tasks = number_of(self.memory_left_out, "task");
            writeln!(f, "memory of {tasks} was left out, or a part of it: there was too much")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        AwaitBranch, AwaitFrame, AwaitPoint, DumpedMemory, MemoryPiece, TaskId, TaskState,
    };

    fn frame(function: &str, line: u32) -> AwaitFrame {
        let file = "src/app.rs".to_owned();
        AwaitFrame { function: function.to_owned(), file, line, size_bytes: 8, locals: Vec::new() }
    }

    fn waits(name: &str, bytes: u64, frames: &[AwaitFrame]) -> DumpedTask {
        let point = AwaitPoint {
            frames: frames.to_vec(),
            stops: "waits for tokio::time::Sleep".to_owned(),
            branches: Vec::new(),
            tasks: 1,
            measured: true,
            live_bytes: bytes,
            future_size_bytes: 8,
            timed: 0,
            waited_sum_ns: 0,
            waited_p50_ns: None,
            waited_p99_ns: None,
        };
        DumpedTask {
            id: TaskId::new(7),
            name: name.to_owned(),
            state: TaskState::Idle,
            await_point: Some(point),
            measured: true,
            live_bytes: bytes,
            ..DumpedTask::default()
        }
    }

    #[test]
    fn tasks_that_wait_at_the_same_places_are_one_branch() {
        let (serve, read, write) = (frame("serve", 3), frame("read", 8), frame("write", 9));
        let mut dump =
            TaskDump { pause_ns: 1_230_000, taken_ns: 50_000_000, ..TaskDump::default() };
        dump.tasks = vec![
            waits("serve", 1_024, &[serve.clone(), write]),
            waits("serve", 1_024, &[serve.clone(), read.clone()]),
            waits("serve", 3_072, &[serve, read]),
        ];
        let over =
            DumpedTask { state: TaskState::Ended, has_handle: Some(true), ..waits("x\n", 0, &[]) };
        dump.tasks.push(DumpedTask { await_point: None, ..over });
        let busy = DumpedTask { state: TaskState::Running, running: true, ..waits("busy", 0, &[]) };
        dump.tasks.push(DumpedTask { await_point: None, measured: false, ..busy });
        dump.missing = Some("none was looked at".to_owned());
        assert_eq!(
            dump.to_string(),
            "\
5 tasks with 5.0 KiB: 1 running, 3 waiting, 1 over and still there
the process stood still for 1.2 ms, and went on for the rest of 50.0 ms
tasks without annotations are missing: none was looked at

TASKS    BYTES  TASK, AND WHERE IT WAITS
    3  5.0 KiB  serve
    3  5.0 KiB    serve (src/app.rs:3)
    2  4.0 KiB      read (src/app.rs:8): waits for tokio::time::Sleep
    1  1.0 KiB      write (src/app.rs:9): waits for tokio::time::Sleep
    1        ?  busy: running
    1        ·  x\\n: ended, and its JoinHandle is held
"
        );
    }

    #[test]
    fn tasks_that_wait_in_one_queue_have_its_number() {
        let of = |name: &str, queue| DumpedTask {
            queue,
            tokio_id: Some(1),
            ..waits(name, 0, &[frame(name, 3)])
        };
        let dump = |tasks: Vec<DumpedTask>| {
            let text = TaskDump { tasks, ..TaskDump::default() }.to_string();
            let lines = text.lines().filter_map(|line| line.split_once("Sleep"));
            lines.map(|(_, queues)| queues.to_owned()).collect::<Vec<_>>()
        };
        let one = || vec![of("a", Some(1)), of("a", Some(1))];
        assert_eq!(dump(one()), [", in queue 1"]);
        let tasks = [one(), vec![of("a", Some(2)), of("a", None), of("b", Some(1))]].concat();
        let expected = [", in 2 queues, 2 of them in queue 1", ", in queue 1"];
        assert_eq!(dump(tasks), expected, "another function waits in the same");
        assert_eq!(dump([one(), vec![of("a", None)]].concat()), [", 2 of them in queue 1"]);
        assert_eq!(dump(vec![of("a", Some(1)), of("a", Some(2))]), [""], "each alone");
        assert_eq!(dump(vec![of("a", None)]), [""]);
        let part = DumpedTask { tokio_id: None, ..of("b", Some(1)) };
        assert_eq!(dump(vec![of("a", Some(1)), part]), ["", ""], "one waits");
    }

    #[test]
    fn each_of_several_futures_has_a_line_below_and_its_bytes_count_once() {
        let of = |bytes: u64, line: u32| {
            let mut task = waits("serve", bytes, &[frame("serve", 3)]);
            let branch = |frames: &[AwaitFrame], stops: &str| AwaitBranch {
                frames: frames.to_vec(),
                stops: stops.to_owned(),
                branches: Vec::new(),
                futures: 1,
            };
            let point = task.await_point.as_mut().expect("a place");
            point.stops = "waits for 2 futures".to_owned();
            let read = [frame("read", line), frame("fill", 9)];
            point.branches = vec![branch(&read, "waits for Read"), branch(&[], "waits for Sleep")];
            task
        };
        let dump = TaskDump { tasks: vec![of(1_024, 7), of(1_024, 8)], ..TaskDump::default() };
        let text = dump.to_string();
        let tree = text.lines().skip(3).collect::<Vec<_>>().join("\n");
        let expected = "\
TASKS    BYTES  TASK, AND WHERE IT WAITS
    2  2.0 KiB  serve
    2  2.0 KiB    serve (src/app.rs:3): waits for 2 futures
    2               2 of 2: waits for Sleep
    1               1 of 2: read (src/app.rs:7)
    1                 fill (src/app.rs:9): waits for Read
    1               1 of 2: read (src/app.rs:8)
    1                 fill (src/app.rs:9): waits for Read";
        assert_eq!(tree, expected, "\n{tree}");
    }

    #[test]
    fn futures_of_a_list_are_counted_at_each_place_and_their_task_once() {
        let of = |futures: [u64; 2]| {
            let mut task = waits("crawl", 100, &[frame("crawl", 3)]);
            let branch = |line: u32, futures: u64| AwaitBranch {
                frames: vec![frame("fetch", 5), frame("read", line)],
                stops: "waits for Sleep".to_owned(),
                branches: Vec::new(),
                futures,
            };
            let point = task.await_point.as_mut().expect("a place");
            point.stops = "waits for the futures in JoinAll<F>".to_owned();
            point.branches = vec![branch(7, futures[0]), branch(8, futures[1])];
            task
        };
        let dump = TaskDump { tasks: vec![of([30, 1]), of([10, 2])], ..TaskDump::default() };
        let text = dump.to_string();
        let tree = text.lines().skip(3).collect::<Vec<_>>().join("\n");
        let expected = "\
TASKS  BYTES  TASK, AND WHERE IT WAITS
    2  200 B  crawl
    2  200 B    crawl (src/app.rs:3): waits for the futures in JoinAll<F>
    2             43 futures: fetch (src/app.rs:5)
    2               40 futures: read (src/app.rs:7): waits for Sleep
    2               3 futures: read (src/app.rs:8): waits for Sleep";
        assert_eq!(tree, expected, "\n{tree}");
    }

    #[test]
    fn places_that_are_not_known_for_want_of_types_have_a_line_that_says_what_to_do() {
        let line = |dump: &TaskDump| dump.to_string().lines().nth(2).unwrap_or_default().to_owned();
        let mut dump = TaskDump::default();
        assert_eq!(line(&dump), "", "all is known");
        dump.without_types = 2;
        let text = line(&dump);
        assert!(text.starts_with("2 waiting tasks of types without debug"), "{text}");
        assert!(text.contains("MEMSCOPE_DUMP_MEMORY=on"), "{text}");
        let pieces = vec![MemoryPiece { address: 7, bytes: vec![0xab; 40] }];
        dump.memory = Some(DumpedMemory { pieces, ..DumpedMemory::default() });
        dump.memory_left_out = 1;
        let text = dump.to_string();
        assert!(line(&dump).contains("`cargo memscope tasks FILE --debug-file PATH`"), "{text}");
        assert!(text.contains("memory of 1 task was left out, or a part of it"), "{text}");
        assert!(!text.contains("abab"), "{text}");
        assert!(!text.contains("MEMSCOPE_DUMP_MEMORY"), "it is on: {text}");
    }

    #[test]
    fn a_dump_is_read_back_as_it_was_written() {
        let dump = TaskDump { tasks: vec![waits("serve", 5, &[])], ..TaskDump::default() };
        let json = serde_json::to_string(&dump).expect("JSON");
        assert_eq!(serde_json::from_str::<TaskDump>(&json).expect("a dump"), dump);
        let read = |json| serde_json::from_str::<TaskDump>(json);
        let old = read("{\"tasks\":[{}]}").expect("fields may be missing");
        assert_eq!(old.tasks, [DumpedTask::default()]);
        assert!(read("{}").is_err(), "another file");
    }
}
