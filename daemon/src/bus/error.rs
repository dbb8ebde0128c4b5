//! The errors that bus calls get, by the names that callers can rely on.

use zbus::DBusError;

use crate::control::Refusal;
use crate::event::UnknownEvent;
use crate::systemd;
use crate::unit_name::InvalidUnitName;

/// Why a call on the bus was refused. Nothing was changed.
#[derive(Debug, PartialEq, Eq, DBusError)]
#[zbus(prefix = "org")]
pub enum Error {
    /// A name is neither an event nor a group of events.
    #[zbus(name = "traceleft1.Error.UnknownEvent")]
    UnknownEvent(String),
    /// A name cannot be that of a unit with a control group.
    #[zbus(name = "traceleft1.Error.InvalidUnitName")]
    InvalidUnitName(String),
    /// There is no such watch.
    #[zbus(name = "traceleft1.Error.NoSuchWatch")]
    NoSuchWatch(String),
    /// The watch is a policy's.
    #[zbus(name = "traceleft1.Error.NotRunTime")]
    NotRunTime(String),
    /// The policies in the files are not valid.
    #[zbus(name = "traceleft1.Error.InvalidPolicy")]
    InvalidPolicy(String),
    /// The kernel refused a probe or a map entry.
    #[zbus(name = "traceleft1.Error.Kernel")]
    Kernel(String),
    /// A limit of the configuration is reached.
    #[zbus(name = "traceleft1.Error.LimitReached")]
    LimitReached(String),
    /// systemd does not answer.
    #[zbus(name = "traceleft1.Error.NoSystemd")]
    NoSystemd(String),
    /// The call itself makes no sense.
    #[zbus(name = "freedesktop.DBus.Error.InvalidArgs")]
    InvalidArgs(String),
    /// Anything else.
    #[zbus(name = "freedesktop.DBus.Error.Failed")]
    Failed(String),
}

impl Error {
    /// The event loop has ended, so there is nobody to answer.
    pub fn stopping() -> Self {
        Self::Failed("traceleftd is stopping; call again when it runs".to_owned())
    }

    /// Why a target could not be resolved.
    pub fn resolution(unit: &str, error: &zbus::Error) -> Self {
        if systemd::refuses_name(error) {
            return Self::InvalidUnitName(format!(
                "cannot watch {unit:?}: systemd refuses the name: {error}"
            ));
        }
        Self::NoSystemd(format!(
            "cannot ask systemd for the control group of {unit}: {error}; \
             \"busctl status org.freedesktop.systemd1\" shows whether it is on the bus"
        ))
    }
}

impl From<UnknownEvent> for Error {
    fn from(error: UnknownEvent) -> Self {
        Self::UnknownEvent(error.to_string())
    }
}

impl From<InvalidUnitName> for Error {
    fn from(error: InvalidUnitName) -> Self {
        Self::InvalidUnitName(error.to_string())
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoSuchWatch(text) => Self::NoSuchWatch(text),
            Refusal::NotRunTime(text) => Self::NotRunTime(text),
            Refusal::InvalidPolicy(text) => Self::InvalidPolicy(text),
            Refusal::Kernel(text) => Self::Kernel(text),
            Refusal::LimitReached(text) => Self::LimitReached(text),
        }
    }
}
