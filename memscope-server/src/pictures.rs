//! Answers that take a picture of the process: what holds the heap, and all tasks. The process
//! stands still for some milliseconds. A thread of its own takes the picture, as it takes a second
//! and more.

use std::sync::Arc;

use bytes::Bytes;
use memscope_runtime::{
    __server::{own, spawn},
    async_memory::{Error, heap_graph, task_dump},
};
use serde_json::to_vec;
use tokio::sync::{Mutex, oneshot};

/// Held while a picture is taken and read, so that there is one picture at a time.
static ASKING: Mutex<()> = Mutex::const_new(());

/// Why there is no picture.
#[derive(Debug)]
pub(crate) enum NoPicture {
    /// Another client's picture is being taken.
    Busy,
    Failed(String),
}

/// What is read in a picture, and the format of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// What holds the heap, as JSON.
    Holders,
    /// All tasks, as JSON.
    Tasks,
    /// All tasks, as text.
    TasksText,
}

/// Takes a picture of the process, and answers with what is read in it.
pub(crate) async fn picture(wanted: Wanted) -> Result<Bytes, NoPicture> {
    let _alone = ASKING.try_lock().map_err(|_| NoPicture::Busy)?;
    let answer = own(|| {
        let (send, answer) = oneshot::channel();
        let work = move || drop(send.send(make(wanted)));
        spawn(Box::new(work)).map(|()| answer)
    });
    let answer = answer.map_err(|error| NoPicture::Failed(error.to_string()))?;
    let failed = |_| NoPicture::Failed("the thread that reads the picture has ended".to_owned());
    answer.await.map_err(failed)?.map_err(|error| NoPicture::Failed(error.to_string()))
}

fn make(wanted: Wanted) -> Result<Bytes, Arc<str>> {
    let no_picture = |error: Error| Arc::from(error.to_string());
    let no_json = |error: serde_json::Error| Arc::from(error.to_string());
    let bytes = match wanted {
        Wanted::Holders => to_vec(&heap_graph().map_err(no_picture)?).map_err(no_json)?,
        Wanted::Tasks => to_vec(&task_dump().map_err(no_picture)?).map_err(no_json)?,
        Wanted::TasksText => format!("{:#}", task_dump().map_err(no_picture)?).into_bytes(),
    };
    Ok(bytes.into())
}
