//! Asks a program for its updates, on a thread of its own. It goes on asking when the program has
//! ended.

use std::{
    io::{BufReader, Read},
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use memscope_runtime::{
    __terminal::{said, visible_path},
    async_memory::HeapGraph,
};

use super::{report::Report, stream};
use crate::{commands::served, error::Error};

/// How soon a server is asked again, after the first failure and after more.
const RETRY: [Duration; 3] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(5)];
/// How long a server may take to begin its answer.
pub(super) const ANSWER: Duration = Duration::from_secs(10);
/// How long one stream is read. A new stream begins with a snapshot at once, so a dead connection
/// is noticed.
const STREAM: Duration = Duration::from_mins(1);
/// The most bytes of a whole answer.
const MOST_BYTES: u64 = 1 << 30;
/// The most bytes of an error.
const MOST_WHY: usize = 300;

/// What the thread receives from a program.
#[derive(Debug)]
pub(super) enum News {
    Report(Box<Report>),
    /// There is no connection, for this reason.
    Failed(String),
    Holders(Result<Box<HeapGraph>, String>),
}

/// The thread that asks.
#[derive(Debug)]
pub(super) struct Feed {
    pub(super) news: Receiver<News>,
    sender: SyncSender<News>,
    url: PathBuf,
    wanted: Arc<Wanted>,
    thread: JoinHandle<()>,
}

/// Tells the thread whether to ask.
#[derive(Debug, Default)]
struct Wanted {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct State {
    is_paused: bool,
    /// Counts the changes. An answer that was asked for before a change is out of date.
    number: u64,
}

impl Wanted {
    fn change(&self, is_paused: Option<bool>) {
        let mut state = self.now();
        state.is_paused = is_paused.unwrap_or(state.is_paused);
        state.number += 1;
        drop(state);
        self.changed.notify_all();
    }

    fn now(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while asking is paused.
    fn wait(&self) -> State {
        let state = self.changed.wait_while(self.now(), |it| it.is_paused);
        *state.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Feed {
    /// Starts to ask this address.
    ///
    /// # Errors
    ///
    /// Returns an error if the system cannot start a thread.
    pub(super) fn start(url: &str) -> Result<Self, Error> {
        // There is room for one answer that is drawn and one that has come meanwhile. More would be
        // out of date.
        let (sender, news) = sync_channel(2);
        let (url, wanted) = (PathBuf::from(url), Arc::<Wanted>::default());
        let (of_thread, to, while_) = (url.clone(), sender.clone(), Arc::clone(&wanted));
        let thread = spawn(move || ask(&of_thread, &to, &while_))?;
        Ok(Self { news, sender, url, wanted, thread })
    }

    /// Whether the thread has ended. Only a panic ends it.
    pub(super) fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Pauses asking, or goes on.
    pub(super) fn pause(&self, is_paused: bool) {
        self.wanted.change(Some(is_paused));
    }

    /// Drops answers that are on their way, and asks anew.
    pub(super) fn renew(&self) {
        self.wanted.change(None);
        while self.news.try_recv().is_ok() {}
    }

    /// Asks what holds the heap. The answer is among the news.
    pub(super) fn ask_holders(&self) -> Result<(), Error> {
        let (url, sender) = (self.url.clone(), self.sender.clone());
        spawn(move || {
            let graph = served::value(&url, "holders.json", "graph that `heap_graph()`");
            let graph = graph.map(Box::new).map_err(|error| said(&error, MOST_WHY));
            // An error means that the view has ended.
            let _ = sender.send(News::Holders(graph));
        })
        .map(drop)
    }
}

fn spawn(work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    let thread = thread::Builder::new().name("feed".to_owned()).spawn(work);
    thread.map_err(|why| Error::new(format!("the system starts no thread: {why}")))
}

/// Asks until the view ends.
fn ask(url: &Path, sender: &SyncSender<News>, wanted: &Wanted) {
    let mut failures = 0;
    loop {
        let state = wanted.wait();
        let (mut has_answered, mut is_shown) = (false, true);
        let mut take = |report: Report| {
            has_answered = true;
            if *wanted.now() != state {
                return false;
            }
            is_shown = sender.send(News::Report(Box::new(report))).is_ok();
            is_shown
        };
        let ended = follow(url, &mut take);
        failures = if has_answered { 0 } else { failures + 1 };
        if !is_shown {
            return;
        }
        if let Err(why) = ended
            && !wanted.now().is_paused
        {
            if sender.send(News::Failed(said(&why, MOST_WHY))).is_err() {
                return;
            }
            thread::sleep(RETRY[failures.clamp(1, RETRY.len()) - 1]);
        }
    }
}

/// Reads one stream of updates until `take` wants no more, or until its time is over.
fn follow(url: &Path, take: &mut impl FnMut(Report) -> bool) -> Result<(), Error> {
    let begun = Instant::now();
    let Some(body) = served::open(url, "events", ANSWER, STREAM)? else {
        return single(url, take);
    };
    if body.mime_type() != Some("text/event-stream") {
        return Err(Error::new(format!(
            "{} answers no stream of updates: it is no server of memscope",
            visible_path(url)
        )));
    }
    let mut stream = BufReader::new(body.into_reader());
    loop {
        match stream::next_event(&mut stream) {
            Ok(Some(text)) => {
                if !take(read(url, &text)?) {
                    return Ok(());
                }
            }
            _ if begun.elapsed() + ANSWER / 2 > STREAM => return Ok(()),
            Ok(None) => return Err(Error::new("The server has ended the stream.")),
            Err(why) => return Err(Error::new(format!("The stream broke off: {why}."))),
        }
    }
}

/// Reads a single snapshot, for a server that has no place for another stream.
fn single(url: &Path, take: &mut impl FnMut(Report) -> bool) -> Result<(), Error> {
    let body = served::open(url, "snapshot.json", ANSWER, STREAM)?;
    let body = body.ok_or_else(|| Error::new("The server has no place for another client."))?;
    let mut text = String::new();
    let read_ = body.into_reader().take(MOST_BYTES).read_to_string(&mut text);
    read_.map_err(|why| Error::new(format!("The answer broke off: {why}.")))?;
    take(read(url, &text)?);
    thread::sleep(RETRY[0]);
    Ok(())
}

fn read(url: &Path, text: &str) -> Result<Report, Error> {
    let why = |why: Error| Error::new(format!("{}: {why}", visible_path(url)));
    Report::read(text).map_err(why)
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        net::{Shutdown, TcpListener},
    };

    use super::*;
    use crate::top::fixture::{empty, shop};

    /// Long enough for a machine that is busy with other work.
    const LONG: Duration = Duration::from_mins(1);

    /// Starts a server that answers one connection after the other with these texts, and then no
    /// more.
    fn server(answers: Vec<String>) -> Feed {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    if stream.read(&mut byte).unwrap_or(0) == 0 {
                        break;
                    }
                    request.push(byte[0]);
                }
                // An error means that the client has closed the connection.
                let _ = stream.write_all(answer.as_bytes());
                let _ = stream.shutdown(Shutdown::Write);
            }
        });
        Feed::start(&url).unwrap()
    }

    fn answer(status: &str, kind: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n{body}")
    }

    fn events(body: &str) -> String {
        answer("200 OK", "text/event-stream", body)
    }

    fn next(feed: &Feed) -> Result<String, String> {
        match feed.news.recv_timeout(LONG).unwrap() {
            News::Report(report) => Ok(report.program()),
            News::Failed(why) => Err(why),
            News::Holders(_) => panic!("nothing asked for holders"),
        }
    }

    #[test]
    fn what_is_no_server_of_memscope_is_said() {
        for (bytes, why) in [
            (answer("200 OK", "text/html", "<html>"), "no server of memscope"),
            (answer("404 Not Found", "text/plain", "nothing\u{1b}[2J here"), "404"),
            (answer("401 Unauthorized", "text/plain", ""), "MEMSCOPE_SERVE_TOKEN"),
            ("SSH-2.0-OpenSSH_9.9\r\n".to_owned(), "does not answer"),
            (String::new(), "does not answer"),
            (events("data: {}\n\n"), "report"),
            (events("data: {\"memscope_format\":99}\n\n"), "99"),
            (events("data: \u{0}\u{1}\n\n"), "JSON"),
        ] {
            let said = next(&server(vec![bytes])).unwrap_err();
            assert!(said.contains(why), "{why}: {said}");
        }
    }

    #[test]
    fn a_stream_that_breaks_off_is_told_and_asked_for_again() {
        let event = format!("retry: 2000\n\nevent: snapshot\ndata: {}\n\n", shop());
        let half = &event[..event.len() / 2];
        let feed = server(vec![events(&event), events(half), events(&event)]);
        assert_eq!(next(&feed), Ok("shop".to_owned()));
        assert!(next(&feed).unwrap_err().contains("ended"));
        assert!(next(&feed).unwrap_err().contains("ended"), "half an update is none");
        assert_eq!(next(&feed), Ok("shop".to_owned()));
    }

    #[test]
    fn without_a_place_for_a_stream_single_snapshots_are_asked_for() {
        let full = || answer("503 Service Unavailable", "text/plain", "too many");
        let single = || answer("200 OK", "application/json", &empty().to_string());
        let feed = server(vec![full(), single(), full(), single()]);
        assert_eq!((next(&feed), next(&feed)), (Ok("shop".into()), Ok("shop".into())));
    }

    #[test]
    fn a_feed_that_was_paused_goes_on() {
        let event = format!("data: {}\n\n", shop());
        let feed = server(vec![events(&event), events(&event)]);
        assert!(next(&feed).is_ok());
        feed.pause(true);
        feed.renew();
        feed.pause(false);
        let mut last = next(&feed);
        while last.is_err() {
            last = next(&feed);
        }
        assert!(!feed.has_ended());
    }
}
