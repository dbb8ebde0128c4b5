//! The hooks of `close`, `read` and `write`.

use super::Probe;

pub const PROBES: &[Probe] = &[];
