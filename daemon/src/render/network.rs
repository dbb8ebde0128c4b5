//! The events of `@network`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Attribution, Outcome, message, socket};
use crate::decode::Record;
use crate::event::Event;
use crate::fields::{Entries, name};
use crate::skel::types;

pub(super) const AF_INET6: u32 = 10;

pub(super) fn address(family: u32, bytes: [u8; 16]) -> IpAddr {
    if family == AF_INET6 {
        Ipv6Addr::from(bytes).to_canonical()
    } else {
        Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]).into()
    }
}

/// Adds what such a record has of its own.
pub(super) fn add(
    socket: &types::socket_record,
    record: &Record<'_>,
    result: Outcome,
    to: &Attribution<'_>,
    out: &mut Entries,
) {
    if matches!(record.event, Event::Listen | Event::Bind | Event::UdpSend | Event::UnixConnect) {
        return socket::add(socket, record, result, to, out);
    }
    let types::socket_record {
        header,
        bytes_in,
        bytes_out,
        duration,
        peer_cgroup: _,
        peer_pid,
        peer_reserved: _,
        source,
        destination,
        source_port,
        destination_port,
        family,
        r#type: _,
        net_ns,
        fd,
        backlog: _,
        file: _,
    } = *socket;
    let source = SocketAddr::new(address(family, source), source_port);
    let destination = SocketAddr::new(address(family, destination), destination_port);
    out.text(name::TRACELEFT_FAMILY, if family == AF_INET6 { "inet6" } else { "inet" });
    out.text(name::TRACELEFT_SADDR, source.ip());
    out.number(name::TRACELEFT_SPORT, source.port());
    out.text(name::TRACELEFT_DADDR, destination.ip());
    out.number(name::TRACELEFT_DPORT, destination.port());
    out.number(name::TRACELEFT_NET_NS, net_ns);
    add_peer(peer_pid, to, out);
    match record.event {
        // io_uring's calls have no descriptor that would mean anything to others.
        Event::TcpAccept if fd >= 0 => out.number(name::TRACELEFT_FD, fd),
        Event::TcpClose => {
            out.number(name::TRACELEFT_BYTES_IN, bytes_in);
            out.number(name::TRACELEFT_BYTES_OUT, bytes_out);
            if duration != 0 {
                out.text(name::TRACELEFT_DURATION, duration);
            }
        }
        Event::TcpConnect if header.flags & types::record_flags::RECORD_ASYNC.0 != 0 => {
            out.text(name::TRACELEFT_ASYNC, 1);
        }
        _ => {}
    }
    message(record, format_args!("{} {destination}", record.event), result, out);
}

/// Adds who is at the other end, as far as it is known.
pub(super) fn add_peer(pid: u32, to: &Attribution<'_>, out: &mut Entries) {
    if pid != 0 {
        out.number(name::TRACELEFT_PEER_PID, pid);
    }
    if !to.other_unit.is_empty() {
        out.bytes(name::TRACELEFT_PEER_UNIT, to.other_unit.as_bytes());
    }
}
