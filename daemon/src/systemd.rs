//! What systemd says of units over the bus: resolution of targets, and the signals that outdate it.
//!
//! Facts relied on, the same in systemd 247 to 258 (`src/core/dbus-manager.c`, `dbus-unit.c`):
//! `LoadUnit` succeeds for a unit that has no file (`LoadState=not-found`), and fails with `InvalidArgs`
//! for a name that no unit can have. `ControlGroup` is empty while a unit has no control group.
//! A unit that is loaded only because somebody asked is dropped again at once, and both make signals.

use std::collections::BTreeSet;

use futures_channel::mpsc::UnboundedSender;
use futures_util::future::{ready, try_join3};
use futures_util::stream::{self, StreamExt};
use zbus::names::BusName;
use zbus::proxy::CacheProperties;
use zbus::{Connection, OwnedObjectPath, OwnedVariant, fdo, proxy};

use crate::control::{Resolution, RunningUnit};
use crate::names::SELF_TEST_UNIT;
use crate::unit_name::{ROOT_SLICE, Target};

/// Name of the service manager on the bus.
pub const BUS_NAME: &str = "org.freedesktop.systemd1";

/// Targets asked about at once, with up to three calls each: enough to hide the way there and back, and
/// within the 128 calls that dbus-daemon lets one connection wait for (`max_replies_per_connection`).
const PARALLEL: usize = 24;

/// One row of `ListUnitsByPatterns`: name, description, load, active and sub state, followed unit, object,
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
    let unit_interface = "org.freedesktop.systemd1.Unit";
    let (id, job) = property::<(u32, OwnedObjectPath)>(connection, &unit, unit_interface, "Job").await?;
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
    let unit = manager(connection).await?.load_unit(target.as_str()).await?;
    let (id, running) = describe(connection, &unit, target.as_str()).await?;
    Ok(Resolution { id, running: running.into_iter().collect() })
}

/// As [`resolve`], for a target whose primary name is known.
///
/// It does not load the unit. Loading makes the very signals that ask for this, so that a unit which is
/// not running would be loaded and dropped for ever.
pub async fn refresh(connection: &Connection, target: &Target, id: &str) -> zbus::Result<Resolution> {
    if target.is_many() {
        return matching(connection, target).await;
    }
    let (id, running) = describe_if_loaded(connection, id).await?;
    Ok(Resolution { id, running: running.into_iter().collect() })
}

/// Brings what is known of a template or a pattern up to date for these of its units.
pub async fn refresh_units(
    connection: &Connection,
    mut known: Resolution,
    units: &BTreeSet<String>,
) -> zbus::Result<Resolution> {
    known.running.retain(|running| !units.contains(&running.unit));
    for unit in units {
        known.running.extend(describe_if_loaded(connection, unit).await?.1);
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

/// The instances of a template, or the units that a pattern matches.
async fn matching(connection: &Connection, target: &Target) -> zbus::Result<Resolution> {
    let name = target.as_str();
    let pattern = if target.is_template() { name.replacen('@', "@*", 1) } else { name.to_owned() };
    let units = manager(connection).await?.list_units_by_patterns(&[], &[&pattern]).await?;
    let mut running = Vec::new();
    // One by one: a few templates at once would be beyond what PARALLEL keeps to.
    for unit in units {
        running.extend(describe(connection, &unit.6, &unit.0).await?.1);
    }
    Ok(Resolution { id: name.to_owned(), running })
}

/// As [`describe`], of a unit that may not be there.
async fn describe_if_loaded(
    connection: &Connection,
    name: &str,
) -> zbus::Result<(String, Option<RunningUnit>)> {
    match manager(connection).await?.get_unit(name).await {
        Ok(unit) => describe(connection, &unit, name).await,
        Err(error) if is_no_such_unit(&error) => Ok((name.to_owned(), None)),
        Err(error) => Err(error),
    }
}

/// Reads the primary name of a unit, and the rest if it has a control group. `name` is any of its names.
async fn describe(
    connection: &Connection,
    unit: &OwnedObjectPath,
    name: &str,
) -> zbus::Result<(String, Option<RunningUnit>)> {
    const UNIT: &str = "org.freedesktop.systemd1.Unit";
    let (id, control_group, invocation) = try_join3(
        property::<String>(connection, unit, UNIT, "Id"),
        property::<String>(connection, unit, interface_of(name), "ControlGroup"),
        property::<Vec<u8>>(connection, unit, UNIT, "InvocationID"),
    )
    .await?;
    // The slice that holds all others is never stopped, and its control group is the root.
    let control_group =
        if id == ROOT_SLICE && control_group.is_empty() { "/".to_owned() } else { control_group };
    if control_group.is_empty() {
        return Ok((id, None));
    }
    let invocation_id = hexadecimal(&invocation);
    Ok((id.clone(), Some(RunningUnit { unit: id, control_group, invocation_id })))
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
