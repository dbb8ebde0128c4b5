//! The service manager's store of descriptors: what is in it outlives the daemon, until the unit is stopped.
//!
//! `FDPOLL=0` with each: systemd drops what polls as closed otherwise, as maps and perf events do.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::pipe2;
use sd_notify::NotifyState;

use crate::service;

/// How long the service manager may take to look at what it was sent, in tries of one second: longer than it takes to
/// read its units again.
const TRIES: u32 = 120;

/// What the daemon before has left in the store, by name.
pub type Inherited = HashMap<String, OwnedFd>;

/// Takes over what is in the store. Once, at the beginning.
#[allow(unsafe_code)]
pub fn inherit() -> io::Result<Inherited> {
    // SAFETY: the descriptors were made for this process by the service manager, and nobody else takes them over.
    Ok(sd_notify::listen_fds_with_names()?
        .map(|(fd, name)| (name, unsafe { OwnedFd::from_raw_fd(fd) }))
        .collect())
}

/// Puts a descriptor into the store.
pub fn put(name: &str, descriptor: BorrowedFd<'_>) -> io::Result<()> {
    let what = [NotifyState::FdStore, NotifyState::FdName(name), NotifyState::Custom("FDPOLL=0")];
    sd_notify::notify_with_fds(&what, &[descriptor])
}

/// Takes descriptors out of the store. They are closed there some time after [`synchronize`].
pub fn remove<'a>(names: impl IntoIterator<Item = &'a str>) -> io::Result<()> {
    for name in names {
        sd_notify::notify(&[NotifyState::FdStoreRemove, NotifyState::FdName(name)])?;
    }
    Ok(())
}

/// Returns when the service manager has done what it was told before.
pub fn synchronize() -> io::Result<()> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
    sd_notify::notify_with_fds(&[NotifyState::Custom("BARRIER=1")], &[write.as_fd()])?;
    drop(write);
    for _ in 0..TRIES {
        match poll(&mut [PollFd::new(read.as_fd(), PollFlags::empty())], PollTimeout::from(1000u16)) {
            Ok(0) | Err(Errno::EINTR) => service::at_work(),
            Ok(_) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}
