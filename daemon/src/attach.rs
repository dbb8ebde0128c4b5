//! Attaching and running BPF programs by their descriptors alone, and what the kernel counts of them.
//!
//! libbpf attaches what it has loaded, and would have to be kept for that: its object with a copy of each program
//! and a descriptor of each map, once for every time that programs are loaded.

#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use libbpf_rs::libbpf_sys;
use nix::libc;
use perf_event_open_sys::{bindings, ioctls, perf_event_open};

/// Attaches to the definition in tracefs that has this id, until the descriptor is closed.
pub fn tracepoint(program: BorrowedFd<'_>, id: u64) -> io::Result<OwnedFd> {
    let mut attributes = bindings::perf_event_attr {
        size: u32::try_from(size_of::<bindings::perf_event_attr>()).map_err(io::Error::other)?,
        type_: bindings::PERF_TYPE_TRACEPOINT,
        config: id,
        ..Default::default()
    };
    let flags = u64::from(bindings::PERF_FLAG_FD_CLOEXEC);
    // SAFETY: the attributes are whole and outlive the call. All processes are meant, on one processor, as is the
    // way for a program: it runs on whichever the probe is hit.
    let event = unsafe { perf_event_open(&raw mut attributes, -1, 0, -1, flags) };
    let event = owned(event)?;
    // SAFETY: both descriptors are open.
    done(unsafe { ioctls::SET_BPF(event.as_raw_fd(), program.as_raw_fd().cast_unsigned()) })?;
    // SAFETY: the descriptor is open.
    done(unsafe { ioctls::ENABLE(event.as_raw_fd(), 0) })?;
    Ok(event)
}

/// Attaches to a tracepoint of the kernel, until the descriptor is closed.
pub fn raw_tracepoint(program: BorrowedFd<'_>, name: &str) -> io::Result<OwnedFd> {
    let name = CString::new(name)?;
    // SAFETY: the name is terminated and outlives the call.
    owned(unsafe { libbpf_sys::bpf_raw_tracepoint_open(name.as_ptr(), program.as_raw_fd()) })
}

/// Attaches to the function that the program was loaded for, until the descriptor is closed.
pub fn trampoline(program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: no name is given, as is right for such a program.
    owned(unsafe { libbpf_sys::bpf_raw_tracepoint_open(std::ptr::null(), program.as_raw_fd()) })
}

/// Runs a program that needs no context, and gives what it returns.
pub fn run(program: BorrowedFd<'_>) -> io::Result<i32> {
    let mut options = libbpf_sys::bpf_test_run_opts {
        sz: size_of::<libbpf_sys::bpf_test_run_opts>() as libbpf_sys::size_t,
        ..Default::default()
    };
    // SAFETY: the descriptor is open, and the options outlive the call; they point to no other memory.
    done(unsafe { libbpf_sys::bpf_prog_test_run_opts(program.as_raw_fd(), &raw mut options) })?;
    Ok(options.retval.cast_signed())
}

/// How often a program ran, where the kernel counts that, and how often it was not started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProgramCounts {
    /// Where `kernel.bpf_stats_enabled` is set.
    pub runs: u64,
    /// Since it ran already on that processor, or a map was being read or written there by a system call. Linux 5.10
    /// does not say; it leaves out only what is on top of another program of a kprobe.
    pub missed: u64,
}

/// What the kernel has counted of a program.
pub fn program_counts(program: BorrowedFd<'_>) -> io::Result<ProgramCounts> {
    let mut info = libbpf_sys::bpf_prog_info::default();
    let mut length = u32::try_from(size_of_val(&info)).map_err(io::Error::other)?;
    // SAFETY: the structure is as long as is said, and outlives the call; it points to no other memory.
    done(unsafe {
        libbpf_sys::bpf_prog_get_info_by_fd(program.as_raw_fd(), &raw mut info, &raw mut length)
    })?;
    Ok(ProgramCounts { runs: info.run_cnt, missed: info.recursion_misses })
}

/// Gives back to the kernel what memory is free. While libbpf has an object open, it takes several times what stays of it.
pub fn give_back_memory() {
    // SAFETY: it touches nothing that is in use.
    unsafe { libc::malloc_trim(0) };
}

fn done(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The descriptor that a call has returned.
fn owned(descriptor: i32) -> io::Result<OwnedFd> {
    // SAFETY: it is new, so nobody else has it.
    done(descriptor).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}
