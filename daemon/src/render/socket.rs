//! The events of `@network` that are about a socket's own address, a datagram, or a unix socket.

use std::fmt;
use std::net::SocketAddr;

use super::network::{AF_INET6, add_peer, address};
use super::{Attribution, Named, Outcome, add_file, add_path, add_string, message, shown};
use crate::constants::{family_name, socket_type_name};
use crate::decode::Record;
use crate::event::Event;
use crate::fields::{Entries, Readable, name};
use crate::skel::types;

const AF_UNIX: u32 = 1;
const AF_INET: u32 = 2;

/// Adds what such a record has of its own.
pub(super) fn add(
    socket: &types::socket_record,
    record: &Record<'_>,
    result: Outcome,
    to: &Attribution<'_>,
    out: &mut Entries,
) {
    let types::socket_record {
        header,
        bytes_in: _,
        bytes_out: _,
        duration: _,
        peer_cgroup: _,
        peer_pid,
        peer_reserved: _,
        source,
        destination,
        source_port,
        destination_port,
        family,
        r#type,
        net_ns,
        fd,
        backlog,
        file,
    } = *socket;
    let has_address = header.flags & types::record_flags::RECORD_NO_ADDRESS.0 == 0;
    let source = SocketAddr::new(address(family, source), source_port);
    let destination = SocketAddr::new(address(family, destination), destination_port);
    // A descriptor that is no socket has none of these.
    if family != 0 {
        out.text(name::TRACELEFT_FAMILY, family_name(family));
        out.text(name::TRACELEFT_SOCKET_TYPE, socket_type_name(r#type));
        out.number(name::TRACELEFT_NET_NS, net_ns);
    }
    if fd >= 0 {
        out.number(name::TRACELEFT_FD, fd);
    }
    if record.event == Event::Listen {
        out.number(name::TRACELEFT_BACKLOG, backlog);
    }
    let sends = record.event == Event::UdpSend;
    if matches!(family, AF_INET | AF_INET6) && (has_address || sends) {
        out.text(name::TRACELEFT_SADDR, source.ip());
        out.number(name::TRACELEFT_SPORT, source.port());
    }
    if sends && has_address {
        out.text(name::TRACELEFT_DADDR, destination.ip());
        out.number(name::TRACELEFT_DPORT, destination.port());
    }
    let mut buffer = Vec::new();
    let named = Named::first(&record.strings);
    let path = named.resolved(&mut buffer);
    let abstract_name =
        record.strings.name.filter(|_| header.flags & types::record_flags::RECORD_ABSTRACT.0 != 0);
    if family == AF_UNIX {
        add_path(path, named.arg, out);
        add_string(name::TRACELEFT_ABSTRACT, abstract_name, out);
        add_file(file, out);
    }
    add_peer(peer_pid, to, out);
    let subject = match (abstract_name, path.or(named.arg)) {
        (Some(name), _) => Subject::Abstract(Readable(name.bytes)),
        (None, Some(_)) => Subject::Path(shown(path, named.arg)),
        (None, None) if sends && has_address => Subject::Address(destination),
        (None, None) if has_address => Subject::Address(source),
        (None, None) if family != 0 => Subject::Kind(family, r#type),
        (None, None) => Subject::Descriptor(fd),
    };
    message(record, format_args!("{} {subject}", record.event), result, out);
}

/// What a message says that it was done to.
enum Subject<'a> {
    Path(Readable<'a>),
    Abstract(Readable<'a>),
    Address(SocketAddr),
    /// Family and type, where no address is known.
    Kind(u32, u32),
    Descriptor(i32),
}

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.fmt(f),
            Self::Abstract(name) => write!(f, "@{name}"),
            Self::Address(address) => address.fmt(f),
            Self::Kind(family, r#type) => write!(f, "{} {}", family_name(*family), socket_type_name(*r#type)),
            Self::Descriptor(fd) => write!(f, "descriptor {fd}"),
        }
    }
}
