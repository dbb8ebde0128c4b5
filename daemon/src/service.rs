//! The event loop: everything that the daemon does after its beginning, on one thread.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use futures_channel::mpsc::UnboundedSender;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::EventFd;
use nix::time::{ClockId, clock_gettime};
use sd_notify::NotifyState;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::auditor::Auditor;
use crate::confirm::{self, Numbers};
use crate::control::{self, Coverage, Origin, Refusal, Reply, Request};
use crate::event::EventSet;
use crate::journal;
use crate::ledger::Untold;
use crate::memory::{self, Memory};
use crate::notice::{CallerDetails, Notice};
use crate::policy;
use crate::pump::{Progress, Pump, RUN_TIME};

/// How often the ledger is looked at for losses while records come.
const LEDGER_INTERVAL: Duration = Duration::from_secs(1);
/// Batches sent before other work has its turn.
const BATCHES_IN_A_ROW: usize = 16;
/// How long the end waits for journald to take what is in the ring.
const DRAIN_TIME: Duration = Duration::from_secs(10);
/// How long the daemon waits to be told why it is to stop. If it is not, another may go on.
const REASON_TIME: Duration = Duration::from_secs(2);
/// How long the end waits for the bus side.
const BUS_END: Duration = Duration::from_secs(1);
/// Wait before journald's socket is tried again.
const JOURNAL_RETRY: Duration = Duration::from_millis(100);

/// How long one step may take of what takes long, in µs. The watchdog is put off as far, too, so it is no longer than
/// what the unit has for that.
const STEP_TIME: u32 = 30_000_000;

/// How long the self-test may take; its unit has a limit of its own, which is shorter.
const SELF_TEST_TIME: Duration = Duration::from_secs(30);

/// What woke the loop; the data of its epoll events.
const RECORDS: u64 = 0;
const OTHERS: u64 = 1;

/// How the reader of the ring waits.
///
/// Waking it for every record would cost more than the record. So while records come it looks every flush
/// interval; when none came in two of them it asks to be woken and waits. The interval between asking and
/// waiting is for a program that was just sending and had not seen the question yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    Looking,
    Closing,
    Asleep,
}

/// Why the daemon ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It was told to.
    Stopped,
    /// It could not go on.
    Failed(String),
    /// The machine lacks what it needs.
    Lacking(String),
    /// It was told to, for another to go on.
    Restarted,
}

/// The parts of the loop.
#[derive(Debug)]
pub struct Service {
    /// What is watched.
    pub auditor: Auditor,
    /// The way into the journal.
    pub pump: Pump,
    /// What the bus side asks.
    pub requests: Receiver<Request>,
    /// Readable when a request waits.
    pub wake: Arc<EventFd>,
    /// What the bus side is told.
    pub notices: UnboundedSender<control::Notice>,
    /// Disconnected when the bus side has ended.
    pub bus_ended: Receiver<()>,
    /// Readable when a signal came: its number is in it.
    pub signals: UnixStream,
    /// The root directory.
    pub root: PathBuf,
    /// The longest time that a record waits in the ring.
    pub flush_interval: Duration,
    /// What the next daemon is to find.
    pub memory: Rc<Memory>,
}

/// Somebody waits for the journal to have what was in the ring when they asked, and what was lost by then.
#[derive(Debug)]
struct Flush {
    position: u64,
    told_losses: bool,
    reply: Reply<()>,
}

/// The self-test under way.
#[derive(Debug)]
struct SelfTest {
    begun: Instant,
    /// How it ended, and where the ring stood then.
    ended: Option<(Result<(), String>, u64)>,
}

/// What the loop remembers from turn to turn.
#[derive(Debug)]
struct Turn {
    reader: Reader,
    blocked: bool,
    ready: bool,
    self_test: Option<SelfTest>,
    stop: Option<End>,
    /// When it was told to stop.
    told_to_stop: Option<Instant>,
    flushes: Vec<Flush>,
    reloads: Vec<Reply<Result<(), Refusal>>>,
    ledger_read: Instant,
    /// It is being looked whether journald has written what it took.
    confirming: Option<Receiver<(u64, io::Result<HashSet<u64>>)>>,
    /// What was said last of why that cannot be seen.
    unconfirmed: String,
}

impl Service {
    /// Runs until it is told to stop, or cannot go on. Leaves no probe behind, unless another is to go on.
    pub fn run(mut self) -> End {
        let mut turn = Turn {
            reader: Reader::Looking,
            blocked: false,
            ready: false,
            self_test: None,
            stop: None,
            told_to_stop: None,
            flushes: Vec::new(),
            reloads: Vec::new(),
            ledger_read: Instant::now(),
            confirming: None,
            unconfirmed: String::new(),
        };
        if self.memory.get(memory::LOOKED_AT) == 0 {
            self.memory.set(memory::LOOKED_AT, boot_time());
        }
        for change in self.auditor.untold_changes() {
            self.pump.tell(Notice::Watch(change, Numbers::default()));
        }
        let end = self.turns(&mut turn);
        self.pump.set_at_work(false);
        match &end {
            // systemd starts no other: what it would find must not stay.
            End::Stopped | End::Lacking(_) => self.finish(&mut turn),
            End::Restarted | End::Failed(_) => self.hand_over(),
        }
        self.end_bus();
        end
    }

    fn turns(&mut self, turn: &mut Turn) -> End {
        let watchdog = sd_notify::watchdog_enabled().map(|d| d / 2);
        let epoll = match self.epoll() {
            Ok(epoll) => epoll,
            Err(error) => return End::Failed(format!("cannot wait for events: {error}")),
        };
        let mut fed = Instant::now();
        self.resolve();
        loop {
            // But for what it is asked to do, the loop does nothing but have records in the journal.
            self.pump.set_at_work(true);
            if watchdog.is_some_and(|w| fed.elapsed() >= w / 2) {
                notify(&[NotifyState::Watchdog]);
                fed = Instant::now();
            }
            let timeout = match turn.reader {
                _ if turn.blocked => Some(self.flush_interval.max(JOURNAL_RETRY)),
                Reader::Looking | Reader::Closing => Some(self.flush_interval),
                Reader::Asleep => None,
            };
            let waiting = turn.self_test.is_some() || turn.told_to_stop.is_some();
            let waiting = waiting.then_some(self.flush_interval);
            let timeout = [timeout, watchdog.map(|w| w / 2), waiting].into_iter().flatten().min();
            let timeout = timeout
                .map_or(EpollTimeout::NONE, |t| EpollTimeout::try_from(t).unwrap_or(EpollTimeout::NONE));
            let mut events = [EpollEvent::empty(); 8];
            if let Err(error) = epoll.wait(&mut events, timeout)
                && error != nix::errno::Errno::EINTR
            {
                return End::Failed(format!("cannot wait for events: {error}"));
            }
            self.handle_signals(turn);
            self.handle_requests(turn);
            self.pump.set_at_work(true);
            self.send_records(turn, &epoll);
            self.confirm(turn);
            self.answer_flushes(turn, &epoll);
            self.look_at_self_test(turn);
            if turn.told_to_stop.is_some_and(|told| told.elapsed() >= REASON_TIME) {
                turn.stop.get_or_insert(End::Restarted);
            }
            if let Some(end) = turn.stop.take() {
                return end;
            }
        }
    }

    fn epoll(&self) -> nix::Result<Epoll> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let [records, groups] = self.auditor.ring_descriptors();
        // Edge: the descriptor is readable whenever a record is in the ring, but the loop is to be woken only
        // when the kernel side says so.
        epoll.add(records, EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, RECORDS))?;
        // News of groups stays in its ring for a while after it has been read.
        epoll.add(groups, EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, OTHERS))?;
        let others: [BorrowedFd<'_>; 2] = [self.wake.as_fd(), self.signals.as_fd()];
        for fd in others {
            epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, OTHERS))?;
        }
        Ok(epoll)
    }

    /// Asks the bus side to serve and resolve all watches.
    fn resolve(&self) {
        let list = self.auditor.public_watches().map(|(id, w)| (*id, w.target.clone())).collect();
        // The bus side ends only after the loop.
        let _ = self.notices.unbounded_send(control::Notice::Resolve(list));
    }

    fn handle_signals(&mut self, turn: &mut Turn) {
        use std::io::Read;
        let mut numbers = [0; 16];
        while let Ok(n @ 1..) = self.signals.read(&mut numbers) {
            self.pump.set_at_work(false);
            for number in &numbers[..n] {
                match i32::from(*number) {
                    SIGHUP => {
                        if let Err(refusal) = self.reload() {
                            log::error!("Policies were not reloaded, those in force stay:\n{refusal}");
                        }
                    }
                    SIGTERM | SIGINT if turn.told_to_stop.is_none() => {
                        turn.told_to_stop = Some(Instant::now());
                        let _ = self.notices.unbounded_send(control::Notice::WhyStop);
                    }
                    _ => {}
                }
            }
        }
    }

    /// Reads the policies again; one mistake, and nothing changes.
    fn reload(&mut self) -> Result<(), Refusal> {
        let (policies, problems) = policy::load(&self.root);
        if !problems.is_empty() {
            let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
            return Err(Refusal::InvalidPolicy(lines.join("\n")));
        }
        self.auditor.set_policies(&policies)?;
        self.auditor.forget_unwatched(self.pump.produced());
        self.resolve();
        self.tell_status();
        log::info!("Policies reloaded: {}.", self.summary());
        Ok(())
    }

    fn summary(&self) -> String {
        let count = |n: usize, one: &str, many: &str| format!("{n} {}", if n == 1 { one } else { many });
        let watches = count(self.auditor.public_watches().count(), "watch", "watches");
        format!("{watches}, {}", count(self.auditor.probe_count(), "probe", "probes"))
    }

    fn tell_status(&mut self) {
        if let Some(lack) = self.auditor.untold_lack() {
            log::warn!("{lack}");
        }
        notify(&[NotifyState::Status(&format!("Auditing: {}", self.summary()))]);
    }

    fn handle_requests(&mut self, turn: &mut Turn) {
        let _ = self.wake.read();
        loop {
            match self.requests.try_recv() {
                Ok(request) => self.handle_request(request, turn),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => {
                    turn.stop.get_or_insert(End::Failed("the bus side has ended".to_owned()));
                    return;
                }
            }
        }
    }

    // An answer that nobody waits for any more is no error: the caller has gone.
    fn handle_request(&mut self, request: Request, turn: &mut Turn) {
        self.pump.set_at_work(false);
        match request {
            Request::AddWatch { target, events, resolution, caller, reply } => {
                let caller = CallerDetails::of(&self.root, caller);
                let added = self.auditor.add(target, events, resolution, caller);
                self.tell_change(added.is_ok());
                let _ = reply.send(added);
            }
            Request::RemoveWatch { id, caller, reply } => {
                let caller = CallerDetails::of(&self.root, caller);
                let removed = self.auditor.remove(id, caller);
                self.auditor.forget_unwatched(self.pump.produced());
                self.tell_change(removed.is_ok());
                let _ = reply.send(removed);
            }
            Request::Reload { reply } => match self.reload() {
                // Answered when systemd has been asked about what is new.
                Ok(()) => turn.reloads.push(reply),
                Err(refusal) => {
                    log::error!("Policies were not reloaded, those in force stay:\n{refusal}");
                    let _ = reply.send(Err(refusal));
                }
            },
            Request::Flush { reply } => {
                turn.flushes.push(Flush { position: self.pump.produced(), told_losses: false, reply });
            }
            Request::Status { reply } => {
                let _ = reply.send(self.auditor.status());
            }
            Request::Watch { id, reply } => {
                let _ = reply.send(self.auditor.watch_status(id));
            }
            Request::Progress => at_work(),
            Request::Resolved(resolutions) => self.take_resolutions(resolutions, turn),
            Request::Stopped { restart } => {
                turn.stop.get_or_insert(if restart { End::Restarted } else { End::Stopped });
            }
            Request::SelfTested(result) => {
                if let Some(test) = &mut turn.self_test {
                    test.ended = Some((result, self.pump.produced()));
                }
            }
            Request::Fatal(message) => turn.stop = Some(End::Lacking(message)),
        }
    }

    fn take_resolutions(
        &mut self,
        resolutions: Vec<(control::WatchId, control::Resolution)>,
        turn: &mut Turn,
    ) {
        let resolved: HashSet<_> = resolutions.iter().map(|(id, _)| *id).collect();
        let all = self.auditor.public_watches().all(|(id, _)| resolved.contains(id));
        if let Err(refusal) = self.auditor.resolved(resolutions) {
            log::error!("Some units are not watched: {refusal}");
        }
        if all {
            for reply in turn.reloads.drain(..) {
                let _ = reply.send(Ok(()));
            }
            if !turn.ready && turn.self_test.is_none() {
                self.begin_self_test(turn);
            }
            self.tell_status();
        }
    }

    /// Has each event done once that a watch asks for; ready when they have come.
    fn begin_self_test(&mut self, turn: &mut Turn) {
        match self.auditor.begin_self_test() {
            Ok(true) => {
                turn.self_test = Some(SelfTest { begun: Instant::now(), ended: None });
                let _ = self.notices.unbounded_send(control::Notice::SelfTest);
            }
            Ok(false) => self.ready(turn),
            Err(refusal) => {
                log::warn!("The self-test could not be run: {refusal}");
                self.ready(turn);
            }
        }
    }

    fn look_at_self_test(&mut self, turn: &mut Turn) {
        let consumed = self.pump.consumed();
        let Some(SelfTest { begun, ended }) = &mut turn.self_test else { return };
        let result = match ended.take() {
            Some((result, position)) if consumed >= position => result,
            None if begun.elapsed() > SELF_TEST_TIME => Err("it did not end".to_owned()),
            other => {
                *ended = other;
                return;
            }
        };
        turn.self_test = None;
        self.pump.set_at_work(false);
        if let Err(refusal) = self.auditor.end_self_test(self.pump.tested(), &result) {
            log::error!("The self-test's watch could not be removed: {refusal}");
        }
        self.auditor.forget_unwatched(self.pump.produced());
        self.tell_coverage();
        self.ready(turn);
    }

    /// Says what of the watched events cannot be recorded, or was not when it was tried.
    fn tell_coverage(&self) {
        let events =
            self.auditor.public_watches().fold(EventSet::default(), |all, (_, w)| all.union(w.events));
        for Coverage { event, state, detail } in events.iter().map(|e| self.auditor.coverage(e)) {
            match state {
                "complete" => {}
                "partial" => log::info!("{event} is recorded in part: {detail}."),
                _ => log::warn!("{event} is {state}: {detail}."),
            }
        }
    }

    fn ready(&self, turn: &mut Turn) {
        turn.ready = true;
        notify(&[NotifyState::Ready]);
        log::info!("Auditing: {}.", self.summary());
    }

    /// Tells of the last change of the watches, if there was one.
    fn tell_change(&mut self, changed: bool) {
        if changed {
            if let Some(last) = self.auditor.untold_changes().pop() {
                self.pump.tell(Notice::Watch(last, Numbers::default()));
            }
            self.tell_status();
        }
    }

    /// Sends what is in the ring, and decides how to wait for more.
    fn send_records(&mut self, turn: &mut Turn, epoll: &Epoll) {
        let mut any = false;
        turn.blocked = false;
        for refusal in self.pump.read_group_news(&mut self.auditor) {
            log::error!("{refusal}");
        }
        for _ in 0..BATCHES_IN_A_ROW {
            match self.pump.run(&mut self.auditor) {
                Progress::Idle => break,
                Progress::Sent => any = true,
                Progress::Blocked => {
                    turn.blocked = true;
                    // Told once when journald takes more; the retry of the loop is there for a socket that is gone.
                    let event = EpollEvent::new(EpollFlags::EPOLLOUT | EpollFlags::EPOLLONESHOT, OTHERS);
                    let mut again = event;
                    let added = epoll.add(self.pump.socket(), event);
                    if added == Err(nix::errno::Errno::EEXIST) {
                        let _ = epoll.modify(self.pump.socket(), &mut again);
                    }
                    break;
                }
                Progress::Away => {
                    turn.blocked = true;
                    // Tried again every time until journald is back; the ring holds the records, the kernel
                    // counts what it has no room for.
                    let _ = self.pump.reconnect();
                    break;
                }
            }
            for refusal in self.pump.read_group_news(&mut self.auditor) {
                log::error!("{refusal}");
            }
        }
        if turn.ledger_read.elapsed() >= LEDGER_INTERVAL && (any || turn.reader != Reader::Asleep) {
            self.tell_losses(turn);
            self.pump.confirmation.look();
        }
        turn.reader = match turn.reader {
            _ if any || turn.blocked => Reader::Looking,
            Reader::Looking => {
                self.tell_losses(turn);
                self.pump.confirmation.look();
                Reader::Closing
            }
            Reader::Closing | Reader::Asleep if !self.pump.is_sleeping() => Reader::Looking,
            Reader::Closing | Reader::Asleep => Reader::Asleep,
        };
        self.pump.set_sleeping(turn.reader != Reader::Looking);
    }

    /// Where journald may have lost what it took, looks for that in the journal: on another thread, since journald may
    /// take its time. What is missing is lost, and told of.
    fn confirm(&mut self, turn: &mut Turn) {
        let answer = match &turn.confirming {
            Some(receiver) => match receiver.try_recv() {
                Ok(answer) => answer,
                Err(_) => return,
            },
            None if self.pump.confirmation.is_suspicious() && !turn.blocked => {
                let asked = self.memory.get(memory::SEQ);
                let (sender, receiver) = mpsc::channel();
                let wake = Arc::clone(&self.wake);
                let count = self.pump.confirmation.ask();
                thread::spawn(move || {
                    // Nobody waits for it any more: the daemon ends.
                    let _ = sender.send((asked, confirm::written(count)));
                    let _ = wake.write(1);
                });
                turn.confirming = Some(receiver);
                return;
            }
            None => return,
        };
        // First what is told of already, so that each loss is told of once.
        if self.pump.has_losses() {
            let (sender, receiver) = mpsc::channel();
            let _ = sender.send(answer);
            turn.confirming = Some(receiver);
            return;
        }
        turn.confirming = None;
        match answer {
            (asked, Ok(found)) => {
                turn.unconfirmed.clear();
                self.take_confirmation(asked, &found);
            }
            (_, Err(error)) => {
                self.pump.confirmation.ask_again();
                let why = error.to_string();
                if why != turn.unconfirmed {
                    log::warn!(
                        "Whether journald has written what it took cannot be seen: {why}. Trying again."
                    );
                    turn.unconfirmed = why;
                }
            }
        }
    }

    fn take_confirmation(&mut self, asked: u64, found: &HashSet<u64>) {
        let missing = self.pump.confirmation.confirm(asked, found);
        let span = (self.memory.get(memory::LOOKED_AT), boot_time());
        let records: u64 = missing.events.values().map(Numbers::count).sum();
        if records != 0 {
            log::warn!("journald has taken {records} records and not written them: they are lost.");
        }
        for (untold, numbers) in self.auditor.withdraw(&missing) {
            self.tell_lost(untold, numbers, span);
        }
        for (notice, first, last) in missing.notices {
            if let Notice::Watch(change, mut numbers) = notice {
                numbers.add(first, last);
                self.pump.tell(Notice::Watch(change, numbers));
            }
        }
    }

    fn tell_lost(&mut self, untold: Untold, numbers: Numbers, span: (u64, u64)) {
        let mut units = Vec::new();
        let mut policies = Vec::new();
        let set = self.auditor.ledger.set(untold.target).iter();
        for watch in set.filter_map(|id| self.auditor.watches().get(id)) {
            let policy = match &watch.origin {
                _ if !watch.events.contains(untold.event) => continue,
                Origin::Policy(name) => name.clone(),
                Origin::RunTime => RUN_TIME.to_owned(),
                Origin::SelfTest => continue,
            };
            units.push(watch.name());
            policies.push(policy);
        }
        units.dedup();
        policies.dedup();
        let unit = if let [unit] = units.as_slice() { unit.clone() } else { String::new() };
        self.pump.tell(Notice::Lost { untold, numbers, unit, policies, span });
    }

    /// Records of what has been lost since the last look.
    fn tell_losses(&mut self, turn: &mut Turn) {
        turn.ledger_read = Instant::now();
        // They count as told when journald has them.
        if self.pump.has_losses() {
            return;
        }
        let now = boot_time();
        let span = (self.memory.get(memory::LOOKED_AT), now);
        for untold in self.auditor.untold() {
            self.tell_lost(untold, Numbers::default(), span);
        }
        self.memory.set(memory::LOOKED_AT, now);
    }

    /// Answers those that wait for the journal to have what was in the ring when they asked.
    fn answer_flushes(&mut self, turn: &mut Turn, epoll: &Epoll) {
        let consumed = self.pump.consumed();
        let ready = turn.flushes.iter().any(|f| f.position <= consumed && !f.told_losses);
        // Not before it is known what of that is in the journal.
        if ready && (self.pump.confirmation.look() || turn.confirming.is_some()) {
            return;
        }
        if ready {
            self.tell_losses(turn);
            for flush in turn.flushes.iter_mut().filter(|f| f.position <= consumed) {
                flush.told_losses = true;
            }
            self.send_records(turn, epoll);
        }
        if self.pump.has_notices() || !turn.flushes.iter().any(|f| f.told_losses) {
            return;
        }
        let (done, waiting): (Vec<_>, Vec<_>) = turn.flushes.drain(..).partition(|f| f.told_losses);
        turn.flushes = waiting;
        // journald may take its time, or be stopped: nobody else waits for that.
        thread::spawn(move || {
            if let Err(error) = journal::synchronize() {
                log::warn!("journald did not confirm that it wrote what it was sent: {error}");
            }
            for flush in done {
                let _ = flush.reply.send(());
            }
        });
    }

    /// Ends auditing, then sends what is left.
    fn finish(&mut self, turn: &mut Turn) {
        notify(&[NotifyState::Stopping]);
        if let Err(error) = self.auditor.stop() {
            log::error!("Probes may be left in the kernel: {error}");
        }
        let begin = Instant::now();
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC);
        while let Ok(epoll) = &epoll
            && begin.elapsed() < DRAIN_TIME
        {
            self.send_records(turn, epoll);
            if self.pump.is_drained() {
                self.tell_losses(turn);
                if self.pump.is_drained() {
                    break;
                }
            } else if turn.blocked {
                let _ = epoll.wait(&mut [EpollEvent::empty()], EpollTimeout::from(100u8));
            }
        }
        if !self.pump.is_drained() {
            log::error!(
                "journald did not take the last records in {} s: they are lost.",
                DRAIN_TIME.as_secs()
            );
        }
    }

    /// Leaves everything as it is, for the next daemon to go on with.
    fn hand_over(&mut self) {
        notify(&[NotifyState::Stopping]);
        if let Err(refusal) = self.auditor.hand_over() {
            log::error!("The next daemon will have to begin anew: {refusal}");
        }
    }

    fn end_bus(&mut self) {
        let _ = self.notices.unbounded_send(control::Notice::Stop);
        // The bus side may be waiting for an answer; a frozen bus does not hold up the end.
        while let Ok(request) = self.requests.try_recv() {
            drop(request);
        }
        let _ = self.bus_ended.recv_timeout(BUS_END);
    }
}

/// Tells the service manager that the loop is at work: between the steps of what takes long, as probes do, for which
/// the kernel waits each time. A start or a reload may then take longer than the service manager would wait.
pub fn at_work() {
    let mut states = vec![NotifyState::ExtendTimeoutUsec(STEP_TIME)];
    if sd_notify::watchdog_enabled().is_some() {
        states.push(NotifyState::Watchdog);
    }
    notify(&states);
}

fn notify(states: &[NotifyState<'_>]) {
    // Without a service manager there is nobody to tell, which is fine.
    let _ = sd_notify::notify(states);
}

/// ns since boot, suspension included: the clock of the records.
fn boot_time() -> u64 {
    clock_gettime(ClockId::CLOCK_BOOTTIME)
        .ok()
        .and_then(|t| u64::try_from(Duration::from(t).as_nanos()).ok())
        .unwrap_or_default()
}
