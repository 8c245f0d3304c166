//! A `tracing` layer that gives every span a row.

use std::fmt;

use tracing_core::{
    Metadata, Subscriber,
    span::{Attributes, Id},
};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

use crate::{
    accounting::{Span, span},
    alloc::{Entered, current},
    config::ENABLED,
    primitives::sync::{AtomicU32, Ordering},
};

/// Gives each span a row, which is charged with what is allocated while the span is entered.
///
/// So programs with `#[instrument]` get memory per span from one line. A span is a task with the
/// span's name, file and line. Inside a tracked task or another span it is a child, and its bytes
/// are exclusive, as those of nested tasks are. It completes when it is closed.
///
/// A span is one row and counts once, however often and on however many threads it is entered. If
/// several threads are in it at one time, its live bytes and its peak are those of all threads
/// together. `poll_count` is how often it was entered. `busy_ns` is the time in which any thread
/// was in it.
///
/// Spans may be left in any order. A span that is left inside a poll or a scope which began after
/// it is over at once. The owner below it is charged again as soon as that poll or scope ends. A
/// span that is entered inside a poll or a scope and not left there is left when that ends.
///
/// ```
/// use memscope_runtime::{MemoryLayer, async_memory::get_memory_snapshot};
/// use tracing_subscriber::layer::SubscriberExt as _;
///
/// # #[global_allocator]
/// # static A: memscope_runtime::TrackingAllocator = memscope_runtime::TrackingAllocator::new(std::alloc::System);
/// let subscriber = tracing_subscriber::registry().with(MemoryLayer::new());
/// tracing::subscriber::with_default(subscriber, || {
///     let made = tracing::info_span!("make").in_scope(|| vec![0u8; 1000]);
///     let snapshot = get_memory_snapshot();
///     let site = snapshot.sites_named("make").next().unwrap();
///     assert_eq!((site.live_bytes, site.completed), (1000, 1));
///     # drop(made);
/// });
/// ```
///
/// # What is counted elsewhere
///
/// What `tracing` and other layers allocate for a span belongs to the owner that is current then.
/// What this layer keeps for a span (a pointer in its extensions) is untracked.
///
/// A span must be left through the layer that saw it entered: leave all spans before `reload` takes
/// the layer out. To choose spans, use a filter, which may change at any time.
///
/// # Cost
///
/// A span costs what a tracked task does, and an entry what a poll does. The registry's lookup of
/// the span comes on top. While a thread is in a span, other threads that have entered it too pay
/// more: four locked additions and a memory fence for an allocation, three locked additions for a
/// free. A poll inside of an entered span takes a few instructions more.
pub struct MemoryLayer<F = fn(&Metadata<'_>) -> bool> {
    is_wanted: F,
    /// Distinguishes its spans from those of other layers of this type.
    number: u32,
}

/// How many layers were made so far.
static LAYERS: AtomicU32 = AtomicU32::new(0);

impl MemoryLayer {
    /// Makes a layer for all spans that reach it.
    pub fn new() -> Self {
        Self { is_wanted: |_| true, number: LAYERS.fetch_add(1, Ordering::Relaxed) }
    }

    /// Gives a row only to spans that `is_wanted` accepts. The bytes of another span belong to the
    /// owner that is current when it is entered.
    ///
    /// ```
    /// use memscope_runtime::MemoryLayer;
    ///
    /// let layer = MemoryLayer::new().only(|span| span.target().starts_with("shop::"));
    /// # let _ = layer;
    /// ```
    pub fn only<F: Fn(&Metadata<'_>) -> bool>(self, is_wanted: F) -> MemoryLayer<F> {
        MemoryLayer { is_wanted, number: self.number }
    }
}

impl Default for MemoryLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<F> fmt::Debug for MemoryLayer<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLayer").finish_non_exhaustive()
    }
}

/// What a span's extensions keep: its record, and the number of the layer that opened it.
#[derive(Clone, Copy)]
struct Row {
    span: &'static Span,
    layer: u32,
}

impl<S, F> Layer<S> for MemoryLayer<F>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    F: Fn(&Metadata<'_>) -> bool + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let metadata = attributes.metadata();
        if !ENABLED || !(self.is_wanted)(metadata) {
            return;
        }
        let Some(data) = context.span(id) else { return };
        let file = metadata.file().unwrap_or("");
        let mut extensions = data.extensions_mut();
        // Another layer of this type has been here.
        if extensions.get_mut::<Row>().is_some() {
            return;
        }
        let line = metadata.line().unwrap_or(0);
        if let Some(span) = span::open(metadata.name(), file, line, current::owner_id()) {
            let _untracked = Entered::untracked();
            extensions.insert(Row { span, layer: self.number });
        }
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        if let Some(row) = row_of(id, &context)
            && row.layer == self.number
        {
            current::enter_span(row.span, self.number, id.into_u64());
        }
    }

    fn on_exit(&self, id: &Id, _: Context<'_, S>) {
        // NOTE: the span may be closed by now.
        if ENABLED {
            current::exit_span(self.number, id.into_u64());
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(row) = row_of(&id, &context).filter(|row| row.layer == self.number) else {
            return;
        };
        row.span.close();
        if let Some(span) = context.span(&id) {
            let _untracked = Entered::untracked();
            span.extensions_mut().remove::<Row>();
        }
    }
}

fn row_of<S>(id: &Id, context: &Context<'_, S>) -> Option<Row>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
{
    let span = context.span(id)?;
    let extensions = span.extensions();
    extensions.get::<Row>().copied()
}
