//! The macros of `memscope-rs`, which re-exports them.

#![forbid(unsafe_code)]

// Bottom first: a module imports from those above it, never from those below.
mod syntax;
mod facade;
mod tracked;
mod track_var;
mod trackable;

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
///     static CALLSITE: Callsite = Callsite::new("fetch", TaskType::NetworkIntensive, "src/main.rs", 2);
///     track(&CALLSITE, async move { … })
/// }
/// ```
///
/// Calls, arguments, borrows, `Send`, type errors and the order in which things are dropped stay
/// those of the `async fn`. The future gets smaller where it takes large arguments by value, since
/// an `async fn` holds those twice, and never larger than by the few words of the wrapper.
///
/// # Options
///
/// | option | meaning |
/// |---|---|
/// | `task_type = "…"` | `"cpu"`, `"io"`, `"network"`, `"memory"`, `"streaming"`, `"background"` or `"mixed"`; none: unspecified |
/// | `name = "…"` | the name in reports instead of the function's own |
/// | `crate = path` | where `memscope_rs` is found, when it is renamed or re-exported |
///
/// # Where it can stand
///
/// * On an `async fn`: free, in an `impl`, in a `trait` or in its implementation. A declaration
///   without a body has nothing to track and stays as it is: put the attribute on the
///   implementations.
/// * On an `impl`, a `trait` or an inline `mod`: it goes for every `async fn` inside, those in
///   nested blocks included. Functions are then named `Type::function`. `#[tracked(…)]` on an inner
///   item changes the options it names, `#[tracked(skip)]` leaves that item out.
/// * With `#[async_trait]`, `#[tokio::main]` and `#[tokio::test]`, above them or below. Above them,
///   and above any other attribute that it does not know, it leaves the signature an `async fn` for
///   the other macro to see and wraps the body only: the future then is as large as the plain one
///   and the wrapper, and what the pattern of an argument does not bind is dropped last.
/// * On a function that ends in an `async` block or in `Box::pin(async move { … })`.
///
/// # Lints
///
/// No lint of the compiler or of clippy fires that does not fire on the plain function. Some fire
/// no more, as `clippy::unused_async` does not on a function that is not `async`. So `#[expect(…)]`
/// on a tracked function, block or argument works as `#[allow(…)]`. An `#[allow(…)]` on an argument
/// goes for the variables that it binds.
///
/// With the feature `enabled` off, everything is left as it was written.
#[proc_macro_attribute]
pub fn tracked(arguments: TokenStream, item: TokenStream) -> TokenStream {
    if cfg!(feature = "enabled") {
        tracked::tracked(arguments.into(), item.into()).into()
    } else {
        tracked::plain(item.into()).into()
    }
}

/// Registers variables: what they hold on the heap is shown under their names for as long as they
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
///             static VARIABLE: VariableCallsite = VariableCallsite::new("rows", "src/main.rs", 2, 12);
///             track_value(&VARIABLE, value, |blocks| …);
///         }
///     };
///     match &self.cache { … };
/// }
/// ```
///
/// The variable is looked at and let go of: nothing is moved, copied or wrapped, no borrow is held
/// when the statement ends, and its value is `()`. It goes in `async` code and out of it, in
/// closures, loops, generic functions and other macros.
///
/// # Forms
///
/// | form | meaning |
/// |---|---|
/// | `track_var!(x)` | a variable |
/// | `track_var!(a, self.field, point.0, CACHE, *boxed, items[0],)` | several, in order; parts of one; a `static`; what is behind a pointer |
/// | `track_var!(*cache.lock().unwrap(), shared.borrow().rows)` | what is behind a guard, which is dropped before the statement ends |
/// | `track_var!(deep: x, y)` | `x` with what its elements hold; `y` as ever |
/// | `track_var!(crate = path, x)` | where `memscope_rs` is found, when it is renamed or re-exported |
///
/// The name in reports is the place as it is written: `self.parts[i + 1].name`.
///
/// # What is found
///
/// Every type may be tracked. The blocks are found of a type that implements `Trackable`: those of
/// the standard library and, with `#[derive(Trackable)]`, your own. Of a `Box` of anything the box
/// is found. Of another type, or of a type parameter without that bound, only name, type and size
/// are known.
///
/// The type must be known by the line where the macro stands.
/// `let mut x = None; track_var!(x); x = Some(y)` asks for a `Trackable` of the type that comes
/// later; `let mut x: Option<Y> = None` does not.
///
/// # Cost
///
/// A `static` for each place, and for each run one look at the value: as many steps as the value
/// has fields, or with `deep:` elements. With the feature `enabled` off, the places are
/// type-checked and nothing is run.
// Not `macro_rules!`: to those, `self.a.0.1` is an expression like any other. They can neither name
// it (`stringify!` keeps the spaces as they were written) nor tell it from a call, and show a
// mistake in the expansion instead of at the token at fault.
#[proc_macro]
pub fn track_var(input: TokenStream) -> TokenStream {
    track_var::track_var(input.into(), cfg!(feature = "enabled")).into()
}

/// Lets `track_var!` find what the fields of a struct or enum hold on the heap.
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
/// Fields may be of any type: of one that is not `Trackable` itself, as much is found as
/// `track_var!` would find. Type parameters get a bound, as with the derives of the standard
/// library.
///
/// # Options
///
/// | option | meaning |
/// |---|---|
/// | `#[trackable(skip)]` on a field | it is left out: owned by somebody else, or of no interest |
/// | `#[trackable(crate = path)]` on the type | where `memscope_rs` is found, when it is renamed or re-exported |
///
/// Unions and packed structs cannot be derived for: their fields cannot be looked at safely.
///
/// # Cost
///
/// None until a value is tracked; then one call for each field. With the feature `enabled` off, the
/// methods do nothing.
#[proc_macro_derive(Trackable, attributes(trackable))]
pub fn derive_trackable(input: TokenStream) -> TokenStream {
    trackable::derive(input.into(), cfg!(feature = "enabled")).into()
}
