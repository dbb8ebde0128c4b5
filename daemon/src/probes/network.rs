//! The hooks of `@network`.

use super::{Probe, entry, exit, optional};
use crate::event::Event;

const TCP_CONNECT: &[Event] = &[Event::TcpConnect];
const LISTEN: &[Event] = &[Event::Listen];
const BIND: &[Event] = &[Event::Bind];
const UDP_SEND: &[Event] = &[Event::UdpSend];
const UNIX_CONNECT: &[Event] = &[Event::UnixConnect];

pub const PROBES: &[Probe] = &[
    entry("probe_tcp_state", &["tcp_set_state"], TCP_CONNECT),
    exit("return_tcp_connect", &["tcp_v4_connect"], TCP_CONNECT),
    optional(exit("return_tcp_connect", &["tcp_v6_connect"], TCP_CONNECT)),
    entry("probe_tcp_connect", &["tcp_v4_connect"], TCP_CONNECT),
    optional(entry("probe_tcp_connect", &["tcp_v6_connect"], TCP_CONNECT)),
    exit("return_bind", &["__sys_bind"], BIND),
    exit("return_listen", &["__sys_listen"], LISTEN),
    // By these io_uring comes, since v6.11 (commits dc2e77979412 and bb6aaf736680).
    optional(exit("return_bind", &["__sys_bind_socket"], BIND)),
    optional(exit("return_listen", &["__sys_listen_socket"], LISTEN)),
    optional(entry("probe_listen_socket", &["__sys_listen_socket"], LISTEN)),
    entry("probe_bind_address", &["security_socket_bind"], BIND),
    entry("probe_bind", &["__sys_bind"], BIND),
    entry("probe_listen", &["__sys_listen"], LISTEN),
    exit("return_udp_send", &["udp_sendmsg"], UDP_SEND),
    optional(exit("return_udp_send", &["udpv6_sendmsg"], UDP_SEND)),
    entry("probe_udp_send", &["udp_sendmsg"], UDP_SEND),
    optional(entry("probe_udp6_send", &["udpv6_sendmsg"], UDP_SEND)),
    exit("return_unix_connect", &["unix_stream_connect"], UNIX_CONNECT),
    exit("return_unix_connect", &["unix_dgram_connect"], UNIX_CONNECT),
    exit("return_unix_connect", &["__sys_connect"], UNIX_CONNECT),
    exit("return_kern_path", &["kern_path"], UNIX_CONNECT),
    entry("probe_kern_path", &["kern_path"], UNIX_CONNECT),
    entry("probe_unix_peer", &["security_unix_stream_connect"], UNIX_CONNECT),
    entry("probe_unix_connect", &["unix_stream_connect"], UNIX_CONNECT),
    entry("probe_unix_datagram", &["unix_dgram_connect"], UNIX_CONNECT),
    entry("probe_connect", &["__sys_connect"], UNIX_CONNECT),
];
