//! The way to journald: native protocol, datagrams in batches, and what to do when it does not take them.

use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, sendmmsg, setsockopt, sockopt};

use crate::fields::Entries;

/// journald's socket, below the root directory.
const SOCKET: &str = "run/systemd/journal/socket";
/// journald's Varlink socket.
const VARLINK: &str = "/run/systemd/journal/io.systemd.journal";
/// Most entries in one batch.
pub const BATCH: usize = 64;
/// As much as sd-journal asks for; the kernel grants what it will.
const SEND_BUFFER: usize = 8 << 20;

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// journald has this many of the entries, from the first on; it would block on the next, if there is one.
    Some(usize),
    /// journald has this many; the next is refused for good.
    Refused(usize),
    /// journald is not there: its socket is gone. Nothing was sent.
    Away,
}

/// A connection to journald.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    socket: UnixDatagram,
    headers: MultiHeaders<()>,
}

impl Journal {
    /// Connects to the journald of the system below `root`.
    pub fn new(root: &Path) -> io::Result<Self> {
        let path = root.join(SOCKET);
        let socket = connect(&path)?;
        Ok(Self { path, socket, headers: MultiHeaders::preallocate(BATCH, None) })
    }

    /// The socket: writable when journald takes more.
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Connects again: journald's socket may be a new one.
    pub fn reconnect(&mut self) -> io::Result<()> {
        self.socket = connect(&self.path)?;
        Ok(())
    }

    /// Sends entries, [`BATCH`] at most, without waiting.
    pub fn send(&mut self, entries: &Entries) -> Sent {
        let slices: Vec<[IoSlice<'_>; 1]> = entries.iter().map(|e| [IoSlice::new(e)]).collect();
        let mut sent = 0;
        while sent < slices.len() {
            let rest = &slices[sent..];
            let addresses = vec![None; rest.len()];
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
            match sendmmsg(self.socket.as_raw_fd(), &mut self.headers, rest, addresses, [], flags) {
                Ok(results) => sent += results.count(),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN | Errno::ENOBUFS) => return Sent::Some(sent),
                Err(Errno::ECONNREFUSED | Errno::ENOTCONN | Errno::ECONNRESET | Errno::EPIPE)
                    if sent == 0 =>
                {
                    return Sent::Away;
                }
                Err(Errno::ECONNREFUSED | Errno::ENOTCONN | Errno::ECONNRESET | Errno::EPIPE) => {
                    return Sent::Some(sent);
                }
                Err(_) => return Sent::Refused(sent),
            }
        }
        Sent::Some(sent)
    }
}

fn connect(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    // Beyond the limit of the machine where we may; a smaller buffer only blocks earlier.
    if setsockopt(&socket, sockopt::SndBufForce, &SEND_BUFFER).is_err() {
        let _ = setsockopt(&socket, sockopt::SndBuf, &SEND_BUFFER);
    }
    socket.connect(path)?;
    Ok(socket)
}

/// Returns once journald has written all it was sent before, as `journalctl --sync` does.
pub fn synchronize() -> io::Result<()> {
    let mut stream = UnixStream::connect(VARLINK)?;
    stream.write_all(b"{\"method\":\"io.systemd.Journal.Synchronize\"}\0")?;
    let mut answer = [0; 1024];
    let mut length = 0;
    while !answer[..length].contains(&0) {
        match stream.read(&mut answer[length..])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => length += n,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn entries_arrive_one_each_and_a_full_socket_is_no_loss() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(SOCKET);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let journald = UnixDatagram::bind(&path).unwrap();
        let mut journal = Journal::new(root.path()).unwrap();
        let mut entries = Entries::default();
        for i in 0..BATCH {
            entries.text("N", i);
            entries.end();
        }
        let mut received = 0;
        let mut buffer = [0; 100];
        let mut sent = 0;
        // The queue of a socket holds fewer than this many datagrams.
        for _ in 0..100 {
            match journal.send(&entries) {
                Sent::Some(n) if n == BATCH => sent += n,
                Sent::Some(n) => {
                    sent += n;
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
        journald.set_nonblocking(true).unwrap();
        while let Ok(n) = journald.recv(&mut buffer) {
            assert_eq!(buffer[..n], *format!("N={}\n", received % BATCH).as_bytes());
            received += 1;
        }
        assert!(sent > 0);
        assert_eq!(received, sent);
        drop(journald);
        assert_eq!(journal.send(&entries), Sent::Away);
        fs::remove_file(&path).unwrap();
        let journald = UnixDatagram::bind(&path).unwrap();
        journal.reconnect().unwrap();
        assert_ne!(journal.send(&entries), Sent::Away);
        assert!(journald.recv(&mut buffer).is_ok());
    }
}
