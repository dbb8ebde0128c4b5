//! The hooks of what changes files, and of mounts: `truncate`, `chmod`, `chown`, `setxattr`, `mount`, `umount`.

use super::Probe;

pub const PROBES: &[Probe] = &[];
