//! The hooks of `open`.

use super::{Probe, entry, exit, newer, optional};
use crate::event::Event;

const OPEN: &[Event] = &[Event::Open];

pub const PROBES: &[Probe] = &[
    entry("probe_put_unused_fd", &["put_unused_fd"], OPEN),
    entry("probe_fd_install", &["fd_install"], OPEN),
    exit("return_open", &["do_sys_openat2"], OPEN),
    entry("probe_filp_open", &["do_filp_open", "do_file_open"], OPEN),
    optional(exit("return_open", &["do_handle_open"], OPEN)),
    optional(entry("probe_handle_open", &["do_handle_open"], OPEN)),
    newer(entry("probe_fixed_fd_install", &["io_fixed_fd_install"], OPEN)),
    optional(exit("return_uring_open", &["io_openat2"], OPEN)),
    optional(entry("probe_uring_complete", &["io_req_complete_post"], OPEN)),
    optional(entry("probe_uring_open", &["io_openat2"], OPEN)),
];
