//! Maps of the kernel side, read and changed by a program there: `bpf/access.h` says why not by system calls.

use std::io;
use std::os::fd::AsFd;

use libbpf_rs::{ErrorKind, Result};

use super::Kernel;
use crate::attach;
use crate::skel::types;
use crate::wire::{self, Wire};

/// A map that can be accessed like this.
pub(super) type Map = types::accessed_map;

/// 64-bit numbers of what is asked for.
pub(super) const ACCESS_WORDS: usize = size_of::<types::map_access>() / size_of::<u64>();

impl Kernel {
    /// The value of a key, if there is one.
    pub(super) fn read<T: Wire>(&self, map: Map, key: &[u8]) -> Result<Option<T>> {
        match self.access(map, types::map_operation::ACCESS_READ, key, &[]) {
            Ok(()) => {
                let bytes = self.map_access.bytes(0, ACCESS_WORDS).unwrap_or_default();
                let done: Option<types::map_access> = wire::read(&bytes);
                Ok(done.and_then(|done| wire::read(&done.value)))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Enters a value, or changes it.
    pub(super) fn set<T: Wire>(&self, map: Map, key: &[u8], value: &T) -> Result<()> {
        self.access(map, types::map_operation::ACCESS_SET, key, wire::bytes(value))
    }

    /// Removes a key; one that is not there is fine.
    pub(super) fn remove(&self, map: Map, key: &[u8]) -> Result<()> {
        match self.access(map, types::map_operation::ACCESS_REMOVE, key, &[]) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn access(&self, map: Map, operation: types::map_operation, key: &[u8], value: &[u8]) -> Result<()> {
        let mut asked = types::map_access { map: map.0, operation: operation.0, ..Default::default() };
        asked.key[..key.len()].copy_from_slice(key);
        asked.value[..value.len()].copy_from_slice(value);
        self.map_access.write(0, wire::bytes(&asked));
        match attach::run(self.access_map.as_fd())? {
            0 => Ok(()),
            error => Err(io::Error::from_raw_os_error(-error).into()),
        }
    }
}
