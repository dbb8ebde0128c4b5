//! The hooks that tell what journald does with our records.

use super::{Probe, entry, newer, optional};

const fn of_journald(probe: Probe) -> Probe {
    Probe { of_journald: true, ..probe }
}

pub const PROBES: &[Probe] = &[
    // Not what they share: a kernel may have that in one of them by itself and in another inlined.
    of_journald(optional(entry("probe_turn", &["__x64_sys_epoll_wait"], &[]))),
    of_journald(optional(entry("probe_turn", &["__x64_sys_epoll_pwait"], &[]))),
    of_journald(newer(entry("probe_turn", &["__x64_sys_epoll_pwait2"], &[]))),
    of_journald(optional(entry("probe_datagram", &["__sock_recv_timestamp"], &[]))),
    // By another name before v6.10.
    of_journald(optional(entry("probe_timer", &["timerfd_read_iter", "timerfd_read"], &[]))),
];
