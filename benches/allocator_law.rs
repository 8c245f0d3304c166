//! Reads this program's own machine code: what the allocator can reach takes no lock, formats
//! nothing, does not panic and does not allocate from itself.
//!
//! `cargo bench -p memscope-benches --features law --bench allocator_law`; with `-- --list` it
//! prints every function that it found.
//!
//! The walk starts where the compiler enters the allocator and follows every call and jump, those
//! through the table of imported functions included. It ends at [`IMPORTED`] and [`GATES`], which
//! have their reasons beside them. A call through a pointer is a failure: it cannot be followed.
#![expect(clippy::print_stdout, reason = "what it found is its output")]

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: memscope_rs::TrackingAllocator =
    memscope_rs::TrackingAllocator::new(std::alloc::System);

fn main() -> ExitCode {
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    return law::hold();
    #[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
    {
        println!("skipped: the machine code is read on Linux on x86-64 only");
        ExitCode::SUCCESS
    }
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod law {
    use std::{
        collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
        env, fs,
        process::ExitCode,
    };

    use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, OpKind, Register};
    use object::{
        Object, ObjectSection, ObjectSymbol, ObjectSymbolTable, RelocationFlags, RelocationTarget,
        SectionKind, SymbolKind, elf,
    };

    /// Where the compiler enters the allocator.
    const ENTRIES: [&str; 4] =
        ["__rust_alloc", "__rust_alloc_zeroed", "__rust_dealloc", "__rust_realloc"];

    /// What may not be reached: a part of a function's name, and what the function does.
    const FORBIDDEN: [(&str, &str); 15] = [
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
        ("backtrace", "reads symbols"),
    ];

    /// The functions of other libraries that may be called, and why.
    const IMPORTED: [(&str, &str); 17] = [
        ("malloc", "the system's allocator, over which this program runs; arenas grow by it"),
        ("calloc", "the same"),
        ("realloc", "the same"),
        ("free", "the same"),
        ("posix_memalign", "the same"),
        ("aligned_alloc", "the same"),
        ("memcpy", "plain memory"),
        ("memmove", "plain memory"),
        ("memset", "plain memory"),
        ("bcmp", "plain memory"),
        ("memcmp", "plain memory"),
        ("clock_gettime", "reads a page of the kernel's"),
        ("__errno_location", "a thread-local"),
        ("__tls_get_addr", "a thread-local of a library that was loaded later"),
        ("_Unwind_Backtrace", "finds frames without a lock from glibc 2.35 on"),
        ("_Unwind_GetIP", "reads a frame"),
        ("_Unwind_Resume", "unwinding ends in the abort of a function that cannot unwind"),
    ];

    /// The functions of the program at which the walk ends, and why.
    const GATES: [(&str, &str); 1] = [(
        "std::sys::thread_local::destructors",
        "once a thread, at its first allocation: what it allocates is charged to the thread, whose \
         record is current by then; out of memory, the standard library ends the process",
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
        /// What the table of imported functions holds, by address.
        imports: HashMap<u64, Callee>,
    }

    /// Where a call or a jump leads.
    #[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
    enum Callee {
        /// To an address in this program.
        Here(u64),
        /// To a function of another library.
        Outside(String),
        /// Through a register or memory that is written while the program runs.
        Unknown(u64),
    }

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
            reached.keys().for_each(|function| println!("{}", program.chain(&reached, *function)));
        }
        broken.iter().for_each(|broken| println!("{broken}"));
        println!("{} functions from {entries} entries, {} faults", reached.len(), broken.len());
        // Without symbols nothing would be found, which is no proof.
        if entries == ENTRIES.len() && broken.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }

    fn is_entry(name: &str) -> bool {
        name.rsplit("::").next().is_some_and(|last| ENTRIES.contains(&last))
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
            let sections = file.sections().filter(|section| section.kind() == SectionKind::Text);
            let code = sections.filter_map(|it| Some((it.address(), it.data().ok()?))).collect();
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
            Self { imports: imports.collect(), functions, code }
        }

        /// Follows all calls from the entries on: what was reached, and the faults.
        fn walk(&self) -> (Reached, Vec<String>) {
            let entries = self.functions.iter().filter(|function| is_entry(&function.name));
            let mut reached: Reached = entries.map(|function| (function.start, None)).collect();
            let mut todo: VecDeque<u64> = reached.keys().copied().collect();
            let mut broken = Vec::new();
            while let Some(function) = todo.pop_front().and_then(|at| self.function(at)) {
                let mut fault = |what: String| {
                    broken.push(format!("{what}\n  {}", self.chain(&reached, function.start)));
                };
                let mut next = Vec::new();
                for callee in self.callees(function) {
                    match callee {
                        Callee::Here(address) => match self.function(address) {
                            Some(found) => next.push(found),
                            None => fault(format!("a call of {address:#x}, which has no name")),
                        },
                        Callee::Outside(name) => {
                            let name = name.split('@').next().unwrap_or_default();
                            if !IMPORTED.iter().any(|(known, _)| *known == name) {
                                fault(format!("a call of `{name}`, which is not known to be safe"));
                            }
                        }
                        Callee::Unknown(at) => {
                            fault(format!("a call through a pointer at {at:#x}"));
                        }
                    }
                }
                for found in next {
                    if GATES.iter().any(|(gate, _)| found.name.contains(gate)) {
                        continue;
                    }
                    let is = FORBIDDEN.iter().find(|(part, _)| found.name.contains(part));
                    if let Some((_, does)) = is {
                        broken.push(format!(
                            "`{}` {does}\n  {}",
                            found.name,
                            self.chain(&reached, function.start)
                        ));
                    } else if is_entry(&found.name) {
                        broken.push(format!(
                            "the allocator allocates\n  {}",
                            self.chain(&reached, function.start)
                        ));
                    } else if !reached.contains_key(&found.start) {
                        reached.insert(found.start, Some(function.start));
                        todo.push_back(found.start);
                    }
                }
            }
            (reached, broken)
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
            self.code.iter().find_map(|(address, bytes)| {
                let from = usize::try_from(start.checked_sub(*address)?).ok()?;
                bytes.get(from..from + usize::try_from(end - start).ok()?)
            })
        }

        /// All that a function calls or jumps to outside of itself.
        fn callees(&self, function: &Function) -> BTreeSet<Callee> {
            let Some(bytes) = self.bytes(function.start, function.end) else {
                return BTreeSet::from([Callee::Unknown(function.start)]);
            };
            let decoder = Decoder::with_ip(64, bytes, function.start, DecoderOptions::NONE);
            let callees = decoder.into_iter().filter_map(|instruction| self.callee(&instruction));
            let is_inside = |callee: &Callee| matches!(callee, Callee::Here(at) if (function.start..function.end).contains(at));
            callees.filter(|callee| !is_inside(callee)).collect()
        }

        fn callee(&self, instruction: &Instruction) -> Option<Callee> {
            match instruction.flow_control() {
                FlowControl::Call
                | FlowControl::UnconditionalBranch
                | FlowControl::ConditionalBranch => {
                    let address = instruction.near_branch_target();
                    let stub = self.function(address).is_none().then(|| self.stub(address));
                    Some(stub.flatten().unwrap_or(Callee::Here(address)))
                }
                FlowControl::IndirectCall | FlowControl::IndirectBranch => {
                    Some(self.through_memory(instruction))
                }
                _ => None,
            }
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
            let is_fixed = instruction.op0_kind() == OpKind::Memory
                && instruction.memory_base() == Register::RIP;
            let import = self.imports.get(&instruction.memory_displacement64());
            import.filter(|_| is_fixed).cloned().unwrap_or(Callee::Unknown(instruction.ip()))
        }
    }
}
