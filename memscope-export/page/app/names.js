// Names of functions, types and places, shortened for a cell; the whole name is in its tooltip.

const LIBRARIES = ["/registry/src/", "/git/checkouts/", "/rustc/", "/rustlib/src/"];
const STANDARD = new Set(["std", "core", "alloc", "proc_macro", "test"]);

let root = "";

// The folder that the program was built in: debug information has whole paths, sites do not.
export const knowRoot = (folder) => (root = folder);
export const withoutRoot = (text) => (root ? text.replaceAll(root, "") : text);

// `src/db.rs:88`, without the folder that the program was built in.
export function place(file, line) {
    if (!file) return "";
    return line ? `${shortPath(file)}:${line}` : shortPath(file);
}

// Of a long path the crate and what is in it.
export function shortPath(file) {
    const path = file.replaceAll("\\", "/");
    if (root && path.startsWith(root)) return path.slice(root.length);
    const library = path.match(/\/(?:registry\/src|git\/checkouts)\/[^/]+\/(.+)$/);
    if (library) return library[1];
    const standard = path.match(/\/(?:rustc\/[^/]+|rustlib\/src\/rust)\/(.+)$/);
    if (standard) return standard[1].replace(/^library\//, "");
    const parts = path.split("/");
    return path.startsWith("/") && parts.length > 4 ? parts.slice(-3).join("/") : path;
}

// The name without generic arguments and `<…>`.
export function withoutGenerics(name) {
    let depth = 0;
    let kept = "";
    for (let at = 0; at < name.length; at += 1) {
        const letter = name[at];
        if (letter === "<") depth += 1;
        else if (letter === ">" && name[at - 1] !== "-") depth = Math.max(0, depth - 1);
        else if (depth === 0) kept += letter;
    }
    return kept;
}

// `<alloc::vec::Vec<T> as Trait>::call` is of `alloc`; `app::db::query` is of `app`. A type of the
// language is of no crate: `<u8 as alloc::vec::Trait>::call` is of the trait's.
export function crateOf(name) {
    const own = name.match(/^[<&*\s]*(?:(?:mut|const|dyn|impl)\s+)*([A-Za-z_]\w*)::/);
    const of = own ?? name.match(/^<\w+ as ([A-Za-z_]\w*)::/);
    return of?.[1] ?? "";
}

// Whether code is of the program ("own"), the standard library ("std") or another crate ("dep").
export function originOf(frame, program) {
    const name = crateOf(frame.function);
    if (STANDARD.has(name)) return "std";
    if (name && program.crates.has(name)) return "own";
    if (!frame.file) return "dep";
    const path = frame.file.replaceAll("\\", "/");
    return LIBRARIES.some((folder) => path.includes(folder)) ? "dep" : "own";
}

// The last two segments of a path, without closures: `db::query`.
export function lastTwo(name) {
    const inner = name.match(/^<(.+) as .+>::(\w+)/);
    const path = inner ? `${withoutGenerics(inner[1])}::${inner[2]}` : withoutGenerics(name);
    const parts = path.split("::").filter((part) => part && !/^\{/.test(part));
    return parts.slice(-2).join("::") || name;
}

// A name in two pieces: the crate, dimmed, and what tells the row from others.
export function split(name, program) {
    if (!/^[<&]?[A-Za-z_]\w*::/.test(name)) return ["", name];
    const crate = crateOf(name);
    const short = lastTwo(name);
    if (!crate || program.crates.has(crate) || short.startsWith(`${crate}::`)) return ["", short];
    return [`${crate} `, short];
}
