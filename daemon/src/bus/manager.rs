//! `org.traceleft1.Manager`: makes and removes watches, and shows the ledger.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_channel::{mpsc, oneshot};
use zbus::message::Header;
use zbus::proxy::CacheProperties;
use zbus::{Connection, ObjectPath, OwnedObjectPath, fdo, interface};

use super::error::Error;
use super::snapshot::Snapshot;
use super::watch::{self, id_of, path_of};
use crate::control::{Caller, Mailbox, Request, Resolution, Status, WatchId};
use crate::event::EventSet;
use crate::names;
use crate::systemd;
use crate::unit_name::Target;

/// What a call has changed, for the service to follow with its objects before the call is answered.
#[derive(Debug)]
pub enum Command {
    /// The event loop has a new watch.
    Added {
        /// Its number.
        id: WatchId,
        /// What is watched.
        target: Target,
        /// What the event loop was told of the target.
        resolution: Resolution,
        /// Its object is there.
        done: oneshot::Sender<()>,
    },
    /// The event loop has removed a watch.
    Removed {
        /// Its number.
        id: WatchId,
        /// Its object is gone.
        done: oneshot::Sender<()>,
    },
}

/// The object of the daemon. zbus runs each call as a task of its own, so a long one holds up no other.
#[derive(Debug)]
pub struct Manager {
    mailbox: Mailbox,
    commands: mpsc::UnboundedSender<Command>,
    snapshot: Snapshot<Status>,
}

impl Manager {
    /// An object that asks `mailbox`, and tells `commands` which objects to make.
    pub fn new(mailbox: Mailbox, commands: mpsc::UnboundedSender<Command>) -> Self {
        Self { mailbox, commands, snapshot: Snapshot::new() }
    }

    async fn status(&self, header: Option<Header<'_>>) -> Result<Arc<Status>, Error> {
        let ask =
            async { self.mailbox.ask(|reply| Request::Status { reply }).await.ok_or_else(Error::stopping) };
        self.snapshot.get(header.as_ref(), ask).await
    }

    /// Waits until the service has followed with its objects.
    async fn follow(&self, command: impl FnOnce(oneshot::Sender<()>) -> Command) {
        let (done, followed) = oneshot::channel();
        if self.commands.unbounded_send(command(done)).is_ok() {
            // Cancelled if the service stops: what was asked for is done nevertheless.
            let _ = followed.await;
        }
    }
}

#[interface(name = "org.traceleft1.Manager", introspection_docs = false)]
impl Manager {
    #[zbus(out_args("watch"))]
    async fn add_watch(
        &self,
        unit: &str,
        events: Vec<String>,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        let target = Target::parse(unit)?;
        let events = read_events(&events)?;
        let caller = caller(connection, &header).await?;
        let resolution =
            systemd::resolve(connection, &target).await.map_err(|error| Error::resolution(unit, &error))?;
        let id = self
            .mailbox
            .ask(|reply| Request::AddWatch {
                target: target.clone(),
                events,
                resolution: resolution.clone(),
                caller,
                reply,
            })
            .await
            .ok_or_else(Error::stopping)??;
        self.follow(|done| Command::Added { id, target, resolution, done }).await;
        Ok(path_of(id))
    }

    async fn remove_watch(
        &self,
        watch: ObjectPath<'_>,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        let id = id_of(&watch).ok_or_else(|| {
            Error::NoSuchWatch(format!(
                "{watch} is not the object of a watch; expected {}/NUMBER, as AddWatch returns it",
                names::WATCH_PATH
            ))
        })?;
        let caller = caller(connection, &header).await?;
        self.mailbox
            .ask(|reply| Request::RemoveWatch { id, caller, reply })
            .await
            .ok_or_else(Error::stopping)??;
        self.follow(|done| Command::Removed { id, done }).await;
        Ok(())
    }

    async fn reload(&self) -> Result<(), Error> {
        Ok(self.mailbox.ask(|reply| Request::Reload { reply }).await.ok_or_else(Error::stopping)??)
    }

    async fn flush(&self) -> Result<(), Error> {
        self.mailbox.ask(|reply| Request::Flush { reply }).await.ok_or_else(Error::stopping)
    }

    #[expect(clippy::unused_self, reason = "zbus takes methods as properties")]
    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> &'static str {
        names::VERSION
    }

    #[zbus(property(emits_changed_signal = "false"))]
    async fn seen(&self, #[zbus(header)] header: Option<Header<'_>>) -> Result<u64, Error> {
        Ok(self.status(header).await?.total.seen)
    }

    #[zbus(property(emits_changed_signal = "false"))]
    async fn recorded(&self, #[zbus(header)] header: Option<Header<'_>>) -> Result<u64, Error> {
        Ok(self.status(header).await?.total.recorded)
    }

    #[zbus(property(emits_changed_signal = "false"))]
    async fn lost(&self, #[zbus(header)] header: Option<Header<'_>>) -> Result<u64, Error> {
        Ok(watch::lost(&self.status(header).await?.total))
    }

    #[zbus(property(emits_changed_signal = "false"))]
    async fn lost_by_cause(
        &self,
        #[zbus(header)] header: Option<Header<'_>>,
    ) -> Result<BTreeMap<&'static str, u64>, Error> {
        Ok(self.status(header).await?.total.lost.clone())
    }

    #[zbus(property(emits_changed_signal = "false"))]
    async fn results_missed(&self, #[zbus(header)] header: Option<Header<'_>>) -> Result<u64, Error> {
        Ok(self.status(header).await?.total.results_missed)
    }

    /// Function, type, hits and misses.
    #[zbus(property(emits_changed_signal = "false"))]
    async fn probes(
        &self,
        #[zbus(header)] header: Option<Header<'_>>,
    ) -> Result<Vec<(String, &'static str, u64, u64)>, Error> {
        let status = self.status(header).await?;
        Ok(status.probes.iter().map(|p| (p.function.clone(), p.kind, p.hits, p.misses)).collect())
    }
}

fn read_events(names: &[String]) -> Result<EventSet, Error> {
    if names.is_empty() {
        return Err(Error::InvalidArgs(
            "a watch needs at least one event; expected names like open or @network".to_owned(),
        ));
    }
    let mut events = EventSet::default();
    for name in names {
        events.insert_named(name)?;
    }
    Ok(events)
}

/// Who sent a call, by what the bus itself knows of the connection.
async fn caller(connection: &Connection, header: &Header<'_>) -> Result<Caller, Error> {
    let unknown = |why: String| Error::Failed(format!("cannot find out who calls: {why}"));
    let sender = header.sender().ok_or_else(|| unknown("the call has no sender".to_owned()))?;
    let ask = async {
        let bus = fdo::DBusProxy::builder(connection).cache_properties(CacheProperties::No).build().await?;
        bus.get_connection_credentials(sender.to_owned().into()).await
    };
    let credentials = ask.await.map_err(|error: fdo::Error| unknown(error.to_string()))?;
    match (credentials.process_id(), credentials.unix_user_id()) {
        (Some(pid), Some(uid)) => Ok(Caller { pid, uid }),
        _ => Err(unknown(format!("the bus has no process or user id of {sender}"))),
    }
}
