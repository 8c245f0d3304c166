//! Who holds the heap: asked on a thread of its own, as the answer takes about a second a GiB.

use std::sync::Arc;

use bytes::Bytes;
use memscope_runtime::{
    __server::{own, spawn},
    async_memory::heap_graph,
};
use tokio::sync::{Mutex, oneshot};

/// Held while a graph is made: one at a time.
static ASKING: Mutex<()> = Mutex::const_new(());

/// Why there is no graph.
#[derive(Debug)]
pub(crate) enum NoGraph {
    /// Another client asks just now.
    Busy,
    Failed(String),
}

/// The graph as JSON. The process stands still for some milliseconds.
pub(crate) async fn graph() -> Result<Bytes, NoGraph> {
    let _alone = ASKING.try_lock().map_err(|_| NoGraph::Busy)?;
    let answer = own(|| {
        let (send, answer) = oneshot::channel();
        let work = move || drop(send.send(make()));
        spawn(Box::new(work)).map(|()| answer)
    });
    let answer = answer.map_err(|error| NoGraph::Failed(error.to_string()))?;
    let failed = |_| NoGraph::Failed("the thread that reads the heap has ended".to_owned());
    answer.await.map_err(failed)?.map_err(|error| NoGraph::Failed(error.to_string()))
}

fn make() -> Result<Bytes, Arc<str>> {
    let graph = heap_graph().map_err(|error| Arc::from(error.to_string()))?;
    let json = serde_json::to_vec(&graph).map_err(|error| Arc::from(error.to_string()))?;
    Ok(json.into())
}
