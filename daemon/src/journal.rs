//! The way to journald: native protocol, datagrams in batches, and what to do when it does not take them.
//! What is too large for a datagram goes as a sealed file of memory.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};

use crate::send::Messages;

/// journald's socket, below the root directory.
const SOCKET: &str = "run/systemd/journal/socket";
/// journald's Varlink socket.
const VARLINK: &str = "/run/systemd/journal/io.systemd.journal";
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
}

impl Journal {
    /// Connects to the journald of the system below `root`.
    pub fn new(root: &Path) -> io::Result<Self> {
        let path = root.join(SOCKET);
        let socket = connect(&path)?;
        Ok(Self { path, socket })
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

    /// Sends entries, [`BATCH`](crate::memory::BATCH) at most, without waiting. They were prepared in memory, which
    /// says afterwards which of them were sent.
    pub fn send(&mut self, messages: &mut Messages<'_>, entries: &[&[u8]]) -> Sent {
        let mut sent = 0;
        while sent < entries.len() {
            let away = if sent == 0 { Sent::Away } else { Sent::Some(sent) };
            let more = match messages.send(self.socket.as_fd(), sent) {
                Err(Errno::EMSGSIZE) => {
                    messages.send_as_file(self.socket.as_fd(), sent, entries[sent]).map(|()| 1)
                }
                other => other,
            };
            match more {
                Ok(more) => sent += more,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN | Errno::ENOBUFS) => return Sent::Some(sent),
                Err(Errno::ECONNREFUSED | Errno::ENOTCONN | Errno::ECONNRESET | Errno::EPIPE) => return away,
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
    use std::fs::{self, File};
    use std::io::IoSliceMut;
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

    use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};

    use super::*;
    use crate::memory::{BATCH, Memory};
    use crate::send::is_sent;

    #[test]
    fn entries_arrive_one_each_and_a_full_socket_is_no_loss() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(SOCKET);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let journald = UnixDatagram::bind(&path).unwrap();
        let mut journal = Journal::new(root.path()).unwrap();
        let memory = Memory::new(1).unwrap();
        let entries: Vec<_> = (0..BATCH).map(|i| format!("N={i}\n")).collect();
        let entries: Vec<_> = entries.iter().map(String::as_bytes).collect();
        let send_all = |journal: &mut Journal, entries: &[&[u8]]| {
            let sent = journal.send(&mut Messages::prepare(&memory, entries), entries);
            // The memory says the same.
            let n = (0..entries.len()).take_while(|i| is_sent(&memory, *i)).count();
            match sent {
                Sent::Some(sent) | Sent::Refused(sent) => assert_eq!(n, sent),
                Sent::Away => assert_eq!(n, 0),
            }
            sent
        };
        let mut received = 0;
        let mut buffer = [0; 100];
        let mut sent = 0;
        // The queue of a socket holds fewer than this many datagrams.
        for _ in 0..100 {
            match send_all(&mut journal, &entries) {
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
        assert_eq!(send_all(&mut journal, &entries), Sent::Away);
        fs::remove_file(&path).unwrap();
        let journald = UnixDatagram::bind(&path).unwrap();
        journal.reconnect().unwrap();
        assert_ne!(send_all(&mut journal, &entries), Sent::Away);
        assert!(journald.recv(&mut buffer).is_ok());
    }

    #[test]
    #[allow(unsafe_code)]
    fn what_is_too_large_arrives_as_a_file() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(SOCKET);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let journald = UnixDatagram::bind(&path).unwrap();
        let mut journal = Journal::new(root.path()).unwrap();
        setsockopt(&journal.socket, sockopt::SndBuf, &4096).unwrap();
        let memory = Memory::new(1).unwrap();
        let large = format!("N={}\n", "x".repeat(100_000));
        let entries: Vec<&[u8]> = vec![b"N=1\n", large.as_bytes(), b"N=3\n"];
        let sent = journal.send(&mut Messages::prepare(&memory, &entries), &entries);
        assert_eq!(sent, Sent::Some(3));
        assert!((0..3).all(|i| is_sent(&memory, i)));
        let mut buffer = [0; 100];
        assert_eq!(journald.recv(&mut buffer).unwrap(), 4);
        let mut control = nix::cmsg_space!([std::os::fd::RawFd; 1]);
        let parts = &mut [IoSliceMut::new(&mut buffer)];
        let message =
            recvmsg::<()>(journald.as_raw_fd(), parts, Some(&mut control), MsgFlags::empty()).unwrap();
        assert_eq!(message.bytes, 0);
        let Some(ControlMessageOwned::ScmRights(fds)) = message.cmsgs().unwrap().next() else { panic!() };
        // SAFETY: just received.
        let file = File::from(unsafe { OwnedFd::from_raw_fd(fds[0]) });
        let mut text = vec![0; 100_003];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut text, 0).unwrap();
        assert_eq!(text, large.as_bytes());
        assert_eq!(journald.recv(&mut buffer).unwrap(), 4);
    }
}
