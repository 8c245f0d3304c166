//! The procedural macros of `memscope-rs`, which re-exports them.

#![forbid(unsafe_code)]

// Bottom first: a module imports only from modules above it.
mod syntax;
mod facade;
mod tracked;
mod track_var;
mod trackable;
mod test;

use proc_macro::TokenStream;

/// Makes every call of an `async fn` a task of its own in the memory report.
///
/// You write
///
/// ```text
/// #[tracked(task_type = "network")]
/// async fn fetch(url: String) -> Result<Vec<u8>, Error> {
///     …
/// }
/// ```
///
/// and it becomes
///
/// ```text
/// fn fetch(url: String) -> impl Future<Output = Result<Vec<u8>, Error>> {
///     static CALLSITE: Callsite =
///         Callsite::new("fetch", TaskType::NetworkIntensive, "src/main.rs", 2);
///     track(&CALLSITE, async move { … })
/// }
/// ```
///
/// Calls, arguments, borrows, `Send`, type errors and drop order stay those of the `async fn`. The
/// future becomes smaller if it takes large arguments by value, since an `async fn` holds those
/// twice. Otherwise it grows by the few words of the wrapper.
///
/// # Options
///
/// | option | meaning |
/// |---|---|
/// | `task_type = "…"` | `"cpu"`, `"io"`, `"network"`, `"memory"`, `"streaming"`, `"background"` or `"mixed"`; none: unspecified |
/// | `name = "…"` | the name in reports instead of the function's own |
/// | `budget = "…"` | what a task may hold, such as `"64MiB"` (`B`, `KiB`, `MiB`, `GiB`): the end of a poll that leaves it with more is reported |
/// | `crate = path` | the path of `memscope_rs`, if it is renamed or re-exported |
///
/// # Where it can be used
///
/// * On an `async fn`: a free function, or one in an `impl` or a `trait`. A declaration without a
///   body has nothing to track and stays unchanged: put the attribute on the implementations.
/// * On an `impl`, a `trait` or an inline `mod`: it applies to every `async fn` inside, also in
///   nested blocks. Functions are then named `Type::function`. `#[tracked(…)]` on an inner item
///   changes the options that it names, and `#[tracked(skip)]` excludes that item.
/// * With `#[async_trait]`, `#[tokio::main]` and `#[tokio::test]`, above them or below. Above them,
///   and above any unknown attribute, the function stays an `async fn` for the other macro to see,
///   and only the body is wrapped. The future is then as large as the plain one plus the wrapper.
///   Parts of an argument that its pattern does not bind are dropped last.
/// * On a function that ends in an `async` block or in `Box::pin(async move { … })`.
///
/// # Lints
///
/// The attribute causes no new lints of the compiler or of clippy. Some lints no longer fire: for
/// example, `clippy::unused_async` ignores a function that is not `async`. So `#[expect(…)]` on a
/// tracked function, block or argument acts as `#[allow(…)]`. An `#[allow(…)]` on an argument
/// applies to the variables that it binds.
///
/// Without the feature `enabled`, the item stays unchanged.
#[proc_macro_attribute]
pub fn tracked(arguments: TokenStream, item: TokenStream) -> TokenStream {
    if cfg!(feature = "enabled") {
        tracked::tracked(arguments.into(), item.into()).into()
    } else {
        tracked::plain(item.into()).into()
    }
}

/// Makes a function a test whose memory is measured and held to limits.
///
/// You write
///
/// ```text
/// #[memscope_rs::test(peak = "64KiB", allocations = 10, leaks = 0)]
/// async fn a_page_fits() {
///     render("index").await;
/// }
/// ```
///
/// and it becomes a `#[test]` that runs the function as a task of its own, and fails if that task
/// and the tracked tasks made in it take more. Tests that run at the same time are told apart.
///
/// # Options
///
/// | option | meaning |
/// |---|---|
/// | `peak = "64KiB"` | the most bytes that one of its tasks may hold at one time; or a number of bytes |
/// | `allocations = 10` | how many allocations all its tasks may make |
/// | `leaks = 0` | how many bytes all its tasks may leave behind; or a size such as `"1KiB"` |
/// | `crate = path` | the path of `memscope_rs`, if it is renamed or re-exported |
///
/// # Where it can be used
///
/// * On an `async fn`: it runs on a Tokio runtime of its own with one thread, I/O and time, which
///   is shut down before the limits are judged. Without the feature `tokio` the thread polls it.
/// * Above `#[tokio::test]` and its like: those run the test, and the limits are judged at the end
///   of its body. Below them, the runtime itself would count as part of the test.
/// * On a `fn`: what it allocates on its own thread counts, and in tracked tasks made in it.
///
/// A result and `?`, `#[should_panic]` and `#[ignore]` work as with `#[test]`. A test that panics
/// is not judged.
///
/// Without the feature `enabled`, it is the plain test.
#[proc_macro_attribute]
pub fn test(arguments: TokenStream, item: TokenStream) -> TokenStream {
    test::test(arguments.into(), item.into(), cfg!(feature = "enabled")).into()
}

/// Registers variables: reports show their heap blocks under their names for as long as the blocks
/// live.
///
/// You write
///
/// ```text
/// let mut rows = vec![0_u64; 1_000];
/// track_var!(rows, self.cache);
/// assert_eq!(rows.len(), 1_000); // still there, still yours
/// rows.push(1);
/// ```
///
/// and the second line becomes
///
/// ```text
/// {
///     match &rows {
///         value => {
///             static VARIABLE: VariableCallsite =
///                 VariableCallsite::new("rows", "src/main.rs", 2, 12);
///             track_value(&VARIABLE, value, |blocks| …);
///         }
///     };
///     match &self.cache { … };
/// }
/// ```
///
/// The macro borrows the variable until the end of the statement. It does not move, copy or wrap
/// anything, and its value is `()`. It works inside and outside of `async` code, in closures,
/// loops, generic functions and other macros.
///
/// # Forms
///
/// | form | meaning |
/// |---|---|
/// | `track_var!(x)` | a variable |
/// | `track_var!(a, self.field, point.0, CACHE, *boxed, items[0],)` | several, in order; parts of variables; a `static`; the target of a pointer |
/// | `track_var!(*cache.lock().unwrap(), shared.borrow().rows)` | the target of a guard, which is dropped before the statement ends |
/// | `track_var!(deep: x, y)` | `x` including what its elements hold; `y` as usual |
/// | `track_var!(crate = path, x)` | the path of `memscope_rs`, if it is renamed or re-exported |
///
/// The name in reports is the place expression: `self.parts[i + 1].name`.
///
/// # What is found
///
/// Every type can be tracked. If it implements `Trackable`, its heap blocks are found. Types of the
/// standard library implement it, and `#[derive(Trackable)]` implements it for yours. A `Box` of
/// any type is found as well. For other types, and for type parameters without that bound, only
/// name, type and size are known.
///
/// The type must be known at the line of the macro. `let mut x = None; track_var!(x); x = Some(y)`
/// requires `Trackable` of the later type; `let mut x: Option<Y> = None` does not.
///
/// # Cost
///
/// Each place has a `static`. Each run visits the value once: one step for each field, or with
/// `deep:` for each element. Without the feature `enabled`, the places are type-checked and nothing
/// runs.
// A `macro_rules!` macro would not do. It takes `self.a.0.1` for any expression: it cannot name it,
// since `stringify!` keeps the user's spaces, nor tell it from a call. It also shows a mistake in
// the expansion instead of at the wrong token.
#[proc_macro]
pub fn track_var(input: TokenStream) -> TokenStream {
    track_var::track_var(input.into(), cfg!(feature = "enabled")).into()
}

/// Lets `track_var!` find the heap blocks of a struct or enum in its fields.
///
/// You write
///
/// ```text
/// #[derive(Trackable)]
/// struct Session<T> {
///     user: String,
///     rows: Vec<T>,
///     #[trackable(skip)]
///     shared: Arc<Config>,
/// }
///
/// let session = Session { user: "ada".to_owned(), rows: vec![1, 2], shared };
/// track_var!(session); // three bytes of `user`, the numbers of `rows`
/// assert_eq!(session.rows, [1, 2]);
/// ```
///
/// and it becomes
///
/// ```text
/// impl<T: Trackable> Trackable for Session<T> {
///     fn visit(&self, blocks: &mut Blocks<'_>) {
///         /* the blocks of `self.user`, then those of `self.rows` */
///     }
/// }
///
/// impl<T: Contents> Contents for Session<T> {
///     fn visit_contents(&self, blocks: &mut Blocks<'_>) {
///         /* the same, with those of their elements */
///     }
/// }
/// ```
///
/// Fields may be of any type. In a field that is not `Trackable` itself, as much is found as
/// `track_var!` would find. Type parameters get a bound, as with the derives of the standard
/// library.
///
/// # Options
///
/// | option | meaning |
/// |---|---|
/// | `#[trackable(skip)]` on a field | the field is skipped: it has another owner, or is of no interest |
/// | `#[trackable(crate = path)]` on the type | the path of `memscope_rs`, if it is renamed or re-exported |
///
/// The derive rejects unions and packed structs, since their fields cannot be borrowed safely.
///
/// # Cost
///
/// There is no cost until a value is tracked; then it is one call for each field. Without the
/// feature `enabled`, the methods do nothing.
#[proc_macro_derive(Trackable, attributes(trackable))]
pub fn derive_trackable(input: TokenStream) -> TokenStream {
    trackable::derive(input.into(), cfg!(feature = "enabled")).into()
}
