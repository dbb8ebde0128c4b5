//! The service on a bus of its own, between a systemd and an event loop that are made up.

mod documents;
mod fake_loop;
mod fake_systemd;
mod private_bus;

use std::collections::HashMap;
use std::iter;
use std::process;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use futures_channel::mpsc::{UnboundedSender, unbounded};
use futures_util::StreamExt;
use zbus::fdo::ObjectManagerProxy;
use zbus::{Connection, DynamicType, Message, OwnedObjectPath, OwnedVariant, fdo};

use super::Service;
use super::watch::path_of;
use crate::control::{Caller, Mailbox, Notice, Origin, Refusal, Resolution, RunningUnit, WatchId};
use crate::event::{Event, EventSet};
use crate::names::{self, BUS_NAME, MANAGER_PATH};
use crate::unit_name::Target;
use fake_loop::Told;
use fake_systemd::FakeSystemd;
use private_bus::PrivateBus;

const MANAGER: &str = "org.traceleft1.Manager";
const WATCH: &str = "org.traceleft1.Watch";

struct Fixture {
    bus: PrivateBus,
    systemd: FakeSystemd,
    client: Connection,
    state: fake_loop::Shared,
    told: Receiver<Told>,
    notices: UnboundedSender<Notice>,
    service: JoinHandle<()>,
}

impl Fixture {
    /// Starts everything, with policy watches, and waits for the answer to the first notice.
    fn start(watches: &[(WatchId, &str)]) -> Self {
        let bus = PrivateBus::start(None);
        let systemd = FakeSystemd::start(&bus, &Arc::default());
        let (state, told, notices, service) = start_service(&bus);
        for &(id, name) in watches {
            let origin = Some(Origin::Policy("50-web".to_owned()));
            let events = EventSet::from_iter([Event::Open, Event::Exec]);
            state.lock().unwrap().watches.insert(id, (target(name), events, origin));
        }
        let client = bus.connect();
        let fixture = Self { bus, systemd, client, state, told, notices, service };
        fixture.notify_all();
        let Told::Resolved(list) = fixture.next() else { panic!("no answer to the first notice") };
        let resolved: Vec<_> = list.iter().map(|(id, resolution)| (*id, resolution.id.as_str())).collect();
        assert_eq!(resolved, watches);
        fixture
    }

    fn state(&self) -> MutexGuard<'_, fake_loop::State> {
        self.state.lock().unwrap()
    }

    fn notify_all(&self) {
        let list = self.state().watches.iter().map(|(&id, (target, ..))| (id, target.clone())).collect();
        self.notices.unbounded_send(Notice::Resolve(list)).unwrap();
    }

    fn next(&self) -> Told {
        fake_loop::next(&self.told)
    }

    /// Waits until the service says this. It may repeat before what it said: loading a unit makes a signal.
    fn expect_resolved(&self, expected: &[(WatchId, Resolution)]) {
        eventually(&format!("not told {expected:?}"), || {
            let Ok(Told::Resolved(list)) = self.told.try_recv() else { return None };
            (list == expected).then_some(())
        });
    }

    /// What the service said until it says nothing for a while.
    fn settle(&self) -> Vec<Told> {
        let more = || self.told.recv_timeout(Duration::from_millis(300)).ok();
        iter::from_fn(more).take(1000).collect()
    }

    fn call<B>(&self, path: &str, interface: &str, method: &str, body: &B) -> zbus::Result<Message>
    where
        B: serde::Serialize + DynamicType,
    {
        zbus::block_on(self.client.call_method(Some(BUS_NAME), path, Some(interface), method, body))
    }

    fn add_watch(&self, unit: &str, events: &[&str]) -> zbus::Result<OwnedObjectPath> {
        self.call(MANAGER_PATH, MANAGER, "AddWatch", &(unit, events))?.body().deserialize()
    }

    fn remove_watch(&self, path: &str) -> zbus::Result<()> {
        let path = zbus::ObjectPath::try_from(path).unwrap();
        self.call(MANAGER_PATH, MANAGER, "RemoveWatch", &path).map(drop)
    }

    fn properties(&self, path: &str, interface: &str) -> zbus::Result<HashMap<String, OwnedVariant>> {
        self.call(path, "org.freedesktop.DBus.Properties", "GetAll", &interface)?.body().deserialize()
    }

    fn stop(self) {
        self.notices.unbounded_send(Notice::Stop).unwrap();
        self.service.join().unwrap();
    }
}

type Started = (fake_loop::Shared, Receiver<Told>, UnboundedSender<Notice>, JoinHandle<()>);

fn start_service(bus: &PrivateBus) -> Started {
    let (mailbox, requests, _wake) = Mailbox::new().unwrap();
    let (notices, notices_receiver) = unbounded();
    let (told_sender, told) = mpsc::channel();
    let state = fake_loop::Shared::default();
    let loop_state = Arc::clone(&state);
    thread::spawn(move || fake_loop::run(&requests, &loop_state, &told_sender));
    let address = bus.address();
    let service = thread::spawn(move || {
        let builder = move || zbus::connection::Builder::address(address.as_str());
        zbus::block_on(Service::new(builder, mailbox, notices_receiver).run());
    });
    (state, told, notices, service)
}

fn target(name: &str) -> Target {
    Target::parse(name).unwrap()
}

fn idle(id: &str) -> Resolution {
    Resolution { id: id.to_owned(), running: Vec::new() }
}

fn active(id: &str, units: &[(&str, &str, &str)]) -> Resolution {
    let unit = |&(unit, control_group, invocation_id): &(&str, &str, &str)| RunningUnit {
        unit: unit.to_owned(),
        control_group: control_group.to_owned(),
        invocation_id: invocation_id.repeat(16),
    };
    Resolution { id: id.to_owned(), running: units.iter().map(unit).collect() }
}

fn error_name(error: &zbus::Error) -> String {
    use zbus::DBusError;
    match error {
        zbus::Error::MethodError(name, ..) => name.to_string(),
        zbus::Error::FDO(error) => error.name().to_string(),
        other => panic!("{other}"),
    }
}

/// Tries until it succeeds.
fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(Instant::now() < end, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn refused_calls_have_named_errors_and_change_nothing() {
    let fixture = Fixture::start(&[(4, "nginx.service")]);
    let loads = fixture.systemd.loads();
    #[rustfmt::skip]
    let cases: [(&str, &[&str], &str, &str); 7] = [
        // unit, events, error, part of its text
        ("nginx.service", &["open", "openat"], "org.traceleft1.Error.UnknownEvent", "\"openat\""),
        ("nginx.service", &["@disk"], "org.traceleft1.Error.UnknownEvent", "@network"),
        ("nginx.service", &[], "org.freedesktop.DBus.Error.InvalidArgs", "at least one event"),
        ("nginx", &["open"], "org.traceleft1.Error.InvalidUnitName", "nginx.service"),
        ("backup.timer", &["open"], "org.traceleft1.Error.InvalidUnitName", "control group"),
        ("", &["open"], "org.traceleft1.Error.InvalidUnitName", "expected"),
        // Our own rules let this pass.
        ("refused.service", &["open"], "org.traceleft1.Error.InvalidUnitName", "systemd refuses"),
    ];
    for (unit, events, name, text) in cases {
        let error = fixture.add_watch(unit, events).unwrap_err();
        assert_eq!(error_name(&error), name, "{unit} {events:?}");
        assert!(error.to_string().contains(text), "{error}");
    }
    for path in ["/org/traceleft1/watch/9", "/org/traceleft1/watch/04", "/org/traceleft1", "/"] {
        let error = fixture.remove_watch(path).unwrap_err();
        assert_eq!(error_name(&error), "org.traceleft1.Error.NoSuchWatch", "{path}");
    }
    let error = fixture.remove_watch("/org/traceleft1/watch/4").unwrap_err();
    assert_eq!(error_name(&error), "org.traceleft1.Error.NotRunTime");
    // The event loop alone knows which numbers there are.
    let mut told = fixture.settle();
    told.retain(|what| !matches!(what, Told::Resolved(_)));
    assert!(matches!(told[..], [Told::Remove { id: 9, .. }, Told::Remove { id: 4, .. }]), "{told:?}");
    assert_eq!(fixture.systemd.loads(), loads, "systemd was asked about input that is not valid");
    fixture.stop();
}

#[test]
fn refusals_of_the_event_loop_have_names() {
    let fixture = Fixture::start(&[]);
    let text = || "what and why".to_owned();
    let cases = [
        (Refusal::Kernel(text()), "org.traceleft1.Error.Kernel"),
        (Refusal::LimitReached(text()), "org.traceleft1.Error.LimitReached"),
    ];
    for (refusal, name) in cases {
        fixture.state().refusal = Some(refusal);
        let error = fixture.add_watch("a.service", &["open"]).unwrap_err();
        assert_eq!(error_name(&error), name);
        assert!(error.to_string().contains("what and why"), "{error}");
    }
    fixture.state().refusal = Some(Refusal::InvalidPolicy(text()));
    let error = fixture.call(MANAGER_PATH, MANAGER, "Reload", &()).unwrap_err();
    assert_eq!(error_name(&error), "org.traceleft1.Error.InvalidPolicy");
    fixture.call(MANAGER_PATH, MANAGER, "Reload", &()).unwrap();
    fixture.stop();
}

#[test]
fn a_watch_lives_from_add_to_remove() {
    let fixture = Fixture::start(&[]);
    fixture.systemd.activate("ssh.service", "/system.slice/ssh.service", 0xab);
    fixture.systemd.state.lock().unwrap().aliases.insert("sshd.service".to_owned(), "ssh.service".to_owned());
    let (mut added, mut removed) = zbus::block_on(async {
        let objects = ObjectManagerProxy::new(&fixture.client, BUS_NAME, MANAGER_PATH).await.unwrap();
        (
            objects.receive_interfaces_added().await.unwrap(),
            objects.receive_interfaces_removed().await.unwrap(),
        )
    });

    let path = fixture.add_watch("sshd.service", &["tcp-connect", "open"]).unwrap();
    assert_eq!(path.as_str(), "/org/traceleft1/watch/1");
    let resolution = active("ssh.service", &[("ssh.service", "/system.slice/ssh.service", "ab")]);
    let caller = Caller { pid: process::id(), uid: nix::unistd::geteuid().as_raw() };
    let events = EventSet::from_iter([Event::Open, Event::TcpConnect]);
    assert_eq!(
        fixture.next(),
        Told::Add { target: target("sshd.service"), events, resolution: resolution.clone(), caller }
    );
    // Asked again, for what changed while there was no watch.
    fixture.expect_resolved(&[(1, resolution)]);

    let signal = zbus::block_on(added.next()).unwrap();
    let announced = signal.args().unwrap();
    assert_eq!(announced.object_path.as_str(), path.as_str());
    let unit = &announced.interfaces_and_properties[WATCH]["Unit"];
    assert_eq!(unit.downcast_ref::<&str>().unwrap(), "sshd.service");

    // The object is there as soon as its path is known.
    let properties = fixture.properties(path.as_str(), WATCH).unwrap();
    let text = |name: &str| properties[name].downcast_ref::<&str>().unwrap().to_owned();
    let number = |name: &str| properties[name].downcast_ref::<u64>().unwrap();
    let list = |name: &str| Vec::<String>::try_from(properties[name].try_clone().unwrap()).unwrap();
    assert_eq!(
        (text("Unit"), text("Origin"), text("Policy")),
        ("sshd.service".into(), "run-time".into(), String::new())
    );
    assert_eq!(list("Events"), ["open", "tcp-connect"]);
    assert_eq!(list("ControlGroups"), ["/system.slice/a"]);
    assert_eq!(["Seen", "Recorded", "Lost", "ResultsMissed"].map(number), [30, 21, 9, 3]);
    let causes = HashMap::<String, u64>::try_from(properties["LostByCause"].try_clone().unwrap()).unwrap();
    assert_eq!(
        causes,
        HashMap::from(
            [("ring", 3), ("state", 0), ("journal", 6), ("decode", 0)].map(|(k, v)| (k.to_owned(), v))
        )
    );
    let counts =
        HashMap::<String, (u64, u64, u64, u64)>::try_from(properties["EventCounts"].try_clone().unwrap())
            .unwrap();
    assert_eq!(
        counts,
        HashMap::from([("open".to_owned(), (10, 7, 3, 1)), ("exec".to_owned(), (20, 14, 6, 2))])
    );

    fixture.remove_watch(path.as_str()).unwrap();
    assert_eq!(fixture.next(), Told::Remove { id: 1, caller });
    let signal = zbus::block_on(removed.next()).unwrap();
    assert_eq!(signal.args().unwrap().object_path.as_str(), path.as_str());
    assert!(fixture.properties(path.as_str(), WATCH).is_err());
    drop((added, removed));
    fixture.stop();
}

#[test]
fn the_manager_shows_the_ledger_of_one_moment() {
    let fixture = Fixture::start(&[]);
    let before = fixture.state().questions;
    let properties = fixture.properties(MANAGER_PATH, MANAGER).unwrap();
    assert_eq!(fixture.state().questions - before, 1, "one GetAll, one question");
    let number = |name: &str| properties[name].downcast_ref::<u64>().unwrap();
    assert_eq!(properties["Version"].downcast_ref::<&str>().unwrap(), names::VERSION);
    assert_eq!(["Seen", "Recorded", "Lost", "ResultsMissed"].map(number), [1000, 700, 300, 100]);
    let probes =
        Vec::<(String, String, u64, u64)>::try_from(properties["Probes"].try_clone().unwrap()).unwrap();
    assert_eq!(probes[1], ("do_sys_openat2".to_owned(), "kretprobe".to_owned(), 4, 1));
    // Another call sees another moment.
    fixture.properties(MANAGER_PATH, MANAGER).unwrap();
    assert_eq!(fixture.state().questions - before, 2);
    fixture.stop();
}

#[test]
fn a_flush_holds_up_no_other_call() {
    let fixture = Fixture::start(&[]);
    let client = fixture.client.clone();
    let flush = thread::spawn(move || {
        zbus::block_on(client.call_method(Some(BUS_NAME), MANAGER_PATH, Some(MANAGER), "Flush", &()))
            .map(drop)
    });
    let reply = eventually("Flush does not reach the event loop", || fixture.state().flushes.pop());
    fixture.add_watch("a.service", &["open"]).unwrap();
    assert!(!flush.is_finished());
    reply.send(()).unwrap();
    flush.join().unwrap().unwrap();
    fixture.stop();
}

#[test]
fn units_are_followed_by_the_signals_of_systemd() {
    let fixture = Fixture::start(&[(1, "web.service"), (2, "app@.service"), (3, "-.slice")]);
    let web = active("web.service", &[("web.service", "/system.slice/web.service", "01")]);
    fixture.systemd.activate("web.service", "/system.slice/web.service", 0x01);
    fixture.expect_resolved(&[(1, web)]);
    fixture.systemd.deactivate("web.service");
    fixture.expect_resolved(&[(1, idle("web.service"))]);

    fixture.systemd.state.lock().unwrap().active.insert(
        "app@2.service".to_owned(),
        fake_systemd::Unit {
            control_group: "/system.slice/app@2.service".to_owned(),
            invocation: Vec::new(),
        },
    );
    fixture.systemd.finish_job("app@2.service");
    let app = active("app@.service", &[("app@2.service", "/system.slice/app@2.service", "")]);
    fixture.expect_resolved(&[(2, app.clone())]);

    // Of no watch.
    fixture.systemd.activate("other.service", "/system.slice/other.service", 0x02);

    // The control group of the slice above all is the root.
    let root = fake_systemd::Unit::default();
    fixture.systemd.state.lock().unwrap().active.insert("-.slice".to_owned(), root);
    fixture.systemd.reload();
    let root = active("-.slice", &[("-.slice", "/", "")]);
    fixture.expect_resolved(&[(1, idle("web.service")), (2, app), (3, root)]);
    let asked = [fixture.systemd.gets(), fixture.systemd.loads()].concat();
    assert!(!asked.contains(&"other.service".to_owned()), "{asked:?}");
    fixture.stop();
}

#[test]
fn looking_at_an_idle_unit_does_not_load_it_again_and_again() {
    let fixture = Fixture::start(&[(1, "idle.service")]);
    // To load it announced it, which asked for a look at it; and so does this.
    fixture.systemd.announce("idle.service");
    eventually("nobody looks", || (!fixture.systemd.gets().is_empty()).then_some(()));
    fixture.settle();
    assert_eq!(fixture.systemd.loads(), ["idle.service"]);
    assert!(fixture.systemd.gets().len() <= 2);
    fixture.stop();
}

#[test]
fn a_burst_of_signals_is_one_question() {
    let fixture = Fixture::start(&[(1, "web.service")]);
    for _ in 0..500 {
        fixture.systemd.finish_job("web.service");
    }
    fixture.next();
    let answers = 1 + fixture.settle().len();
    assert!((1..250).contains(&answers), "{answers} answers to 500 signals");
    fixture.stop();
}

#[test]
fn many_watches_are_resolved_within_the_limits_of_the_bus() {
    let fixture = Fixture::start(&[]);
    let mut expected = Vec::new();
    for id in 1..=300 {
        // Every third is a template with five instances.
        let name = if id % 3 == 0 { format!("t{id}@.service") } else { format!("s{id}.service") };
        let units: Vec<_> = if id % 3 == 0 {
            (1..=5).map(|n| name.replace('@', &format!("@{n}"))).collect()
        } else {
            vec![name.clone()]
        };
        let mut systemd = fixture.systemd.state.lock().unwrap();
        for unit in &units {
            let control_group = format!("/{unit}");
            systemd.active.insert(unit.clone(), fake_systemd::Unit { control_group, invocation: Vec::new() });
        }
        let groups: Vec<_> = units.iter().map(|unit| format!("/{unit}")).collect();
        let units: Vec<_> = iter::zip(&units, &groups).map(|(u, g)| (u.as_str(), g.as_str(), "")).collect();
        expected.push((id, active(&name, &units)));
        let events = EventSet::from_iter([Event::Open]);
        fixture.state().watches.insert(id, (target(&name), events, None));
    }
    fixture.notify_all();
    fixture.expect_resolved(&expected);
    fixture.stop();
}

/// More than one call can have, every third of them running, some by an alias, and two that systemd refuses.
#[test]
fn many_units_are_resolved_by_few_calls() {
    let fixture = Fixture::start(&[]);
    let mut expected = Vec::new();
    for id in 1..=700 {
        let (name, primary) = match id {
            300 => ("refused.service".to_owned(), "refused.service".to_owned()),
            301 => ("refused-left-out.service".to_owned(), "refused-left-out.service".to_owned()),
            _ if id % 10 == 0 => (format!("alias{id}.service"), format!("s{id}.service")),
            _ => (format!("s{id}.service"), format!("s{id}.service")),
        };
        let mut systemd = fixture.systemd.state.lock().unwrap();
        let group = format!("/{primary}");
        let running = id % 3 == 1 && id != 301;
        if running {
            let unit = fake_systemd::Unit { control_group: group.clone(), invocation: Vec::new() };
            systemd.active.insert(primary.clone(), unit);
        }
        let units = [(primary.as_str(), group.as_str(), "")];
        expected.push((id, active(&primary, if running { &units } else { &[] })));
        let events = EventSet::from_iter([Event::Open]);
        fixture.state().watches.insert(id, (target(&name), events, None));
        systemd.aliases.insert(name, primary);
    }
    fixture.notify_all();
    let Told::Resolved(told) = fixture.next() else { panic!("no answer") };
    assert_eq!(told, expected);
    // Those that were refused hide no others, and are found by halves.
    let asked = fixture.systemd.state.lock().unwrap().lists.clone();
    assert!(asked.len() < 30, "{asked:?}");
    // What was loaded only to be asked about has made signals, and these have not made as many calls.
    fixture.settle();
    assert!(
        fixture.systemd.gets().len() < 200,
        "{} units are looked for one by one",
        fixture.systemd.gets().len()
    );

    // What is known is not asked about again, and what is new is.
    let counts = || {
        let systemd = fixture.systemd.state.lock().unwrap();
        (systemd.lists.len(), systemd.gets.len(), systemd.loads.len())
    };
    let new = (target("new.service"), EventSet::from_iter([Event::Open]), None);
    fixture.state().watches.insert(701, new);
    expected.push((701, idle("new.service")));
    let before = counts();
    fixture.notify_all();
    fixture.expect_resolved(&expected);
    fixture.settle();
    let after = counts();
    // The two that were refused are tried again; the new one is looked for after it was announced.
    assert_eq!(after.0, before.0);
    assert!(after.1 - before.1 <= 1 && after.2 - before.2 <= 3, "{before:?} {after:?}");
    fixture.stop();
}

#[test]
fn objects_follow_the_list_of_the_event_loop() {
    let fixture = Fixture::start(&[(1, "a.service"), (2, "b.service")]);
    let shown = || {
        let objects = ObjectManagerProxy::new(&fixture.client, BUS_NAME, MANAGER_PATH);
        let all = zbus::block_on(async { objects.await.unwrap().get_managed_objects().await.unwrap() });
        let mut paths: Vec<_> =
            all.iter().filter(|(_, i)| i.contains_key(WATCH)).map(|(path, _)| path.to_string()).collect();
        paths.sort_unstable();
        paths
    };
    assert_eq!(shown(), [path_of(1).as_str(), path_of(2).as_str()]);
    let c = (target("c.service"), EventSet::from_iter([Event::Open]), None);
    {
        let mut state = fixture.state();
        state.watches.remove(&1);
        state.watches.insert(3, c);
    }
    fixture.notify_all();
    fixture.expect_resolved(&[(2, idle("b.service")), (3, idle("c.service"))]);
    assert_eq!(shown(), [path_of(2).as_str(), path_of(3).as_str()]);
    fixture.stop();
}

#[test]
fn a_list_from_before_a_watch_was_added_does_not_remove_it() {
    let fixture = Fixture::start(&[]);
    let (notices, late) = (fixture.notices.clone(), Notice::Resolve(Vec::new()));
    fixture.state().before_answer = Some(Box::new(move || notices.unbounded_send(late).unwrap()));
    let path = fixture.add_watch("a.service", &["open"]).unwrap();
    fixture.expect_resolved(&[(1, idle("a.service"))]);
    assert!(!fixture.properties(path.as_str(), WATCH).unwrap().is_empty());
    fixture.stop();
}

#[test]
fn a_lost_bus_is_found_again() {
    let mut fixture = Fixture::start(&[(1, "web.service")]);
    fixture.bus.stop();
    // Notices of the time without a bus are remembered; the last list wins.
    for name in ["a.service", "b.service"] {
        let events = EventSet::from_iter([Event::Open]);
        fixture.state().watches.insert(2, (target(name), events, None));
        fixture.notify_all();
    }
    fixture.bus.start_again();
    let subscriptions = fixture.systemd.state.lock().unwrap().subscriptions;
    // systemd is back later than we are: until then nothing is known, and nobody told otherwise.
    thread::sleep(Duration::from_millis(500));
    let state = Arc::clone(&fixture.systemd.state);
    fixture.systemd = FakeSystemd::start(&fixture.bus, &state);
    fixture.client = fixture.bus.connect();
    let ready = active("web.service", &[("web.service", "/system.slice/web.service", "07")]);
    eventually("the service does not subscribe again", || {
        (state.lock().unwrap().subscriptions > subscriptions).then_some(())
    });
    fixture.systemd.activate("web.service", "/system.slice/web.service", 0x07);
    eventually("the unit is not resolved again", || {
        let Ok(Told::Resolved(list)) = fixture.told.try_recv() else { return None };
        list.iter().any(|(id, resolution)| *id == 1 && *resolution == ready).then_some(())
    });
    for (id, name) in [(1, "web.service"), (2, "b.service")] {
        let properties = fixture.properties(path_of(id).as_str(), WATCH).unwrap();
        assert_eq!(properties["Unit"].downcast_ref::<&str>().unwrap(), name);
    }
    fixture.add_watch("d.service", &["exec"]).unwrap();
    fixture.stop();
}

#[test]
fn a_new_service_manager_is_asked_about_everything() {
    let mut fixture = Fixture::start(&[(1, "web.service")]);
    let state = Arc::clone(&fixture.systemd.state);
    let unit = fake_systemd::Unit { control_group: "/w".to_owned(), invocation: vec![9; 16] };
    state.lock().unwrap().active.insert("web.service".to_owned(), unit);
    fixture.systemd.leave();
    fixture.systemd = FakeSystemd::start(&fixture.bus, &state);
    fixture.expect_resolved(&[(1, active("web.service", &[("web.service", "/w", "09")]))]);
    fixture.stop();
}

#[test]
fn it_says_why_it_cannot_begin() {
    let expect = |bus: &PrivateBus, text: &str| {
        let (_state, told, _notices, service) = start_service(bus);
        let Told::Fatal(message) = fake_loop::next(&told) else { panic!("it began") };
        assert!(message.contains(text), "{message}");
        service.join().unwrap();
        assert_eq!(told.recv_timeout(Duration::from_secs(20)), Err(RecvTimeoutError::Disconnected));
    };
    let mut bus = PrivateBus::start(None);
    expect(&bus, "systemd is not on the system bus");
    let systemd = FakeSystemd::start(&bus, &Arc::default());
    let other = bus.connect();
    zbus::block_on(other.request_name(BUS_NAME)).unwrap();
    expect(&bus, "another process has it");
    drop(systemd);
    bus.stop();
    expect(&bus, "systemctl start dbus.socket");
}

#[test]
fn it_ends_with_the_event_loop() {
    let fixture = Fixture::start(&[]);
    let Fixture { bus, client, notices, service, .. } = fixture;
    drop(notices);
    service.join().unwrap();
    let names = fdo::DBusProxy::new(&client);
    let owned = zbus::block_on(async { names.await?.name_has_owner(BUS_NAME.try_into()?).await });
    assert_eq!(owned, Ok(false));
    drop(bus);
}

#[test]
fn the_bus_policy_lets_only_its_user_in() {
    const POLICY: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/dbus/org.traceleft1.conf"));
    let me = nix::unistd::geteuid().as_raw();
    for (user, allowed) in [(me, true), (me + 1, false)] {
        let policy = POLICY.replace("user=\"root\"", &format!("user=\"{user}\""));
        assert_ne!(policy, POLICY);
        let bus = PrivateBus::start(Some(&policy));
        let _systemd = FakeSystemd::start(&bus, &Arc::default());
        let (_state, told, notices, service) = start_service(&bus);
        if allowed {
            notices.unbounded_send(Notice::Resolve(Vec::new())).unwrap();
            assert_eq!(fake_loop::next(&told), Told::Resolved(Vec::new()));
            let client = bus.connect();
            zbus::block_on(client.call_method(Some(BUS_NAME), MANAGER_PATH, Some(MANAGER), "Reload", &()))
                .unwrap();
            notices.unbounded_send(Notice::Stop).unwrap();
        } else {
            let Told::Fatal(message) = fake_loop::next(&told) else { panic!("it began") };
            assert!(message.contains("only root may"), "{message}");
        }
        service.join().unwrap();
    }
}
