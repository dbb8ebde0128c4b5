//! One answer of the event loop for all properties of one bus call.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};

use zbus::message::Header;

use super::error::Error;

/// Keeps the state that one `GetAll` shows: its properties are then of one moment, and cost one question
/// to the event loop, where zbus has a getter called for each.
#[derive(Debug)]
pub struct Snapshot<T>(Mutex<Option<(Call, Arc<T>)>>);

/// A call on the bus: who and which. `None` where zbus reads properties of its own accord.
type Call = Option<(String, NonZeroU32)>;

impl<T> Snapshot<T> {
    /// Nothing asked yet.
    pub fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// The state for the call with this header: as kept if the call was here before, else as `ask` says.
    pub async fn get(
        &self,
        header: Option<&Header<'_>>,
        ask: impl Future<Output = Result<T, Error>>,
    ) -> Result<Arc<T>, Error> {
        let call = header.and_then(|h| Some((h.sender()?.as_str().to_owned(), h.primary().serial_num())));
        if let Some((of, state)) = &*self.slot()
            && *of == call
        {
            return Ok(Arc::clone(state));
        }
        let state = Arc::new(ask.await?);
        if call.is_some() {
            *self.slot() = Some((call, Arc::clone(&state)));
        }
        Ok(state)
    }

    /// Keeps the state that an object is announced with (`InterfacesAdded`), until [`Self::forget`].
    pub fn announce(&self, state: T) {
        *self.slot() = Some((None, Arc::new(state)));
    }

    /// Drops what is kept.
    pub fn forget(&self) {
        *self.slot() = None;
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<(Call, Arc<T>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
