//! What systemd says of units over the bus: resolution of targets, and the signals that outdate it.
//!
//! Facts relied on, the same in systemd 247 to 258 (`src/core/dbus-manager.c`, `dbus-unit.c`):
//! `LoadUnit` succeeds for a unit that has no file (`LoadState=not-found`), and fails with `InvalidArgs`
//! for a name that no unit can have. `ControlGroup` is empty while a unit has no control group.
//! A unit that is loaded only because somebody asked is dropped again at once, and both make signals.
//! `ListUnitsByNames` loads, too, answers in the order of the names, and has the primary name of an alias. A name that
//! no unit can have is left out of the answer, or fails the whole call with `InvalidArgs`.
//! A unit that does not run may still have a control group, with what it left behind; then it stays loaded.

use std::collections::{BTreeSet, HashMap};
use std::iter;

use futures_channel::mpsc::UnboundedSender;
use futures_util::future::{ready, try_join};
use futures_util::stream::{self, StreamExt};
use zbus::names::BusName;
use zbus::proxy::CacheProperties;
use zbus::{Connection, OwnedObjectPath, OwnedVariant, fdo, proxy};

use crate::control::{Resolution, RunningUnit};
use crate::names::SELF_TEST_UNIT;
use crate::unit_name::{ROOT_SLICE, Target};

/// Name of the service manager on the bus.
pub const BUS_NAME: &str = "org.freedesktop.systemd1";

/// The interface that all units have.
const UNIT: &str = "org.freedesktop.systemd1.Unit";

/// Targets asked about at once, with up to two calls each: enough to hide the way there and back, and
/// within the 128 calls that dbus-daemon lets one connection wait for (`max_replies_per_connection`).
const PARALLEL: usize = 24;

/// Names of one `ListUnitsByNames`: systemd does nothing else until it has answered, and may have to read a file for
/// each.
pub const NAMES_IN_A_CALL: usize = 256;

/// What is asked about many units at once pays from so many on; the list of all that are loaded may be long.
pub const MANY: usize = 16;

/// The units that are loaded and their objects, by primary name.
pub type Loaded = HashMap<String, OwnedObjectPath>;

/// One row of the lists of units: name, description, load, active and sub state, followed unit, object,
/// job number, job type, job object.
type ListedUnit =
    (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

#[proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1"
)]
trait Manager {
    fn load_unit(&self, name: &str) -> zbus::Result<OwnedObjectPath>;
    fn get_unit(&self, name: &str) -> zbus::Result<OwnedObjectPath>;
    #[zbus(name = "GetUnitByPID")]
    fn get_unit_by_pid(&self, pid: u32) -> zbus::Result<OwnedObjectPath>;
    fn list_units(&self) -> zbus::Result<Vec<ListedUnit>>;
    fn list_units_by_names(&self, names: &[&str]) -> zbus::Result<Vec<ListedUnit>>;
    fn list_units_by_patterns(&self, states: &[&str], patterns: &[&str]) -> zbus::Result<Vec<ListedUnit>>;

    fn start_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;

    // Without a reply: to wait for one would leave signals unread meanwhile, and they may fill the queue
    // that the reply has to come through.
    #[zbus(no_reply)]
    fn subscribe(&self) -> zbus::Result<()>;

    #[zbus(signal)]
    fn unit_new(&self, id: &str, unit: zbus::ObjectPath<'_>) -> zbus::Result<()>;
    #[zbus(signal)]
    fn job_removed(&self, id: u32, job: zbus::ObjectPath<'_>, unit: &str, result: &str) -> zbus::Result<()>;
    #[zbus(signal)]
    fn reloading(&self, active: bool) -> zbus::Result<()>;
}

/// Something that may outdate what is known of units.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// A unit of this name was loaded, or a job of it is done.
    Unit(String),
    /// The job of the self-test's unit is done, with this result.
    SelfTested(String),
    /// All units: systemd read its configuration again.
    Reloaded,
    /// All units: systemd has come to the bus, for the first time or again.
    Arrived,
}

/// True if systemd is on the bus.
pub async fn is_present(connection: &Connection) -> zbus::Result<bool> {
    let bus = fdo::DBusProxy::builder(connection).cache_properties(CacheProperties::No).build().await?;
    Ok(bus.name_has_owner(BusName::from_static_str(BUS_NAME)?).await?)
}

/// Passes on what changes, beginning with [`Change::Arrived`], until the connection is gone.
///
/// This must be polled at all times: what it does not read holds up the whole connection.
pub async fn listen(connection: &Connection, changes: &UnboundedSender<Change>) -> zbus::Result<()> {
    let manager = manager(connection).await?;
    let owners = manager.inner().receive_owner_changed().await?;
    let units = manager.receive_unit_new().await?;
    let jobs = manager.receive_job_removed().await?;
    let reloads = manager.receive_reloading().await?;
    manager.subscribe().await?;

    let mut signals = stream::select_all([
        stream::once(ready(Change::Arrived)).boxed(),
        owners.filter_map(|owner| ready(owner.map(|_| Change::Arrived))).boxed(),
        units.filter_map(|s| ready(s.args().ok().map(|a| Change::Unit(a.id.to_owned())))).boxed(),
        jobs.filter_map(|s| ready(s.args().ok().map(|a| job_done(a.unit, a.result)))).boxed(),
        reloads.filter_map(|s| ready(s.args().is_ok_and(|a| !a.active).then_some(Change::Reloaded))).boxed(),
    ]);
    while let Some(change) = signals.next().await {
        if change == Change::Arrived {
            // A new service manager knows nothing of the subscribers of the old one.
            manager.subscribe().await?;
        }
        if changes.unbounded_send(change).is_err() {
            break;
        }
    }
    Ok(())
}

fn job_done(unit: &str, result: &str) -> Change {
    if unit == SELF_TEST_UNIT { Change::SelfTested(result.to_owned()) } else { Change::Unit(unit.to_owned()) }
}

/// Starts the unit of the self-test. [`Change::SelfTested`] tells when it has ended.
pub async fn start_self_test(connection: &Connection) -> zbus::Result<()> {
    manager(connection).await?.start_unit(SELF_TEST_UNIT, "replace").await.map(drop)
}

/// True if systemd stops the caller's unit to start it again at once.
pub async fn is_restarting(connection: &Connection) -> zbus::Result<bool> {
    // 0 is the caller.
    let unit = manager(connection).await?.get_unit_by_pid(0).await?;
    let (id, job) = property::<(u32, OwnedObjectPath)>(connection, &unit, UNIT, "Job").await?;
    if id == 0 {
        return Ok(false);
    }
    let kind = property::<String>(connection, &job, "org.freedesktop.systemd1.Job", "JobType").await?;
    Ok(kind == "restart")
}

/// Finds the units that a target means and that have a control group, and its primary name.
///
/// A unit that is not there is no error: nothing of it runs.
///
/// # Errors
/// [`refuses_name`] tells whether the target's name is what is wrong; otherwise systemd did not answer.
pub async fn resolve(connection: &Connection, target: &Target) -> zbus::Result<Resolution> {
    if target.is_many() {
        return matching(connection, target).await;
    }
    let object = manager(connection).await?.load_unit(target.as_str()).await?;
    let id = primary_name(connection, &object).await?;
    describe(connection, id, Some(&object)).await
}

/// As [`resolve`], for a target whose primary name is known.
///
/// It does not load the unit. Loading makes the very signals that ask for this, so that a unit which is
/// not running would be loaded and dropped for ever.
pub async fn refresh(connection: &Connection, target: &Target, id: &str) -> zbus::Result<Resolution> {
    if target.is_many() {
        return matching(connection, target).await;
    }
    describe_if_loaded(connection, id).await
}

/// The units that are loaded now.
pub async fn loaded(connection: &Connection) -> zbus::Result<Loaded> {
    let units = manager(connection).await?.list_units().await?;
    Ok(units.into_iter().map(|unit| (unit.0, unit.6)).collect())
}

/// As [`resolve`], of targets that are one unit each: a call for all, and two for each that may have a control group.
///
/// What was loaded is to be found out before, so that a unit that is only because it is asked about here is known by
/// that.
pub async fn resolve_units(
    connection: &Connection,
    loaded: &Loaded,
    targets: &[&Target],
) -> zbus::Result<Vec<zbus::Result<Resolution>>> {
    let listed = list_by_names(connection, targets).await?;
    let ask = |(target, unit)| describe_listed(connection, loaded, target, unit);
    Ok(in_parallel(iter::zip(targets.iter().copied(), listed).map(ask)).await)
}

/// As [`refresh`], of a target that is one unit, when it is known what is loaded.
pub async fn refresh_unit(connection: &Connection, loaded: &Loaded, id: &str) -> zbus::Result<Resolution> {
    describe(connection, id.to_owned(), loaded.get(id)).await
}

/// Brings what is known of a template or a pattern up to date for these of its units.
pub async fn refresh_units(
    connection: &Connection,
    mut known: Resolution,
    units: &BTreeSet<String>,
) -> zbus::Result<Resolution> {
    known.running.retain(|running| !units.contains(&running.unit));
    for unit in units {
        known.running.extend(describe_if_loaded(connection, unit).await?.running);
    }
    Ok(known)
}

/// True if an error of [`resolve`] means that systemd knows no unit that could have this name.
pub fn refuses_name(error: &zbus::Error) -> bool {
    matches!(error, zbus::Error::FDO(e) if matches!(**e, fdo::Error::InvalidArgs(_)))
}

/// Runs questions to systemd, a few at a time, and gives the answers in their order.
pub async fn in_parallel<F: Future>(questions: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    stream::iter(questions).buffered(PARALLEL).collect().await
}

/// What systemd lists for targets that are one unit each, loading them; `None` where it refuses the name.
async fn list_by_names(
    connection: &Connection,
    targets: &[&Target],
) -> zbus::Result<Vec<Option<ListedUnit>>> {
    let manager = manager(connection).await?;
    let names: Vec<_> = targets.iter().map(|target| target.as_str()).collect();
    let mut found = Vec::with_capacity(names.len());
    // The first is last.
    let mut open: Vec<_> = names.chunks(NAMES_IN_A_CALL).rev().collect();
    while let Some(names) = open.pop() {
        match manager.list_units_by_names(names).await {
            Ok(units) if units.len() == names.len() => found.extend(units.into_iter().map(Some)),
            Err(error) if !refuses_name(&error) => return Err(error),
            _ if names.len() == 1 => found.push(None),
            // Which one is refused is not said.
            _ => {
                let (first, second) = names.split_at(names.len() / 2);
                open.extend([second, first]);
            }
        }
    }
    Ok(found)
}

/// As [`describe`], of a unit as it is listed for its target. One that is not was refused, and resolving it says why.
async fn describe_listed(
    connection: &Connection,
    loaded: &Loaded,
    target: &Target,
    unit: Option<ListedUnit>,
) -> zbus::Result<Resolution> {
    let Some((id, _, _, active_state, _, _, object, ..)) = unit else {
        return resolve(connection, target).await;
    };
    let idle = active_state == "inactive" && !loaded.contains_key(&id);
    describe(connection, id, (!idle).then_some(&object)).await
}

/// The instances of a template, or the units that a pattern matches.
async fn matching(connection: &Connection, target: &Target) -> zbus::Result<Resolution> {
    let name = target.as_str();
    let pattern = if target.is_template() { name.replacen('@', "@*", 1) } else { name.to_owned() };
    let units = manager(connection).await?.list_units_by_patterns(&[], &[&pattern]).await?;
    let mut running = Vec::new();
    // One by one: a few templates at once would be beyond what PARALLEL keeps to.
    for unit in units {
        running.extend(describe(connection, unit.0, Some(&unit.6)).await?.running);
    }
    Ok(Resolution { id: name.to_owned(), running })
}

/// As [`describe`], of a unit that may not be there.
async fn describe_if_loaded(connection: &Connection, name: &str) -> zbus::Result<Resolution> {
    match manager(connection).await?.get_unit(name).await {
        Ok(object) => {
            let id = primary_name(connection, &object).await?;
            describe(connection, id, Some(&object)).await
        }
        Err(error) if is_no_such_unit(&error) => describe(connection, name.to_owned(), None).await,
        Err(error) => Err(error),
    }
}

async fn primary_name(connection: &Connection, object: &OwnedObjectPath) -> zbus::Result<String> {
    property(connection, object, UNIT, "Id").await
}

/// What is to be known of the unit of this primary name. One without object does not run.
async fn describe(
    connection: &Connection,
    id: String,
    object: Option<&OwnedObjectPath>,
) -> zbus::Result<Resolution> {
    let Some(object) = object else { return Ok(Resolution { id, running: Vec::new() }) };
    let (control_group, invocation) = try_join(
        property::<String>(connection, object, interface_of(&id), "ControlGroup"),
        property::<Vec<u8>>(connection, object, UNIT, "InvocationID"),
    )
    .await?;
    // The slice that holds all others is never stopped, and its control group is the root.
    let control_group =
        if id == ROOT_SLICE && control_group.is_empty() { "/".to_owned() } else { control_group };
    let invocation_id = hexadecimal(&invocation);
    let unit = RunningUnit { unit: id.clone(), control_group, invocation_id };
    let running = if unit.control_group.is_empty() { Vec::new() } else { vec![unit] };
    Ok(Resolution { id, running })
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// The interface that has `ControlGroup`: the one of the unit's type. Aliases are of the same type.
fn interface_of(unit: &str) -> &'static str {
    match unit.rsplit_once('.').map(|(_, kind)| kind) {
        Some("scope") => "org.freedesktop.systemd1.Scope",
        Some("slice") => "org.freedesktop.systemd1.Slice",
        Some("socket") => "org.freedesktop.systemd1.Socket",
        Some("mount") => "org.freedesktop.systemd1.Mount",
        Some("swap") => "org.freedesktop.systemd1.Swap",
        _ => "org.freedesktop.systemd1.Service",
    }
}

async fn property<T>(
    connection: &Connection,
    unit: &OwnedObjectPath,
    interface: &str,
    name: &str,
) -> zbus::Result<T>
where
    T: TryFrom<OwnedVariant>,
    zbus::Error: From<T::Error>,
{
    let properties = Some("org.freedesktop.DBus.Properties");
    let reply = connection.call_method(Some(BUS_NAME), unit, properties, "Get", &(interface, name)).await?;
    Ok(reply.body().deserialize::<OwnedVariant>()?.try_into()?)
}

async fn manager(connection: &Connection) -> zbus::Result<ManagerProxy<'_>> {
    ManagerProxy::builder(connection).cache_properties(CacheProperties::No).build().await
}

fn is_no_such_unit(error: &zbus::Error) -> bool {
    matches!(error, zbus::Error::MethodError(name, ..) if name.as_str() == "org.freedesktop.systemd1.NoSuchUnit")
}
