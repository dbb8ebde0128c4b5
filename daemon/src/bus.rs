//! The service `org.traceleft1` on the system bus, and the watch over units that goes with it.
//!
//! All of it runs on one thread beside the event loop, and shares no state with it: questions, orders and
//! what systemd says go to the loop through a [`Mailbox`], and [`Notice`]s come back. Auditing does not
//! depend on the bus: where the connection is lost, it is made again, and only the bus side waits.

mod error;
mod manager;
mod snapshot;
#[cfg(test)]
mod tests;
mod watch;
mod watches;

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::iter;
use std::thread;
use std::time::Duration;

use futures_channel::{mpsc, oneshot};
use futures_util::future::{Fuse, FusedFuture, FutureExt, LocalBoxFuture};
use futures_util::stream::StreamExt;
use futures_util::{pin_mut, select_biased};
use log::{info, warn};
use zbus::connection::Builder;
use zbus::fdo::{ObjectManager, RequestNameFlags};
use zbus::{Connection, ObjectServer};

use crate::control::{Mailbox, Notice, Request, Resolution, WatchId};
use crate::names;
use crate::systemd::{self, Change, Loaded};
use crate::unit_name::Target;
use manager::{Command, Manager};
use watch::{Watch, path_of};
use watches::{How, Question, Watches};

/// Watches after which the event loop is told that there is progress.
const PART: usize = systemd::NAMES_IN_A_CALL;

/// Longest wait for the answer to a call: as long as systemd may need to read its units again on a large
/// machine, when it answers nobody.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Wait before the first attempt to connect again; each further one is twice as long, up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(100);
/// Longest wait between attempts to connect.
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Runs the bus side until [`Notice::Stop`], or until the event loop is gone.
///
/// Posts [`Request::Fatal`] and ends if it cannot begin: without a bus, without the name, without systemd.
/// It may be waiting for an answer of the event loop, so the loop drops its end of the mailbox before it
/// joins this thread.
pub fn run(mailbox: Mailbox, notices: mpsc::UnboundedReceiver<Notice>) {
    zbus::block_on(Service::new(Builder::system, mailbox, notices).run());
}

/// Why the service could not begin on a connection.
#[derive(Debug)]
enum Trouble {
    Connect(zbus::Error),
    NoSystemd,
    Name(zbus::Error),
    Bus(zbus::Error),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = names::BUS_NAME;
        match self {
            Self::Connect(e) => write!(
                f,
                "cannot connect to the system bus: {e}; traceleftd finds units there: start it with \
                 \"systemctl start dbus.socket\""
            ),
            Self::NoSystemd => write!(
                f,
                "systemd is not on the system bus ({} has no owner); traceleftd audits units of systemd: \
                 run it on a machine that systemd manages, as root",
                systemd::BUS_NAME
            ),
            Self::Name(zbus::Error::NameTaken) => write!(
                f,
                "cannot take the name {name} on the system bus: another process has it; \
                 \"busctl status {name}\" shows which: stop it first"
            ),
            Self::Name(e) => write!(
                f,
                "cannot take the name {name} on the system bus: {e}; only root may: run as root, with \
                 {name}.conf in /usr/share/dbus-1/system.d"
            ),
            Self::Bus(e) => write!(f, "cannot serve {name} on the system bus: {e}"),
        }
    }
}

impl From<zbus::Error> for Trouble {
    fn from(error: zbus::Error) -> Self {
        Self::Bus(error)
    }
}

/// What outlives a connection.
struct Service<F> {
    /// Where to connect to.
    builder: F,
    mailbox: Mailbox,
    notices: mpsc::UnboundedReceiver<Notice>,
    /// For the objects to tell what calls have changed.
    commander: mpsc::UnboundedSender<Command>,
    commands: mpsc::UnboundedReceiver<Command>,
    watches: Watches,
    /// Watches that are objects on this connection.
    served: BTreeSet<WatchId>,
    /// The event loop waits for the self-test.
    self_test: SelfTest,
    /// The event loop was told to stop and waits to hear why.
    asked_why: bool,
    /// The daemon stops.
    stopping: bool,
}

/// Where the self-test stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SelfTest {
    Unasked,
    Asked,
    Started,
}

impl<F: Fn() -> Builder<'static>> Service<F> {
    fn new(builder: F, mailbox: Mailbox, notices: mpsc::UnboundedReceiver<Notice>) -> Self {
        let (commander, commands) = mpsc::unbounded();
        Self {
            builder,
            mailbox,
            notices,
            commander,
            commands,
            watches: Watches::default(),
            served: BTreeSet::new(),
            self_test: SelfTest::Unasked,
            asked_why: false,
            stopping: false,
        }
    }

    async fn run(mut self) {
        let mut begun = false;
        let mut delay = RETRY_MIN;
        let mut said = String::new();
        loop {
            let ended = match self.begin(!begun).await {
                Ok(connection) => {
                    if begun {
                        info!("connected to the system bus again");
                    }
                    (begun, delay) = (true, RETRY_MIN);
                    said.clear();
                    self.work(&connection).await.map_err(Trouble::Bus)
                }
                Err(trouble) if !begun => {
                    self.mailbox.post(Request::Fatal(trouble.to_string()));
                    return;
                }
                Err(trouble) => Err(trouble),
            };
            if self.stopping {
                return;
            }
            match ended {
                Ok(()) => warn!("lost the connection to the system bus; auditing goes on, connecting again"),
                Err(trouble) => {
                    let text = trouble.to_string();
                    if text != said {
                        warn!("{text}; auditing goes on, trying again");
                        said = text;
                    }
                }
            }
            self.pause(delay).await;
            if self.stopping {
                return;
            }
            delay = (delay * 2).min(RETRY_MAX);
        }
    }

    /// Connects, makes the objects, and only then takes the name, so that who finds it finds them.
    async fn begin(&mut self, first: bool) -> Result<Connection, Trouble> {
        let connection =
            (self.builder)().method_timeout(CALL_TIMEOUT).build().await.map_err(Trouble::Connect)?;
        // Later, systemd may come back to a new bus after us.
        if first && !systemd::is_present(&connection).await? {
            return Err(Trouble::NoSystemd);
        }
        let server = connection.object_server();
        server.at(names::MANAGER_PATH, ObjectManager).await?;
        server.at(names::MANAGER_PATH, Manager::new(self.mailbox.clone(), self.commander.clone())).await?;
        while let Ok(notice) = self.notices.try_recv() {
            self.heed(Some(notice));
        }
        self.watches.restart();
        self.served.clear();
        self.follow(server).await?;
        connection
            .request_name_with_flags(names::BUS_NAME, RequestNameFlags::DO_NOT_QUEUE)
            .await
            .map_err(Trouble::Name)?;
        Ok(connection)
    }

    /// Works on a connection until it is lost, or the daemon stops.
    async fn work(&mut self, connection: &Connection) -> zbus::Result<()> {
        let (sender, changes) = mpsc::unbounded();
        let closed = connection.closed().fuse();
        let listen = systemd::listen(connection, &sender).fuse();
        let serve = self.serve(connection, changes).fuse();
        pin_mut!(closed, listen, serve);
        // Listening has its own place: signals are read whatever the other side waits for.
        select_biased! {
            () = closed => Ok(()),
            heard = listen => heard,
            served = serve => served,
        }
    }

    async fn serve(
        &mut self,
        connection: &Connection,
        mut changes: mpsc::UnboundedReceiver<Change>,
    ) -> zbus::Result<()> {
        let mut listening = false;
        let mut asking: Fuse<LocalBoxFuture<'_, Answers>> = Fuse::terminated();
        while !self.stopping {
            // Not before the signals come: a change between answer and subscription would be missed.
            if listening
                && asking.is_terminated()
                && let Some(questions) = self.watches.take_questions()
            {
                let mailbox = self.mailbox.clone();
                let answering = self.watches.is_answering();
                let progress = move || {
                    if answering {
                        mailbox.post(Request::Progress);
                    }
                };
                asking = ask(connection, questions, progress).boxed_local().fuse();
            }
            if std::mem::take(&mut self.asked_why) {
                // Without an answer nothing is said: then the event loop leaves all for another daemon.
                if let Ok(restart) = systemd::is_restarting(connection).await {
                    self.mailbox.post(Request::Stopped { restart });
                }
            }
            if listening && self.self_test == SelfTest::Asked {
                self.start_self_test(connection).await;
            }
            // Notices first: the event loop sent those that wait now before the answer that a command
            // comes from, so the command is the newer.
            select_biased! {
                notice = self.notices.next() => {
                    self.heed(notice);
                    self.follow(connection.object_server()).await?;
                }
                command = self.commands.select_next_some() => {
                    self.obey(command, connection.object_server()).await?;
                }
                change = changes.select_next_some() => {
                    listening = true;
                    // One burst, one batch.
                    let burst: HashSet<_> =
                        iter::once(change).chain(iter::from_fn(|| changes.try_recv().ok())).collect();
                    for change in &burst {
                        self.watches.outdate(change);
                        if let Change::SelfTested(result) = change {
                            self.self_test_ended(result);
                        }
                    }
                }
                answers = asking => self.tell(answers),
            }
        }
        connection.release_name(names::BUS_NAME).await?;
        connection.clone().close().await
    }

    async fn start_self_test(&mut self, connection: &Connection) {
        self.self_test = SelfTest::Started;
        if let Err(error) = systemd::start_self_test(connection).await {
            self.self_test = SelfTest::Unasked;
            self.mailbox.post(Request::SelfTested(Err(error.to_string())));
        }
    }

    fn self_test_ended(&mut self, result: &str) {
        if self.self_test == SelfTest::Started {
            self.self_test = SelfTest::Unasked;
            let ended = if result == "done" { Ok(()) } else { Err(format!("its job is {result}")) };
            self.mailbox.post(Request::SelfTested(ended));
        }
    }

    /// Waits between attempts to connect, and heeds notices meanwhile.
    async fn pause(&mut self, delay: Duration) {
        let sleep = sleep(delay).fuse();
        pin_mut!(sleep);
        while !self.stopping {
            select_biased! {
                notice = self.notices.next() => self.heed(notice),
                () = sleep => return,
            }
        }
    }

    /// Takes in what the event loop says; `None` says that it has ended.
    fn heed(&mut self, notice: Option<Notice>) {
        match notice {
            Some(Notice::Resolve(list)) => self.watches.replace(list),
            Some(Notice::SelfTest) => self.self_test = SelfTest::Asked,
            Some(Notice::WhyStop) => self.asked_why = true,
            Some(Notice::Stop) | None => self.stopping = true,
        }
    }

    /// Follows a change that a call has made.
    async fn obey(&mut self, command: Command, server: &ObjectServer) -> zbus::Result<()> {
        let done = match command {
            Command::Added { id, target, resolution, done } => {
                self.watches.insert(id, target, resolution);
                done
            }
            Command::Removed { id, done } => {
                self.watches.remove(id);
                done
            }
        };
        self.follow(server).await?;
        // Nobody waits if the caller is gone.
        let _ = done.send(());
        Ok(())
    }

    /// Makes the objects on the bus equal to the watches.
    async fn follow(&mut self, server: &ObjectServer) -> zbus::Result<()> {
        let wanted = self.watches.ids();
        for &id in self.served.difference(&wanted) {
            server.remove::<Watch, _>(path_of(id)).await?;
        }
        for (n, &id) in wanted.difference(&self.served).enumerate() {
            Watch::new(id, self.mailbox.clone()).serve(server).await?;
            if (n + 1) % PART == 0 {
                self.mailbox.post(Request::Progress);
            }
        }
        self.served = wanted;
        Ok(())
    }

    /// Tells the event loop what systemd answered.
    fn tell(&mut self, answers: Answers) {
        let asked = answers.len();
        let mut failures = 0;
        let answers = answers.into_iter().map(|(id, target, answer)| match answer {
            Ok(resolution) => (id, Some(resolution)),
            Err(error) => {
                failures += 1;
                if failures == 1 {
                    warn!(
                        "cannot ask systemd for the control group of {target}: {error}; \
                           what was known of it stays in force"
                    );
                }
                (id, None)
            }
        });
        let answers = answers.collect();
        if failures > 1 {
            warn!("so it is with {failures} of {asked} watches");
        }
        let news = self.watches.take_answers(answers);
        self.mailbox.post(Request::Resolved(news));
    }
}

/// The answers to a batch of questions.
type Answers = Vec<(WatchId, Target, zbus::Result<Resolution>)>;

/// Asks systemd, and says after each part that it is done.
async fn ask(connection: &Connection, questions: Vec<Question>, progress: impl Fn()) -> Answers {
    let (mut units, mut others): (Vec<_>, Vec<_>) = questions.into_iter().partition(|q| !q.target.is_many());
    if units.len() < systemd::MANY {
        others.append(&mut units);
    }
    let mut answers = Vec::new();
    for part in others.chunks(PART) {
        let given = systemd::in_parallel(part.iter().map(|q| ask_one(connection, q))).await;
        answers.extend(together(part, given));
        progress();
    }
    if units.is_empty() {
        return answers;
    }
    let loaded = systemd::loaded(connection).await;
    let (new, known): (Vec<_>, Vec<_>) = units.into_iter().partition(|q| q.how == How::Resolve);
    for part in new.chunks(PART).chain(known.chunks(PART)) {
        let given = match &loaded {
            Ok(loaded) => ask_many(connection, loaded, part).await,
            Err(error) => Err(error.clone()),
        };
        answers.extend(together(part, given.unwrap_or_else(|error| vec![Err(error); part.len()])));
        progress();
    }
    answers
}

fn together(questions: &[Question], answers: Vec<zbus::Result<Resolution>>) -> Answers {
    iter::zip(questions, answers).map(|(q, answer)| (q.id, q.target.clone(), answer)).collect()
}

/// Asks about units, of all in the same way.
async fn ask_many(
    connection: &Connection,
    loaded: &Loaded,
    questions: &[Question],
) -> zbus::Result<Vec<zbus::Result<Resolution>>> {
    if questions.iter().all(|q| q.how == How::Resolve) {
        let targets: Vec<_> = questions.iter().map(|q| &q.target).collect();
        return systemd::resolve_units(connection, loaded, &targets).await;
    }
    let refresh = questions.iter().map(|q| systemd::refresh_unit(connection, loaded, &q.known.id));
    Ok(systemd::in_parallel(refresh).await)
}

async fn ask_one(connection: &Connection, question: &Question) -> zbus::Result<Resolution> {
    let Question { id: _, target, known, how } = question;
    match how {
        How::Units(units) => systemd::refresh_units(connection, known.clone(), units).await,
        How::Refresh => systemd::refresh(connection, target, &known.id).await,
        How::Resolve => systemd::resolve(connection, target).await,
    }
}

/// Sleeps. zbus offers no timer of its runtime, and this is needed only where there is no bus.
async fn sleep(duration: Duration) {
    let (wake, woken) = oneshot::channel::<()>();
    let sleeper = thread::Builder::new().name("bus-retry".to_owned()).spawn(move || {
        thread::sleep(duration);
        drop(wake);
    });
    if sleeper.is_err() {
        thread::sleep(duration);
    }
    // Cancelled: time is up.
    let _ = woken.await;
}
