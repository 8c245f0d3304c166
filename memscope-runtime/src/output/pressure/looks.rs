//! The thread that looks at memory for the watch: `memscope-files`.
//!
//! The watch writes reports and calls the program, so it shares the program's descriptors. The
//! program may close these at any time. So the files of the system are read by a thread with
//! descriptors of its own.

use std::{
    ffi::CStr,
    mem,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
};

use crate::{
    alloc::{Background, own_threads},
    primitives::{Lock, Renew},
    resident::{self, Look, Usage},
};

/// The questions and answers of a thread that starts.
static STARTING: Lock<Option<Ends>> = Lock::new(None);

impl Renew for Option<Ends> {
    fn renew(&mut self) {
        mem::forget(self.take());
    }
}

struct Ends {
    questions: Receiver<()>,
    answers: SyncSender<Option<Usage>>,
}

/// The watch's end of the channels to the thread, which ends when this is dropped.
pub(super) struct Looks {
    questions: SyncSender<()>,
    answers: Receiver<Option<Usage>>,
}

impl Looks {
    /// Starts the thread. If the system refuses that, [`look`](Self::look) reads the files on the
    /// calling thread.
    pub(super) fn start() -> Self {
        let (questions, asked) = sync_channel(1);
        let (answering, answers) = sync_channel(1);
        *STARTING.lock() = Some(Ends { questions: asked, answers: answering });
        if own_threads::spawn::<Files>(0).is_err() {
            *STARTING.lock() = None;
        }
        Self { questions, answers }
    }

    /// Reads what counts against the nearest limit, as [`resident::look`] does.
    pub(super) fn look(&self) -> Option<Usage> {
        let answer = self.questions.send(()).ok().and_then(|()| self.answers.recv().ok());
        answer.unwrap_or_else(|| resident::look(Look::Quick))
    }
}

/// Whether there is a limit. The calling thread reads the files itself.
#[cfg(feature = "report-file")]
pub(super) fn is_limited() -> bool {
    resident::look(Look::Quick).is_some()
}

struct Files;

impl Background for Files {
    const NAME: &'static CStr = c"memscope-files";
    const STACK_BYTES: usize = 256 << 10;
    const SHARES_FILES: bool = false;

    fn run(_: u32) {
        let Some(ends) = STARTING.lock().take() else { return };
        while ends.questions.recv().is_ok() {
            if ends.answers.send(resident::look(Look::Quick)).is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_answers_with_and_without_the_thread() {
        let looks = Looks::start();
        let alone = Looks { questions: sync_channel(1).0, answers: sync_channel(1).1 };
        for looks in [&looks, &alone] {
            let (seen, now) = (looks.look(), resident::look(Look::Quick));
            assert_eq!(seen.map(|it| it.limit_bytes), now.map(|it| it.limit_bytes));
        }
    }
}
