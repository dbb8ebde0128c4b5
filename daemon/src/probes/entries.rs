//! The hooks of what makes, moves and removes names in directories.

use super::{Probe, entry, exit};
use crate::event::Event;

const MKDIR: &[Event] = &[Event::Mkdir];

pub const PROBES: &[Probe] = &[];
