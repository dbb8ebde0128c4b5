//! The hooks of `@network`.

use super::{Probe, entry, exit, optional};
use crate::event::Event;

const TCP_CONNECT: &[Event] = &[Event::TcpConnect];

pub const PROBES: &[Probe] = &[
    entry("probe_tcp_state", &["tcp_set_state"], TCP_CONNECT),
    exit("return_tcp_connect", &["tcp_v4_connect"], TCP_CONNECT),
    optional(exit("return_tcp_connect", &["tcp_v6_connect"], TCP_CONNECT)),
    entry("probe_tcp_connect", &["tcp_v4_connect"], TCP_CONNECT),
    optional(entry("probe_tcp_connect", &["tcp_v6_connect"], TCP_CONNECT)),
];
