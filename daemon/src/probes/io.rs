//! The hooks of `close`, `read` and `write`.

use super::{Probe, entry, exit, optional};
use crate::event::Event;

const CLOSE: &[Event] = &[Event::Close];
const READ: &[Event] = &[Event::Read];
const WRITE: &[Event] = &[Event::Write];
const READ_WRITE: &[Event] = &[Event::Read, Event::Write];

pub const PROBES: &[Probe] = &[
    // close
    exit("return_flush", &["filp_flush", "filp_close"], CLOSE),
    exit("return_close", &["file_close_fd", "close_fd"], CLOSE),
    optional(exit("return_close_range", &["__x64_sys_close_range"], CLOSE)),
    optional(exit("return_close_range", &["__ia32_sys_close_range"], CLOSE)),
    optional(exit("return_uring_close", &["io_close"], CLOSE)),
    entry("probe_flush", &["filp_flush", "filp_close"], CLOSE),
    optional(entry("probe_pick", &["file_close_fd_locked", "pick_file"], CLOSE)),
    entry("probe_close", &["file_close_fd", "close_fd"], CLOSE),
    optional(entry("probe_close_range", &["__x64_sys_close_range"], CLOSE)),
    optional(entry("probe_close_range", &["__ia32_sys_close_range"], CLOSE)),
    optional(entry("probe_uring_close", &["io_close"], CLOSE)),
    // read
    exit("return_read", &["ksys_read"], READ),
    exit("return_read", &["__x64_sys_pread64"], READ),
    optional(exit("return_read", &["ksys_pread64"], READ)),
    exit("return_readv", &["do_readv"], READ),
    exit("return_readv", &["__x64_sys_preadv"], READ),
    exit("return_readv", &["do_preadv"], READ),
    optional(exit("return_in", &["__x64_sys_sendfile64"], READ)),
    optional(exit("return_in", &["__ia32_sys_sendfile64"], READ)),
    optional(exit("return_in", &["__ia32_compat_sys_sendfile"], READ)),
    optional(exit("return_in", &["__x64_sys_splice"], READ)),
    optional(exit("return_in", &["__ia32_sys_splice"], READ)),
    optional(exit("return_in", &["__x64_sys_copy_file_range"], READ)),
    optional(exit("return_in", &["__ia32_sys_copy_file_range"], READ)),
    optional(exit("return_uring_read", &["io_read"], READ)),
    optional(exit("return_uring_multishot", &["__io_read"], READ)),
    // write
    exit("return_write", &["ksys_write"], WRITE),
    exit("return_write", &["__x64_sys_pwrite64"], WRITE),
    optional(exit("return_write", &["ksys_pwrite64"], WRITE)),
    exit("return_writev", &["do_writev"], WRITE),
    exit("return_writev", &["__x64_sys_pwritev"], WRITE),
    exit("return_writev", &["do_pwritev"], WRITE),
    optional(exit("return_out", &["__x64_sys_sendfile64"], WRITE)),
    optional(exit("return_out", &["__ia32_sys_sendfile64"], WRITE)),
    optional(exit("return_out", &["__ia32_compat_sys_sendfile"], WRITE)),
    optional(exit("return_out", &["__x64_sys_splice"], WRITE)),
    optional(exit("return_out", &["__ia32_sys_splice"], WRITE)),
    optional(exit("return_out", &["__x64_sys_copy_file_range"], WRITE)),
    optional(exit("return_out", &["__ia32_sys_copy_file_range"], WRITE)),
    optional(exit("return_uring_write", &["io_write"], WRITE)),
    // Both
    optional(entry("probe_uring_rw_complete", &["io_complete_rw"], READ_WRITE)),
    optional(entry("probe_uring_post", &["io_req_complete_post"], READ_WRITE)),
    entry("probe_verify_area", &["rw_verify_area"], READ_WRITE),
    // read
    optional(entry("probe_file_in", &["do_splice"], READ)),
    optional(entry("probe_file_in", &["vfs_copy_file_range"], READ)),
    entry("probe_read", &["ksys_read"], READ),
    entry("probe_pread_inlined", &["__x64_sys_pread64"], READ),
    optional(entry("probe_pread", &["ksys_pread64"], READ)),
    entry("probe_readv", &["do_readv"], READ),
    entry("probe_preadv_inlined", &["__x64_sys_preadv"], READ),
    entry("probe_preadv", &["do_preadv"], READ),
    optional(entry("probe_sendfile_in", &["__x64_sys_sendfile64"], READ)),
    optional(entry("probe_sendfile_in", &["__ia32_sys_sendfile64"], READ)),
    optional(entry("probe_sendfile_in", &["__ia32_compat_sys_sendfile"], READ)),
    optional(entry("probe_splice_in", &["__x64_sys_splice"], READ)),
    optional(entry("probe_splice_in", &["__ia32_sys_splice"], READ)),
    optional(entry("probe_splice_in", &["__x64_sys_copy_file_range"], READ)),
    optional(entry("probe_splice_in", &["__ia32_sys_copy_file_range"], READ)),
    optional(entry("probe_uring_read", &["io_read"], READ)),
    optional(entry("probe_uring_read", &["io_read_mshot"], READ)),
    // write
    optional(entry("probe_file_out", &["do_splice"], WRITE)),
    optional(entry("probe_file_out", &["vfs_copy_file_range"], WRITE)),
    entry("probe_write", &["ksys_write"], WRITE),
    entry("probe_pwrite_inlined", &["__x64_sys_pwrite64"], WRITE),
    optional(entry("probe_pwrite", &["ksys_pwrite64"], WRITE)),
    entry("probe_writev", &["do_writev"], WRITE),
    entry("probe_pwritev_inlined", &["__x64_sys_pwritev"], WRITE),
    entry("probe_pwritev", &["do_pwritev"], WRITE),
    optional(entry("probe_sendfile_out", &["__x64_sys_sendfile64"], WRITE)),
    optional(entry("probe_sendfile_out", &["__ia32_sys_sendfile64"], WRITE)),
    optional(entry("probe_sendfile_out", &["__ia32_compat_sys_sendfile"], WRITE)),
    optional(entry("probe_splice_out", &["__x64_sys_splice"], WRITE)),
    optional(entry("probe_splice_out", &["__ia32_sys_splice"], WRITE)),
    optional(entry("probe_splice_out", &["__x64_sys_copy_file_range"], WRITE)),
    optional(entry("probe_splice_out", &["__ia32_sys_copy_file_range"], WRITE)),
    optional(entry("probe_uring_write", &["io_write"], WRITE)),
];
