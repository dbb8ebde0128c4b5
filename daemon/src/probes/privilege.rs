//! The hooks of `@privilege`.

use super::Probe;

pub const PROBES: &[Probe] = &[];
