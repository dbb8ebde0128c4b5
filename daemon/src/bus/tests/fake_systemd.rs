//! As much of `org.freedesktop.systemd1` as the daemon uses, with its habits: a unit that is not active is
//! dropped as soon as it is loaded, and loading announces it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use zbus::object_server::SignalEmitter;
use zbus::{Connection, ObjectPath, ObjectServer, OwnedObjectPath, fdo, interface};

use super::private_bus::PrivateBus;
use crate::systemd::BUS_NAME;

const PATH: &str = "/org/freedesktop/systemd1";

#[derive(Clone, Debug, Default)]
pub struct Unit {
    pub control_group: String,
    pub invocation: Vec<u8>,
}

#[derive(Debug, Default)]
pub struct State {
    /// Active units, by primary name.
    pub active: BTreeMap<String, Unit>,
    /// Primary names, by alias.
    pub aliases: BTreeMap<String, String>,
    /// Names that were loaded, in order.
    pub loads: Vec<String>,
    /// How many names each list by names was asked for.
    pub lists: Vec<usize>,
    /// Names that were looked for without loading them.
    pub gets: Vec<String>,
    pub subscriptions: usize,
}

impl State {
    fn primary<'a>(&'a self, name: &'a str) -> &'a str {
        self.aliases.get(name).map_or(name, String::as_str)
    }
}

type Shared = Arc<Mutex<State>>;

pub struct FakeSystemd {
    connection: Connection,
    pub state: Shared,
}

impl FakeSystemd {
    pub fn start(bus: &PrivateBus, state: &Shared) -> Self {
        let state = Arc::clone(state);
        let manager = Manager { state: Arc::clone(&state) };
        let connection =
            zbus::block_on(bus.builder().serve_at(PATH, manager).name(BUS_NAME).build()).unwrap();
        Self { connection, state }
    }

    /// A unit becomes active.
    pub fn activate(&self, name: &str, control_group: &str, invocation: u8) {
        let unit = Unit { control_group: control_group.to_owned(), invocation: vec![invocation; 16] };
        self.state.lock().unwrap().active.insert(name.to_owned(), unit);
        self.announce(name);
        self.finish_job(name);
    }

    pub fn deactivate(&self, name: &str) {
        self.state.lock().unwrap().active.remove(name);
        self.finish_job(name);
    }

    pub fn announce(&self, name: &str) {
        zbus::block_on(Manager::unit_new(&self.emitter(), name, path_of(name))).unwrap();
    }

    pub fn finish_job(&self, name: &str) {
        let job = ObjectPath::try_from("/org/freedesktop/systemd1/job/1").unwrap();
        zbus::block_on(Manager::job_removed(&self.emitter(), 1, job, name, "done")).unwrap();
    }

    pub fn reload(&self) {
        for active in [true, false] {
            zbus::block_on(Manager::reloading(&self.emitter(), active)).unwrap();
        }
    }

    pub fn gets(&self) -> Vec<String> {
        self.state.lock().unwrap().gets.clone()
    }

    pub fn loads(&self) -> Vec<String> {
        self.state.lock().unwrap().loads.clone()
    }

    pub fn leave(self) {
        zbus::block_on(self.connection.close()).unwrap();
    }

    fn emitter(&self) -> SignalEmitter<'_> {
        SignalEmitter::new(&self.connection, PATH).unwrap()
    }
}

struct Manager {
    state: Shared,
}

impl Manager {
    async fn serve(&self, server: &ObjectServer, id: &str) -> OwnedObjectPath {
        let path = path_of(id);
        let (name, state) = (id.to_owned(), &self.state);
        server.at(&path, UnitObject { name: name.clone(), state: Arc::clone(state) }).await.unwrap();
        if super::target(id).is_slice() {
            server.at(&path, SliceObject { name, state: Arc::clone(state) }).await.unwrap();
        } else {
            server.at(&path, ServiceObject { name, state: Arc::clone(state) }).await.unwrap();
        }
        path
    }

    async fn list(&self, server: &ObjectServer, ids: Vec<String>) -> Vec<ListedUnit> {
        let mut units = Vec::new();
        for id in ids {
            let path = self.serve(server, &id).await;
            let word = String::new;
            let active = self.state.lock().unwrap().active.contains_key(&id);
            let state = if active { "active" } else { "inactive" }.to_owned();
            units.push((id, word(), word(), state, word(), word(), path.clone(), 0, word(), path));
        }
        units
    }
}

type ListedUnit =
    (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

#[interface(name = "org.freedesktop.systemd1.Manager")]
impl Manager {
    async fn load_unit(
        &self,
        name: &str,
        #[zbus(object_server)] server: &ObjectServer,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> fdo::Result<OwnedObjectPath> {
        if name.starts_with("refused") {
            return Err(fdo::Error::InvalidArgs(format!("Unit name {name} is not valid.")));
        }
        let (id, active) = {
            let mut state = self.state.lock().unwrap();
            state.loads.push(name.to_owned());
            let id = state.primary(name).to_owned();
            let active = state.active.contains_key(&id);
            (id, active)
        };
        let path = self.serve(server, &id).await;
        if !active {
            Self::unit_new(&emitter, &id, path.clone()).await.unwrap();
        }
        Ok(path)
    }

    async fn get_unit(
        &self,
        name: &str,
        #[zbus(object_server)] server: &ObjectServer,
    ) -> Result<OwnedObjectPath, NoSuchUnit> {
        let id = {
            let mut state = self.state.lock().unwrap();
            state.gets.push(name.to_owned());
            let id = state.primary(name).to_owned();
            state.active.contains_key(&id).then_some(id)
        };
        match id {
            Some(id) => Ok(self.serve(server, &id).await),
            None => Err(NoSuchUnit::NoSuchUnit(format!("Unit {name} not loaded."))),
        }
    }

    async fn list_units(&self, #[zbus(object_server)] server: &ObjectServer) -> Vec<ListedUnit> {
        let names: Vec<_> = self.state.lock().unwrap().active.keys().cloned().collect();
        self.list(server, names).await
    }

    async fn list_units_by_names(
        &self,
        names: Vec<String>,
        #[zbus(object_server)] server: &ObjectServer,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> fdo::Result<Vec<ListedUnit>> {
        self.state.lock().unwrap().lists.push(names.len());
        let mut ids = Vec::new();
        for name in names.iter().filter(|name| !name.starts_with("refused-left-out")) {
            self.load_unit(name, server, emitter.clone()).await?;
            ids.push(self.state.lock().unwrap().primary(name).to_owned());
        }
        Ok(self.list(server, ids).await)
    }

    async fn list_units_by_patterns(
        &self,
        states: Vec<String>,
        patterns: Vec<String>,
        #[zbus(object_server)] server: &ObjectServer,
    ) -> Vec<ListedUnit> {
        assert!(states.is_empty() && patterns.len() == 1);
        let (start, end) = patterns[0].split_once('*').unwrap();
        let fits = |name: &&String| name.starts_with(start) && name.ends_with(end);
        let names: Vec<_> = self.state.lock().unwrap().active.keys().filter(fits).cloned().collect();
        self.list(server, names).await
    }

    fn subscribe(&self) {
        self.state.lock().unwrap().subscriptions += 1;
    }

    #[zbus(signal)]
    async fn unit_new(emitter: &SignalEmitter<'_>, id: &str, unit: OwnedObjectPath) -> zbus::Result<()>;
    #[zbus(signal)]
    async fn job_removed(
        emitter: &SignalEmitter<'_>,
        id: u32,
        job: ObjectPath<'_>,
        unit: &str,
        result: &str,
    ) -> zbus::Result<()>;
    #[zbus(signal)]
    async fn reloading(emitter: &SignalEmitter<'_>, active: bool) -> zbus::Result<()>;
}

#[derive(Debug, zbus::DBusError)]
#[zbus(prefix = "org.freedesktop.systemd1")]
enum NoSuchUnit {
    NoSuchUnit(String),
}

struct UnitObject {
    name: String,
    state: Shared,
}

#[interface(name = "org.freedesktop.systemd1.Unit")]
impl UnitObject {
    #[zbus(property)]
    fn id(&self) -> String {
        self.name.clone()
    }

    #[zbus(property, name = "InvocationID")]
    fn invocation_id(&self) -> Vec<u8> {
        self.state.lock().unwrap().active.get(&self.name).cloned().unwrap_or_default().invocation
    }
}

struct ServiceObject {
    name: String,
    state: Shared,
}

#[interface(name = "org.freedesktop.systemd1.Service")]
impl ServiceObject {
    #[zbus(property)]
    fn control_group(&self) -> String {
        self.state.lock().unwrap().active.get(&self.name).cloned().unwrap_or_default().control_group
    }
}

struct SliceObject {
    name: String,
    state: Shared,
}

#[interface(name = "org.freedesktop.systemd1.Slice")]
impl SliceObject {
    #[zbus(property)]
    fn control_group(&self) -> String {
        self.state.lock().unwrap().active.get(&self.name).cloned().unwrap_or_default().control_group
    }
}

fn path_of(unit: &str) -> OwnedObjectPath {
    let escape = |c: char| {
        if c.is_ascii_alphanumeric() { c.to_string() } else { format!("_{:02x}", u32::from(c)) }
    };
    let name: String = unit.chars().map(escape).collect();
    ObjectPath::try_from(format!("{PATH}/unit/{name}")).unwrap().into()
}
