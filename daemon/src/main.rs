//! traceleftd: an audit daemon for systemd units. See ARCHITECTURE.md for how it is built.

mod attach;
mod auditor;
mod bus;
mod config;
mod confirm;
mod constants;
mod control;
mod decode;
mod document;
mod event;
#[cfg(test)]
mod expect;
mod fields;
mod flags;
mod fragments;
mod groups;
mod journal;
mod kernel;
mod ledger;
mod machine;
mod memory;
mod names;
mod notice;
mod pattern;
mod plan;
mod policy;
mod probes;
mod pump;
mod render;
mod ring;
mod self_test;
mod send;
mod service;
mod skel;
mod state;
mod store;
mod systemd;
mod tracefs;
mod unit_name;
mod verify;
mod wire;

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;

use nix::sys::prctl;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use systemd_journal_logger::JournalLog;

use auditor::Auditor;
use config::{Backend, Settings};
use confirm::Confirmation;
use control::Mailbox;
use kernel::{Kernel, Rings};
use ledger::Ledger;
use memory::Memory;
use probes::Probes;
use pump::Pump;
use service::{End, Service};
use state::{Former, State};
use tracefs::Tracefs;

const HELP: &str = "\
traceleftd [--check [FILE…] | --verify [JOURNALCTL-OPTION…] | --help | --version]

Records what systemd units open, execute and connect to, in the journal.

  --check [FILE…]  Check these files, or all settings and policies, and exit
  --verify [JOURNALCTL-OPTION…]
                   Say whether the journal has every record of this boot, or of
                   the stretch that these options select, or name what is missing
  --help           Show this text
  --version        Show the version

See traceleftd(8).
";

/// Status when the machine lacks what the daemon needs.
const EXIT_MACHINE: u8 = 77;
/// Status when the settings are wrong; `EX_CONFIG` of sysexits.h.
const EXIT_CONFIG: u8 = 78;
/// Status when it was called wrongly, or the journal could not be read to be verified.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let first = arguments.first().map(|a| a.to_string_lossy().into_owned());
    match (first.as_deref(), arguments.len()) {
        (None, _) => daemon(),
        (Some("--check"), _) => check(&arguments[1..]),
        (Some("--verify"), _) => verify(&arguments[1..]),
        (Some("--self-test"), 1) => {
            self_test::run();
            ExitCode::SUCCESS
        }
        (Some("--self-test"), 2) if arguments[1] == "wait" => {
            self_test::wait();
            ExitCode::SUCCESS
        }
        (Some("--help"), 1) => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        (Some("--version"), 1) => {
            println!("traceleftd {}", names::VERSION);
            ExitCode::SUCCESS
        }
        (Some(argument), _) => {
            eprintln!("traceleftd: unexpected argument {argument:?}\n\n{HELP}");
            ExitCode::from(EXIT_USAGE)
        }
    }
}

fn check(files: &[OsString]) -> ExitCode {
    let files: Vec<PathBuf> = files.iter().map(PathBuf::from).collect();
    let problems = policy::check(Path::new("/"), &files);
    for problem in &problems {
        eprintln!("{problem}");
    }
    if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn verify(options: &[OsString]) -> ExitCode {
    let report = verify::run(options).and_then(|report| {
        write!(std::io::stdout(), "{report}").map_err(|e| format!("cannot write: {e}"))?;
        Ok(report)
    });
    match report {
        Ok(report) if report.is_complete() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("traceleftd: {message}");
            ExitCode::from(EXIT_USAGE)
        }
    }
}

/// Why the daemon did not begin, with the status to exit with.
struct Failure {
    message: String,
    status: u8,
}

impl Failure {
    fn new(error: impl fmt::Display) -> Self {
        Self { message: error.to_string(), status: 1 }
    }
}

fn daemon() -> ExitCode {
    start_log();
    // Each stack would have a page of 2 MiB. Where that cannot be had, it costs memory and nothing else.
    let _ = prctl::set_thp_disable(true);
    match begin().map(Service::run) {
        Ok(End::Stopped | End::Restarted) => ExitCode::SUCCESS,
        Ok(End::Failed(message)) => {
            log::error!("{message}");
            ExitCode::FAILURE
        }
        Ok(End::Lacking(message)) => {
            log::error!("{message}");
            ExitCode::from(EXIT_MACHINE)
        }
        Err(Failure { message, status }) => {
            log::error!("{message}");
            ExitCode::from(status)
        }
    }
}

/// The daemon's own messages go to the journal; to standard error where there is none, or a person looks.
fn start_log() {
    log::set_max_level(log::LevelFilter::Info);
    let to_journal = systemd_journal_logger::connected_to_journal();
    if to_journal
        && let Ok(journal) = JournalLog::new()
        && journal.with_syslog_identifier(names::DAEMON_IDENTIFIER.to_owned()).install().is_ok()
    {
        return;
    }
    // The only logger there is now: a second one cannot have been set.
    let _ = log::set_logger(&StandardError);
}

struct StandardError;

impl log::Log for StandardError {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &log::Record<'_>) {
        eprintln!("{}: {}", names::DAEMON_IDENTIFIER, record.args());
    }
    fn flush(&self) {}
}

/// Trampolines are the better choice only where none of their programs is missed.
fn choose_backend(settings: &mut Settings, root: &Path) {
    if settings.probe_backend == Backend::Kprobe || !machine::preempts_itself(root) {
        return;
    }
    if settings.probe_backend == Backend::Auto {
        settings.probe_backend = Backend::Kprobe;
    } else {
        log::warn!(
            "probe-backend is \"fentry\", and this kernel preempts tasks that are in it: events will be missed, and counted \
             as lost (cause \"probe\"); set it to \"kprobe\" or \"auto\" to avoid that"
        );
    }
}

/// Everything before the loop. An error leaves nothing behind in the kernel.
fn begin() -> Result<Service, Failure> {
    let root = PathBuf::from("/");
    let tracefs = machine::examine(&root)
        .map_err(|lack| Failure { message: lack.to_string(), status: EXIT_MACHINE })?;
    let (mut settings, _) = config::load(&root).map_err(|problems| {
        let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
        Failure { message: format!("The settings are not valid:\n{}", lines.join("\n")), status: EXIT_CONFIG }
    })?;
    choose_backend(&mut settings, &root);
    let (policies, problems) = policy::load(&root);
    for problem in problems {
        log::error!("{problem}; this policy is not in force");
    }
    let (signals, sender) = UnixStream::pair().map_err(Failure::new)?;
    signals.set_nonblocking(true).map_err(Failure::new)?;
    catch_signals(&sender).map_err(|e| Failure::new(format_args!("cannot catch signals: {e}")))?;
    let journal = journal::Journal::new(&root).map_err(|e| {
        Failure::new(format_args!("cannot connect to journald: {e}; is systemd-journald.socket active?"))
    })?;
    let Begun { mut auditor, rings, memory } = take_over(tracefs, &settings, &root)?;
    if let Err(refusal) = auditor.set_policies(&policies) {
        // What was attached so far must not stay.
        let stopped = auditor.stop();
        let more = stopped.err().map(|e| format!("; and probes may be left: {e}")).unwrap_or_default();
        return Err(Failure::new(format_args!("cannot watch what the policies say: {refusal}{more}")));
    }
    attach::give_back_memory();
    let (mailbox, requests, wake) = Mailbox::new().map_err(Failure::new)?;
    let (notices, bus_notices) = futures_channel::mpsc::unbounded();
    let (bus_alive, bus_ended) = mpsc::channel();
    thread::spawn(move || {
        bus::run(mailbox, bus_notices);
        // Dropped at the end of the thread: that is the message.
        drop::<mpsc::Sender<()>>(bus_alive);
    });
    Ok(Service {
        auditor,
        pump: Pump::new(rings, journal, Rc::clone(&memory), Confirmation::new(&root)),
        requests,
        wake,
        notices,
        bus_ended,
        signals,
        root,
        flush_interval: settings.flush_interval,
        memory,
    })
}

/// What the event loop works with.
struct Begun {
    auditor: Auditor,
    rings: Rings,
    memory: Rc<Memory>,
}

/// Goes on from what the daemon before has left with the service manager, or begins anew.
fn take_over(tracefs: Tracefs, settings: &Settings, root: &Path) -> Result<Begun, Failure> {
    let machine = |e: kernel::Error| Failure {
        message: format!("{e}; BPF may be restricted on this machine"),
        status: EXIT_MACHINE,
    };
    let mut inherited = store::inherit()
        .map_err(|e| Failure::new(format_args!("cannot take over what systemd has kept: {e}")))?;
    let names: Vec<_> = inherited.keys().cloned().collect();
    let layout = state::layout(settings);
    let hierarchy = root.join(machine::HIERARCHY);
    let (why, seq, state) = match state::recover(&mut inherited, &layout, settings) {
        Former::None => (None, 0, State::default()),
        Former::Dropped(why, seq, state) => (Some(why), seq, state),
        Former::Whole(memory, targets, state) => match Kernel::adopt(settings, &mut inherited) {
            Ok((mut kernel, rings)) => {
                let probes = Probes::new(tracefs, settings, &mut kernel, &mut inherited);
                let probes = probes.map_err(Failure::new)?;
                let ledger = Ledger::go_on(settings.watches, Rc::clone(&memory), targets);
                let auditor =
                    Auditor::new(kernel, probes, ledger, Rc::clone(&memory), state, layout, hierarchy);
                log::info!("Going on from where the daemon before left off.");
                return Ok(Begun { auditor, rings, memory });
            }
            Err(error) => (Some(error.to_string()), memory.last_given(), state),
        },
    };
    if let Some(why) = why {
        log::warn!(
            "What the daemon before has left cannot be taken over: {why}. Auditing begins anew; what happened since, \
             and what had not come to the journal, is lost."
        );
        store::remove(names.iter().map(String::as_str))
            .and_then(|()| store::synchronize())
            .map_err(Failure::new)?;
        inherited.clear();
    }
    let memory = Rc::new(Memory::new(settings.watches).map_err(Failure::new)?);
    memory.set(memory::SEQ, seq);
    for (name, file) in memory.files() {
        store::put(name, file).map_err(Failure::new)?;
    }
    let (mut kernel, rings) = Kernel::load(settings).map_err(machine)?;
    let probes = Probes::new(tracefs, settings, &mut kernel, &mut inherited).map_err(Failure::new)?;
    let ledger = Ledger::new(settings.watches, Rc::clone(&memory));
    // What was shown then was shown of other probes.
    let state = State { tested: HashMap::new(), ..state };
    let auditor = Auditor::new(kernel, probes, ledger, Rc::clone(&memory), state, layout, hierarchy);
    Ok(Begun { auditor, rings, memory })
}

/// Each signal puts its number into the stream.
fn catch_signals(sender: &UnixStream) -> std::io::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    let mut sender = sender.try_clone()?;
    thread::spawn(move || {
        for signal in signals.forever() {
            let number = u8::try_from(signal).unwrap_or_default();
            if sender.write_all(&[number]).is_err() {
                return;
            }
        }
    });
    Ok(())
}
