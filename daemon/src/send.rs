//! `sendmmsg(2)` with headers that outlive the process.
//!
//! The kernel notes in the header of each message that it has sent it, before the call returns; so who finds the
//! headers knows of a batch how far it came, even if the sender was killed on the way.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{self, Write};
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::libc::{self, mmsghdr};
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::memory::{BATCH, MESSAGE_WORDS, Memory};

/// Stands where the kernel puts how many bytes it has sent of a message; none can have so many.
const NOT_SENT: u32 = u32::MAX;

const _: () = assert!(size_of::<mmsghdr>() == MESSAGE_WORDS * size_of::<u64>());

fn header(memory: &Memory, message: usize) -> *mut mmsghdr {
    memory.message(message).as_ptr().cast()
}

/// True if the kernel has sent this message of the batch.
pub fn is_sent(memory: &Memory, message: usize) -> bool {
    // SAFETY: the memory has room for the headers of all messages of a batch, of which any bytes are one.
    unsafe { ptr::read_volatile(&raw const (*header(memory, message)).msg_len) != NOT_SENT }
}

/// The messages of a batch, and what their headers point to.
#[derive(Debug)]
pub struct Messages<'a> {
    memory: &'a Memory,
    count: usize,
    /// Pointed to by the headers.
    _parts: Vec<libc::iovec>,
}

impl<'a> Messages<'a> {
    /// Prepares the headers of these messages, [`BATCH`] at most, none of which is sent.
    pub fn prepare(memory: &'a Memory, entries: &'a [&[u8]]) -> Self {
        let part = |e: &&[u8]| libc::iovec { iov_base: e.as_ptr().cast_mut().cast(), iov_len: e.len() };
        let mut parts: Vec<_> = entries.iter().take(BATCH).map(part).collect();
        for (i, part) in parts.iter_mut().enumerate() {
            // SAFETY: a header of zeros is one without address, data and flags.
            let mut new: mmsghdr = unsafe { mem::zeroed() };
            new.msg_hdr.msg_iov = part;
            new.msg_hdr.msg_iovlen = 1;
            new.msg_len = NOT_SENT;
            // SAFETY: there is room for it, see `is_sent`, and nothing borrows it.
            unsafe { ptr::write_volatile(header(memory, i), new) };
        }
        Self { memory, count: parts.len(), _parts: parts }
    }

    /// Sends those from this one on, without waiting. Returns how many were; an error only if none was.
    pub fn send(&mut self, socket: BorrowedFd<'_>, from: usize) -> Result<usize, Errno> {
        self.send_range(socket, from, self.count - from)
    }

    fn send_range(&mut self, socket: BorrowedFd<'_>, from: usize, count: usize) -> Result<usize, Errno> {
        let count = u32::try_from(count).map_err(|_| Errno::EINVAL)?;
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        // SAFETY: so many headers are there from this one on, and what they point to lives as long as `self`.
        let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), header(self.memory, from), count, flags) };
        Errno::result(sent).map(|sent| usize::try_from(sent).unwrap_or_default())
    }

    /// Sends one of them, which is too large for a datagram, as a file of memory.
    pub fn send_as_file(
        &mut self,
        socket: BorrowedFd<'_>,
        message: usize,
        entry: &[u8],
    ) -> Result<(), Errno> {
        let file = sealed(entry).map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO)))?;
        let mut control = [0u64; 4];
        let length = u32::try_from(size_of::<libc::c_int>()).map_err(|_| Errno::EINVAL)?;
        // SAFETY: this one only counts.
        let space = unsafe { libc::CMSG_SPACE(length) } as usize;
        assert!(space <= size_of_val(&control));
        // SAFETY: the header is there, see `is_sent`; `control` outlives the call, has room for one descriptor, and is
        // aligned as its header has to be.
        unsafe {
            let hdr = &mut (*header(self.memory, message)).msg_hdr;
            hdr.msg_iovlen = 0;
            hdr.msg_control = control.as_mut_ptr().cast();
            hdr.msg_controllen = space;
            let part = libc::CMSG_FIRSTHDR(hdr);
            (*part).cmsg_level = libc::SOL_SOCKET;
            (*part).cmsg_type = libc::SCM_RIGHTS;
            (*part).cmsg_len = libc::CMSG_LEN(length) as usize;
            ptr::write_unaligned(libc::CMSG_DATA(part).cast(), file.as_raw_fd());
        }
        let sent = self.send_range(socket, message, 1);
        // SAFETY: as above; what the header points to ends here.
        unsafe {
            let hdr = &mut (*header(self.memory, message)).msg_hdr;
            hdr.msg_control = ptr::null_mut();
            hdr.msg_controllen = 0;
            hdr.msg_iovlen = 1;
        }
        sent.map(drop)
    }
}

/// A file of memory that nobody can change any more, as journald wants it.
fn sealed(bytes: &[u8]) -> io::Result<OwnedFd> {
    let file = memfd_create("record", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
    let mut file = File::from(file);
    file.write_all(bytes)?;
    let seals =
        SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(file.into())
}
