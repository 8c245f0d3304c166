//! Reads this program's own machine code: what the allocator can reach takes no lock, formats
//! nothing, does not panic and does not allocate from itself.
//!
//! `cargo bench -p memscope-benches --features law --bench allocator_law`, or `law-all` for all
//! that the allocator can have in it; with `-- --list` it prints every function that it found.
//!
//! The walk starts where the program enters the allocator, and at what is done in a forked child,
//! which must hold to the same. It follows every call and jump, those through the table of imported
//! functions included, and every function whose address is taken. A call through a pointer is
//! followed where all that the register may hold can be seen, or where `POINTERS` says what that
//! is; else it is a failure. The walk ends at `IMPORTED` and `EXCEPTIONS`, which have their reasons
//! beside them.
//!
//! What only a panic runs into, the drops of an unwinding, is not followed: as nothing that is
//! reached begins a panic, nothing of that runs.
//!
//! What it cannot see: a loop that waits for another thread, what the inner allocator does, and
//! what runs outside of the allocator by its doing, as the destructors at a thread's end.
#![expect(clippy::print_stdout, reason = "what it found is its output")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    process::ExitCode,
};

use memscope_rs::TrackingAllocator;

#[global_allocator]
static ALLOCATOR: Law = Law(TrackingAllocator::new(System));

/// The allocator, where the walk starts. Its functions stay by themselves in the machine code: one
/// that was put into its caller would hide that this allocates.
struct Law(TrackingAllocator);

// SAFETY: every call is passed on as it is.
unsafe impl GlobalAlloc for Law {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract, passed on.
        unsafe { self.0.alloc(layout) }
    }

    #[inline(never)]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract, passed on.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    #[inline(never)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract, passed on.
        unsafe { self.0.dealloc(block, layout) }
    }

    #[inline(never)]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's contract, passed on.
        unsafe { self.0.realloc(block, layout, new_size) }
    }
}

fn main() -> ExitCode {
    #[cfg(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64"))]
    return law::hold();
    #[cfg(not(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64")))]
    {
        println!("skipped: the machine code is read on Linux with glibc on x86-64 only");
        ExitCode::SUCCESS
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64"))]
mod law {
    use std::{
        collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
        env, fs,
        process::ExitCode,
    };

    use iced_x86::{
        Code, Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, OpAccess,
        OpKind, Register,
    };
    use object::{
        Object, ObjectSection, ObjectSymbol, ObjectSymbolTable, RelocationFlags, RelocationTarget,
        SectionKind, SymbolKind, elf,
    };

    /// Where the program enters the allocator.
    const ENTRIES: [&str; 4] = [
        "Law as core::alloc::global::GlobalAlloc::alloc",
        "Law as core::alloc::global::GlobalAlloc::alloc_zeroed",
        "Law as core::alloc::global::GlobalAlloc::dealloc",
        "Law as core::alloc::global::GlobalAlloc::realloc",
    ];

    /// What the C library calls in a forked child, on its only thread: a lock that another thread
    /// held is never released there.
    const IN_CHILD: &str = "forks::forked";

    /// What may not be reached: a part of a function's name, and what the function does.
    const FORBIDDEN: [(&str, &str); 16] = [
        ("core::panicking", "panics"),
        ("std::panicking", "panics"),
        ("unwrap_failed", "panics"),
        ("expect_failed", "panics"),
        ("slice::index::", "panics"),
        ("handle_alloc_error", "aborts"),
        ("core::fmt", "formats"),
        ("std::io", "writes"),
        ("std::sys::sync", "locks"),
        ("std::sync::", "locks"),
        ("std::thread::", "uses threads"),
        ("std::sys::thread::", "uses threads"),
        ("std::sys::env", "reads the environment"),
        ("std::env", "reads the environment"),
        ("backtrace::symbolize", "reads symbols"),
        ("std::backtrace", "takes a backtrace"),
    ];

    /// The functions of other libraries that may be called, and why.
    const IMPORTED: [(&str, &str); 20] = [
        ("malloc", "the system's allocator, over which this program runs; arenas grow by it"),
        ("calloc", "the same"),
        ("mmap", "fresh pages for a table of owners or a ring"),
        ("munmap", "the same, if another thread was first"),
        ("realloc", "the same"),
        ("free", "the same"),
        ("posix_memalign", "the same"),
        ("memcpy", "plain memory"),
        ("memmove", "plain memory"),
        ("memset", "plain memory"),
        ("bcmp", "plain memory"),
        ("memcmp", "plain memory"),
        ("clock_gettime", "reads a page of the kernel's"),
        ("getpid", "asks the kernel"),
        ("gettid", "asks the kernel"),
        ("syscall", "asks the kernel which thread this is"),
        ("sigaltstack", "asks the kernel"),
        ("_Unwind_GetIPInfo", "reads the frame that it is handed"),
        ("sigfillset", "plain memory"),
        ("pthread_sigmask", "asks the kernel"),
    ];

    /// What some functions alone may reach: their names, the names of what they reach, and why.
    ///
    /// A name is the end of a path, whole segments of it. An entry that is not needed is a fault.
    const EXCEPTIONS: [(&[&str], &[&str], &str); 8] = [
        (
            &["learned::learn"],
            &["stat", "sched_yield", "usleep", "pthread_detach", "pthread_tryjoin_np"],
            "once a process, it waits some 0.1 s at the most for the result of the thread that it \
             starts, and as long for its end",
        ),
        (
            &["learned::start"],
            &["pthread_create"],
            "once a process; glibc takes its locks of stacks and of modules, and the second is \
             held where another thread loads a library. Memory comes from `malloc`",
        ),
        (
            &["unix::create"],
            &[
                "pthread_attr_init",
                "pthread_attr_setdetachstate",
                "pthread_attr_setstacksize",
                "pthread_attr_destroy",
                "pthread_create",
            ],
            "the same, where periodic reports are asked for; the others write to their argument",
        ),
        (
            &["learned::start", "unix::create"],
            &["learned::run", "unix::run"],
            "runs on the thread that is started, outside of the allocator",
        ),
        (
            &["thread_exit::register", "try_id"],
            &["destructors::linux_like::register"],
            "once a thread: glibc takes the loader's lock, which is recursive, and held where \
             another thread loads a library. Memory comes from `calloc`, and without it glibc ends \
             the process",
        ),
        (
            &["thread_exit::register", "try_id"],
            &["eager::destroy"],
            "runs at the thread's end, outside of the allocator",
        ),
        (
            &["unwind::frames", "imp::frames"],
            &["_Unwind_Backtrace"],
            "finds frames by `_dl_find_object`, which takes no lock, from glibc 2.35 on; before by \
             the list of modules, under the loader's lock, which is recursive. Its `pthread_once` \
             runs once a process. Where code registers frames while the program runs, libgcc \
             before 13 looks them up under a mutex of its own",
        ),
        (
            &["imp::of_this_thread", "StackBounds::of_this_thread"],
            &[
                "pthread_self",
                "pthread_getattr_np",
                "pthread_attr_getstack",
                "pthread_attr_destroy",
            ],
            "once a thread that is sampled: a lock of the thread's own, which is held while another \
             thread changes its priority. Memory comes from `malloc`",
        ),
    ];

    /// Calls through pointers: the functions that they are in, what they may lead to, and why.
    const POINTERS: [(&[&str], &[&str], &str); 1] = [(
        &["pending_starts::start_periodic"],
        &["threads::try_to_start_periodic"],
        "the only function that `want` is called with for `Pending::Periodic`",
    )];

    struct Function {
        start: u64,
        end: u64,
        name: String,
    }

    struct Program<'d> {
        /// By their addresses.
        functions: Vec<Function>,
        /// Sections with code: address and bytes.
        code: Vec<(u64, &'d [u8])>,
        /// The other sections that are in memory.
        data: Vec<(u64, &'d [u8])>,
        /// What the table of imported functions holds, by address.
        imports: HashMap<u64, Callee>,
    }

    /// Where a call or a jump leads.
    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
    enum Callee {
        /// To an address in this program.
        Here(u64),
        /// To a function of another library.
        Outside(String),
        /// Through a register or memory that is written while the program runs.
        Unknown(u64),
    }

    /// What is to be said of a call.
    enum Verdict {
        /// Go on with the function that begins there.
        Follow(u64),
        /// Nothing more happens there.
        Safe,
        /// This exception allows it.
        Excepted(usize),
        Fault(String),
    }

    /// The instructions of a function, in the order of their addresses.
    struct Body {
        instructions: Vec<Instruction>,
        places: HashMap<u64, usize>,
    }

    /// Which instructions of a function run, and which ones run before each.
    struct Flow {
        reached: BTreeSet<usize>,
        before: HashMap<usize, BTreeSet<usize>>,
    }

    /// Where the jumps of a function lead that go by a table.
    type Tables = BTreeMap<usize, BTreeSet<usize>>;

    /// Every function that was reached, and the one that it was reached from.
    type Reached = BTreeMap<u64, Option<u64>>;

    pub(super) fn hold() -> ExitCode {
        let path = env::current_exe().expect("a program has a path");
        let bytes = fs::read(path).expect("a program can be read");
        let file = object::File::parse(&*bytes).expect("the program's own format");
        let program = Program::read(&file);
        let (reached, broken) = program.walk();
        let entries = reached.values().filter(|from| from.is_none()).count();
        if env::args().any(|argument| argument == "--list") {
            for function in reached.keys() {
                println!("{}", program.chain(&reached, *function));
            }
        }
        for broken in &broken {
            println!("{broken}");
        }
        println!("{} functions from {entries} entries, {} faults", reached.len(), broken.len());
        // Without symbols nothing would be found, which is no proof.
        if entries == ENTRIES.len() + 1 && broken.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }

    fn is_entry(name: &str) -> bool {
        is_one_of(name, &ENTRIES)
    }

    fn is_one_of(name: &str, wanted: &[&str]) -> bool {
        wanted.iter().any(|wanted| is_named(name, wanted))
    }

    /// Whether a path ends in this name. The version of a symbol does not count, nor whether the
    /// path names a type (`<T>::function`), nor the types of a function (`function::<T>`).
    fn is_named(path: &str, wanted: &str) -> bool {
        let mut path = path.split('@').next().unwrap_or_default().to_owned();
        while let Some(start) = path.find("::<") {
            path.replace_range(start..end_of_types(&path, start), "");
        }
        let path = path.replace(['<', '>'], "");
        path.strip_suffix(wanted).is_some_and(|room| room.is_empty() || room.ends_with("::"))
    }

    /// Where the types end that begin at `start` with `::<`.
    fn end_of_types(path: &str, start: usize) -> usize {
        let mut depth = 0;
        let bytes = path.as_bytes();
        for at in start..path.len() {
            match bytes[at] {
                b'<' => depth += 1,
                // Not that of `fn() -> T`.
                b'>' if bytes[at - 1] != b'-' => depth -= 1,
                _ => continue,
            }
            if depth == 0 {
                return at + 1;
            }
        }
        path.len()
    }

    impl<'d> Program<'d> {
        fn read(file: &object::File<'d>) -> Self {
            let symbols = file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text);
            let mut functions: Vec<Function> = symbols
                .filter(|symbol| symbol.size() != 0)
                .map(|symbol| Function {
                    start: symbol.address(),
                    end: symbol.address() + symbol.size(),
                    name: format!("{:#}", rustc_demangle::demangle(symbol.name().unwrap_or(""))),
                })
                .collect();
            functions.sort_by_key(|function| (function.start, function.end));
            let (mut code, mut data) = (Vec::new(), Vec::new());
            for section in file.sections().filter(|section| section.address() != 0) {
                let to = if section.kind() == SectionKind::Text { &mut code } else { &mut data };
                to.extend(section.data().ok().map(|bytes| (section.address(), bytes)));
            }
            let names = file.dynamic_symbol_table();
            let imports =
                file.dynamic_relocations().into_iter().flatten().filter_map(|(at, it)| {
                    let RelocationFlags::Elf { r_type } = it.flags() else { return None };
                    let import = match (r_type, it.target()) {
                        (elf::R_X86_64_RELATIVE, _) => Callee::Here(it.addend().cast_unsigned()),
                        (_, RelocationTarget::Symbol(index)) => {
                            let symbol = names.as_ref()?.symbol_by_index(index).ok()?;
                            Callee::Outside(symbol.name().ok()?.to_owned())
                        }
                        _ => return None,
                    };
                    Some((at, import))
                });
            Self { imports: imports.collect(), functions, code, data }
        }

        /// Follows all calls from the entries on: what was reached, and the faults.
        fn walk(&self) -> (Reached, Vec<String>) {
            let is_first = |name| is_entry(name) || is_named(name, IN_CHILD);
            let entries = self.functions.iter().filter(|function| is_first(&function.name));
            let mut reached: Reached = entries.map(|function| (function.start, None)).collect();
            let mut todo: VecDeque<u64> = reached.keys().copied().collect();
            let mut broken = Vec::new();
            let mut needed = BTreeSet::new();
            while let Some(function) = todo.pop_front().and_then(|at| self.function(at)) {
                let callees = self.callees(function).into_iter();
                let callees = callees.flat_map(|callee| self.pointed_to(function, callee));
                for callee in callees {
                    match self.judge(function, &callee) {
                        Verdict::Follow(next) => {
                            reached.entry(next).or_insert_with(|| {
                                todo.push_back(next);
                                Some(function.start)
                            });
                        }
                        Verdict::Safe => {}
                        Verdict::Excepted(entry) => {
                            needed.insert(entry);
                        }
                        Verdict::Fault(fault) => {
                            let chain = self.chain(&reached, function.start);
                            broken.push(format!("{fault}\n  {chain}"));
                        }
                    }
                }
            }
            // With fewer features fewer of them are needed.
            if cfg!(feature = "law-all") {
                let unneeded = (0..EXCEPTIONS.len()).filter(|entry| !needed.contains(entry));
                broken.extend(unneeded.map(|entry| {
                    format!("the exception of `{}` is not needed", EXCEPTIONS[entry].0.join("`, `"))
                }));
            }
            (reached, broken)
        }

        /// What is called: where that is a known pointer, all that it may lead to.
        fn pointed_to(&self, function: &Function, callee: Callee) -> Vec<Callee> {
            if !matches!(callee, Callee::Unknown(_)) {
                return vec![callee];
            }
            let known = POINTERS.iter().filter(|(from, ..)| is_one_of(&function.name, from));
            let names: Vec<&str> = known.flat_map(|(_, to, _)| to.iter().copied()).collect();
            let targets = self.functions.iter().filter(|it| is_one_of(&it.name, &names));
            let targets: Vec<Callee> = targets.map(|it| Callee::Here(it.start)).collect();
            if targets.is_empty() { vec![callee] } else { targets }
        }

        /// Whether this may be called there.
        fn judge(&self, function: &Function, callee: &Callee) -> Verdict {
            let fault = |what: String| Verdict::Fault(what);
            let (name, found) = match callee {
                Callee::Here(address) => match self.function(*address) {
                    Some(found) if found.start == *address => (&found.name, Some(found)),
                    Some(found) => {
                        return fault(format!("a jump into the middle of `{}`", found.name));
                    }
                    None => return fault(format!("a call of {address:#x}, which has no name")),
                },
                Callee::Outside(name) => (name, None),
                Callee::Unknown(at) => {
                    return fault(format!("a call through a pointer at {at:#x}"));
                }
            };
            let excepted = EXCEPTIONS
                .iter()
                .position(|(from, to, _)| is_one_of(&function.name, from) && is_one_of(name, to));
            if let Some(entry) = excepted {
                return Verdict::Excepted(entry);
            }
            let Some(found) = found else {
                let is_known = IMPORTED.iter().any(|(known, _)| is_named(name, known));
                return if is_known {
                    Verdict::Safe
                } else {
                    fault(format!("a call of `{name}`, which is not known to be safe"))
                };
            };
            if let Some((_, does)) = FORBIDDEN.iter().find(|(part, _)| name.contains(part)) {
                fault(format!("`{name}` {does}"))
            } else if is_entry(name) {
                fault("the allocator allocates".to_owned())
            } else {
                Verdict::Follow(found.start)
            }
        }

        /// The functions from this one up to an entry.
        fn chain(&self, reached: &Reached, function: u64) -> String {
            let up = std::iter::successors(Some(function), |at| reached.get(at).copied().flatten());
            let names: Vec<_> = up.filter_map(|at| Some(&*self.function(at)?.name)).collect();
            names.join(" < ")
        }

        /// The function that an address lies in.
        fn function(&self, address: u64) -> Option<&Function> {
            let after = self.functions.partition_point(|function| function.start <= address);
            self.functions[..after].iter().rev().take(8).find(|it| address < it.end)
        }

        fn bytes(&self, start: u64, end: u64) -> Option<&'d [u8]> {
            part(&self.code, start, end)
        }

        /// All that a function calls or jumps to outside of itself, and of what it takes the
        /// address.
        ///
        /// Not what only a panic runs into: as nothing panics, nothing of that runs.
        fn callees(&self, function: &Function) -> BTreeSet<Callee> {
            let Some(body) = self.body(function) else {
                return BTreeSet::from([Callee::Unknown(function.start)]);
            };
            let (flow, tables) = self.flow(&body);
            let inside = function.start..function.end;
            let is_inside =
                |callee: &Callee| matches!(callee, Callee::Here(at) if inside.contains(at));
            let callees = flow.reached.iter().flat_map(|place| {
                let instruction = &body.instructions[*place];
                match instruction.flow_control() {
                    FlowControl::Call
                    | FlowControl::UnconditionalBranch
                    | FlowControl::ConditionalBranch => {
                        vec![self.near(instruction.near_branch_target())]
                    }
                    FlowControl::IndirectBranch if tables.contains_key(place) => Vec::new(),
                    FlowControl::IndirectCall | FlowControl::IndirectBranch => {
                        self.through_pointer(&body, &flow, *place)
                    }
                    _ => self.address_taken(instruction).into_iter().collect(),
                }
            });
            callees.filter(|callee| !is_inside(callee)).collect()
        }

        fn body(&self, function: &Function) -> Option<Body> {
            let bytes = self.bytes(function.start, function.end)?;
            let decoder = Decoder::with_ip(64, bytes, function.start, DecoderOptions::NONE);
            let instructions: Vec<Instruction> = decoder.into_iter().collect();
            let places = instructions.iter().enumerate().map(|(place, it)| (it.ip(), place));
            Some(Body { places: places.collect(), instructions })
        }

        /// Which instructions run, without those that only a panic runs into. A table that is found
        /// may show more of them, and so more tables.
        fn flow(&self, body: &Body) -> (Flow, Tables) {
            let mut tables = Tables::new();
            loop {
                let flow = body.flow(&tables);
                let jumps = flow.reached.iter().filter(|place| {
                    body.instructions[**place].flow_control() == FlowControl::IndirectBranch
                });
                let found: Tables = jumps
                    .filter_map(|place| Some((*place, self.table(body, &flow, *place)?)))
                    .collect();
                if found == tables {
                    return (flow, tables);
                }
                tables = found;
            }
        }

        /// Where a jump by a table of distances leads: the register that it takes is the sum of the
        /// table's address and of what stands there.
        fn table(&self, body: &Body, flow: &Flow, jump: usize) -> Option<BTreeSet<usize>> {
            let instruction = body.instructions.get(jump)?;
            if instruction.op0_kind() != OpKind::Register {
                return None;
            }
            let (sum, load) = body.sum_and_load(jump, instruction.op0_register())?;
            let bases = self.constants(body, flow, sum, load.memory_base())?;
            let [Callee::Here(base)] = bases[..] else { return None };
            let mut targets = BTreeSet::new();
            for entry in (base..).step_by(4) {
                let Some(bytes) = part(&self.data, entry, entry + 4) else { break };
                let distance = i32::from_le_bytes(bytes.try_into().ok()?);
                let target = base.wrapping_add_signed(i64::from(distance));
                // The table is over: what follows leads elsewhere.
                let Some(place) = body.places.get(&target) else { break };
                targets.insert(*place);
            }
            (!targets.is_empty()).then_some(targets)
        }

        /// What a call through a register or memory may call.
        fn through_pointer(&self, body: &Body, flow: &Flow, place: usize) -> Vec<Callee> {
            let instruction = &body.instructions[place];
            if instruction.op0_kind() == OpKind::Register {
                let known = self.constants(body, flow, place, instruction.op0_register());
                return known.unwrap_or_else(|| vec![Callee::Unknown(instruction.ip())]);
            }
            vec![self.through_memory(instruction)]
        }

        /// All addresses that a register may hold before an instruction; `None` where it may hold
        /// something else.
        fn constants(
            &self,
            body: &Body,
            flow: &Flow,
            place: usize,
            register: Register,
        ) -> Option<Vec<Callee>> {
            let mut found = BTreeSet::new();
            let mut seen = HashSet::new();
            let mut todo = vec![(place, register)];
            while let Some((place, register)) = todo.pop() {
                // At the start of the function it is the caller's.
                let before = flow.before.get(&place).filter(|_| place != 0)?;
                for place in before {
                    let instruction = &body.instructions[*place];
                    if !writes(instruction, register) {
                        if seen.insert((*place, register)) {
                            todo.push((*place, register));
                        }
                    } else if matches!(instruction.code(), Code::Mov_r64_rm64 | Code::Mov_rm64_r64)
                        && instruction.op1_kind() == OpKind::Register
                    {
                        if seen.insert((*place, instruction.op1_register())) {
                            todo.push((*place, instruction.op1_register()));
                        }
                    } else {
                        found.insert(self.address(instruction)?);
                    }
                }
            }
            Some(found.into_iter().collect())
        }

        /// The address that an instruction puts into a register.
        fn address(&self, instruction: &Instruction) -> Option<Callee> {
            let is_fixed = instruction.is_ip_rel_memory_operand();
            let address = instruction.ip_rel_memory_address();
            match instruction.code() {
                Code::Lea_r64_m if is_fixed => Some(Callee::Here(address)),
                Code::Mov_r64_rm64 if is_fixed => self.imports.get(&address).cloned(),
                _ => None,
            }
        }

        /// The function whose address an instruction takes.
        fn address_taken(&self, instruction: &Instruction) -> Option<Callee> {
            let address = self.address(instruction)?;
            let Callee::Here(at) = address else { return Some(address) };
            self.bytes(at, at).is_some().then(|| self.near(at))
        }

        /// What is at an address: a function, or the stub of one of another library.
        fn near(&self, address: u64) -> Callee {
            let stub = if self.function(address).is_none() { self.stub(address) } else { None };
            stub.unwrap_or(Callee::Here(address))
        }

        /// Where a stub of the procedure linkage table leads.
        fn stub(&self, address: u64) -> Option<Callee> {
            let bytes = self.bytes(address, address + 16)?;
            let mut decoder = Decoder::with_ip(64, bytes, address, DecoderOptions::NONE);
            let mut first = decoder.iter().take(2);
            let jump = first.find(|it| it.flow_control() == FlowControl::IndirectBranch)?;
            Some(self.through_memory(&jump))
        }

        fn through_memory(&self, instruction: &Instruction) -> Callee {
            let is_fixed = instruction.is_ip_rel_memory_operand();
            let import = self.imports.get(&instruction.ip_rel_memory_address());
            import.filter(|_| is_fixed).cloned().unwrap_or(Callee::Unknown(instruction.ip()))
        }
    }

    impl Body {
        fn flow(&self, tables: &Tables) -> Flow {
            let mut flow = Flow { reached: BTreeSet::new(), before: HashMap::new() };
            let mut todo = vec![0];
            while let Some(place) = todo.pop() {
                let Some(instruction) = self.instructions.get(place) else { continue };
                if !flow.reached.insert(place) {
                    continue;
                }
                let target = || self.places.get(&instruction.near_branch_target()).copied();
                let mut after: Vec<usize> = match instruction.flow_control() {
                    FlowControl::UnconditionalBranch => target().into_iter().collect(),
                    FlowControl::ConditionalBranch => {
                        target().into_iter().chain([place + 1]).collect()
                    }
                    FlowControl::IndirectBranch => {
                        tables.get(&place).into_iter().flatten().copied().collect()
                    }
                    FlowControl::Return | FlowControl::Exception => Vec::new(),
                    _ => vec![place + 1],
                };
                for after in &after {
                    flow.before.entry(*after).or_default().insert(place);
                }
                todo.append(&mut after);
            }
            flow
        }

        /// The addition that makes the target of a jump, and what loads its distance from a table.
        fn sum_and_load(&self, jump: usize, target: Register) -> Option<(usize, &Instruction)> {
            let above = |from: usize| (from.saturating_sub(12)..from).rev();
            let sum = above(jump).find(|place| writes(&self.instructions[*place], target))?;
            let add = &self.instructions[sum];
            if add.code() != Code::Add_r64_rm64 && add.code() != Code::Add_rm64_r64 {
                return None;
            }
            let parts = [add.op0_register(), add.op1_register()];
            let loads = above(sum).map(|place| &self.instructions[place]);
            let mut loads = loads.filter(|it| it.code() == Code::Movsxd_r64_rm32);
            let load = loads.find(|it| parts.contains(&it.op0_register()))?;
            let is_a_table = parts.contains(&load.memory_base()) && load.memory_index_scale() == 4;
            is_a_table.then_some((sum, load))
        }
    }

    /// Whether a register holds something else after an instruction.
    fn writes(instruction: &Instruction, register: Register) -> bool {
        const KEPT: [Register; 7] = [
            Register::RBX,
            Register::RBP,
            Register::RSP,
            Register::R12,
            Register::R13,
            Register::R14,
            Register::R15,
        ];
        let is_call = [FlowControl::Call, FlowControl::IndirectCall];
        if is_call.contains(&instruction.flow_control()) && !KEPT.contains(&register) {
            return true;
        }
        let mut factory = InstructionInfoFactory::new();
        factory.info(instruction).used_registers().iter().any(|used| {
            used.register().full_register() == register
                && !matches!(
                    used.access(),
                    OpAccess::None | OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess
                )
        })
    }

    /// These bytes of one of the sections.
    fn part<'d>(sections: &[(u64, &'d [u8])], start: u64, end: u64) -> Option<&'d [u8]> {
        sections.iter().find_map(|(address, bytes)| {
            let from = usize::try_from(start.checked_sub(*address)?).ok()?;
            bytes.get(from..from.checked_add(usize::try_from(end - start).ok()?)?)
        })
    }
}
