//! `org.traceleft1.Watch`: one watch.

use std::collections::BTreeMap;
use std::sync::Arc;

use zbus::message::Header;
use zbus::{ObjectPath, OwnedObjectPath, interface};

use super::error::Error;
use super::snapshot::Snapshot;
use crate::control::{Counts, Coverage, Mailbox, Origin, Request, WatchId, WatchStatus};
use crate::names;

/// The object of a watch. It holds no state of the watch: the event loop has it.
#[derive(Clone, Debug)]
pub struct Watch {
    id: WatchId,
    mailbox: Mailbox,
    snapshot: Arc<Snapshot<WatchStatus>>,
}

impl Watch {
    /// The object of the watch of this number.
    pub fn new(id: WatchId, mailbox: Mailbox) -> Self {
        Self { id, mailbox, snapshot: Arc::new(Snapshot::new()) }
    }

    /// Puts the object on the bus. Its announcement costs one question to the event loop.
    pub async fn serve(self, server: &zbus::ObjectServer) -> zbus::Result<()> {
        let snapshot = Arc::clone(&self.snapshot);
        // A watch that is gone already is announced without properties, and removed by the next notice.
        if let Ok(status) = self.ask().await {
            snapshot.announce(status);
        }
        let added = server.at(path_of(self.id), self).await;
        snapshot.forget();
        added.map(|_| ())
    }

    async fn ask(&self) -> Result<WatchStatus, Error> {
        let id = self.id;
        let status = self.mailbox.ask(|reply| Request::Watch { id, reply }).await;
        status.ok_or_else(Error::stopping)?.ok_or_else(|| {
            Error::NoSuchWatch(format!(
                "there is no watch {} (any more); \"busctl tree {}\" shows those there are",
                path_of(id),
                names::BUS_NAME
            ))
        })
    }

    async fn status(&self, header: Option<Header<'_>>) -> Result<Arc<WatchStatus>, Error> {
        self.snapshot.get(header.as_ref(), self.ask()).await
    }

    async fn total(&self, header: Option<Header<'_>>) -> Result<Counts, Error> {
        let mut total = Counts::default();
        for (_, counts) in &self.status(header).await?.counts {
            total.seen += counts.seen;
            total.recorded += counts.recorded;
            total.results_missed += counts.results_missed;
            for (cause, lost) in &counts.lost {
                *total.lost.entry(cause).or_default() += lost;
            }
        }
        Ok(total)
    }
}

#[interface(name = "org.traceleft1.Watch", introspection_docs = false)]
impl Watch {
    #[zbus(property(emits_changed_signal = "const"))]
    async fn unit(&self, #[zbus(header)] header: Option<Header<'_>>) -> Result<String, Error> {
        Ok(self.status(header).await?.target.to_string())
    }

    // A reload may give a watch other events.
    #[zbus(property(emits_changed_signal = "false"))]
    async fn events(&self, #[zbus(header)] header: Option<Header<'_>>) -> Result<Vec<&'static str>, Error> {
        Ok(self.status(header).await?.events.iter().map(crate::event::Event::name).collect())
    }

    #[zbus(property(emits_changed_signal = "const"))]
    async fn origin(&self, #[zbus(header)] header: Option<Header<'_>>) -> Result<&'static str, Error> {
        Ok(match self.status(header).await?.origin {
            Origin::Policy(_) => "policy",
            // The self-test's is no object.
            Origin::RunTime | Origin::SelfTest => "run-time",
        })
    }

    #[zbus(property(emits_changed_signal = "const"))]
    async fn policy(&self, #[zbus(header)] header: Option<Header<'_>>) -> Result<String, Error> {
        Ok(match &self.status(header).await?.origin {
            Origin::Policy(name) => name.clone(),
            Origin::RunTime | Origin::SelfTest => String::new(),
        })
    }

    #[zbus(property(emits_changed_signal = "false"))]
    async fn control_groups(&self, #[zbus(header)] header: Option<Header<'_>>) -> Result<Vec<String>, Error> {
        Ok(self.status(header).await?.control_groups.clone())
    }

    #[zbus(property(emits_changed_signal = "false"))]
    async fn seen(&self, #[zbus(header)] header: Option<Header<'_>>) -> Result<u64, Error> {
        Ok(self.total(header).await?.seen)
    }

    #[zbus(property(emits_changed_signal = "false"))]
    async fn recorded(&self, #[zbus(header)] header: Option<Header<'_>>) -> Result<u64, Error> {
        Ok(self.total(header).await?.recorded)
    }

    #[zbus(property(emits_changed_signal = "false"))]
    async fn lost(&self, #[zbus(header)] header: Option<Header<'_>>) -> Result<u64, Error> {
        Ok(lost(&self.total(header).await?))
    }

    #[zbus(property(emits_changed_signal = "false"))]
    async fn lost_by_cause(
        &self,
        #[zbus(header)] header: Option<Header<'_>>,
    ) -> Result<BTreeMap<&'static str, u64>, Error> {
        Ok(self.total(header).await?.lost)
    }

    #[zbus(property(emits_changed_signal = "false"))]
    async fn results_missed(&self, #[zbus(header)] header: Option<Header<'_>>) -> Result<u64, Error> {
        Ok(self.total(header).await?.results_missed)
    }

    /// Event, state and detail.
    #[zbus(property(emits_changed_signal = "false"))]
    async fn coverage(
        &self,
        #[zbus(header)] header: Option<Header<'_>>,
    ) -> Result<Vec<(&'static str, &'static str, String)>, Error> {
        let row = |c: &Coverage| (c.event.name(), c.state, c.detail.clone());
        Ok(self.status(header).await?.coverage.iter().map(row).collect())
    }

    /// Seen, recorded, lost and results-missed, by event.
    #[zbus(property(emits_changed_signal = "false"))]
    async fn event_counts(
        &self,
        #[zbus(header)] header: Option<Header<'_>>,
    ) -> Result<BTreeMap<&'static str, (u64, u64, u64, u64)>, Error> {
        let status = self.status(header).await?;
        let row = |c: &Counts| (c.seen, c.recorded, lost(c), c.results_missed);
        Ok(status.counts.iter().map(|(event, counts)| (event.name(), row(counts))).collect())
    }
}

/// Sum of the losses of all causes.
pub fn lost(counts: &Counts) -> u64 {
    counts.lost.values().sum()
}

/// Object path of a watch.
///
/// # Panics
/// Never: digits after a slash make an object path.
pub fn path_of(id: WatchId) -> OwnedObjectPath {
    ObjectPath::try_from(format!("{}/{id}", names::WATCH_PATH)).expect("digits are valid in a path").into()
}

/// Number of the watch with this object path, if it can be one.
pub fn id_of(path: &ObjectPath<'_>) -> Option<WatchId> {
    let digits = path.as_str().strip_prefix(names::WATCH_PATH)?.strip_prefix('/')?;
    // One object has one path: no sign, no leading zero.
    digits.parse().ok().filter(|id: &WatchId| id.to_string() == digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_watches() {
        #[rustfmt::skip]
        let cases = [
            ("/org/traceleft1/watch/7", Some(7)),
            ("/org/traceleft1/watch/4294967295", Some(u32::MAX)),
            ("/org/traceleft1/watch/4294967296", None),
            ("/org/traceleft1/watch/07", None),
            ("/org/traceleft1/watch/7/8", None),
            ("/org/traceleft1/watch/x", None),
            ("/org/traceleft1/watch", None),
            ("/org/traceleft1/watches7", None),
            ("/7", None),
            ("/", None),
        ];
        for (path, id) in cases {
            assert_eq!(id_of(&ObjectPath::try_from(path).unwrap()), id, "{path}");
        }
        assert_eq!(path_of(7).as_str(), "/org/traceleft1/watch/7");
    }
}
