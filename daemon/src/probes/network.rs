//! The hooks of `@network`.

use super::{Probe, entry, exit, newer, optional, tracepoint};
use crate::event::Event;

const ACCEPT: &[Event] = &[Event::TcpAccept];
const CLOSE: &[Event] = &[Event::TcpClose];
/// Who made a connection is told again when it ends.
const CONNECT_CLOSE: &[Event] = &[Event::TcpConnect, Event::TcpClose];
const ACCEPT_CLOSE: &[Event] = &[Event::TcpAccept, Event::TcpClose];
const LISTEN: &[Event] = &[Event::Listen];
const BIND: &[Event] = &[Event::Bind];
const UDP_SEND: &[Event] = &[Event::UdpSend];
const UNIX_CONNECT: &[Event] = &[Event::UnixConnect];
const STATES: &[&str] = &["inet_sock_set_state"];

/// With it come those that listened before.
pub(super) const LISTENER_ACCEPTS: &str = "probe_listener_accepts";

/// Programs that only add to what others record. They are of functions that are called in softirqs, too, on top of any
/// program.
pub(super) const ADDING: [&str; 5] =
    ["probe_listener", LISTENER_ACCEPTS, "probe_request", "probe_client", "probe_socket_freed"];

pub const PROBES: &[Probe] = &[
    // Other ends: those of all processes, so before anything is asked of them. Without one they are not named.
    optional(entry("probe_listener", &["inet_csk_listen_start"], CONNECT_CLOSE)),
    optional(entry(LISTENER_ACCEPTS, &["inet_csk_accept"], CONNECT_CLOSE)),
    optional(entry("probe_request", &["security_inet_conn_request"], CONNECT_CLOSE)),
    optional(entry("probe_client", &["tcp_connect"], ACCEPT_CLOSE)),
    // The programs of tcp-connect first: what it knows of a connection is for its end.
    tracepoint("state_connect", STATES, CONNECT_CLOSE),
    tracepoint("state_connect_again", STATES, CONNECT_CLOSE),
    tracepoint("state_close", STATES, CLOSE),
    tracepoint("state_close_again", STATES, CLOSE),
    optional(entry("probe_socket_freed", &["tcp_v4_destroy_sock"], CLOSE)),
    entry("probe_leaving", &["do_exit"], CLOSE),
    entry("probe_tcp_close", &["tcp_close"], CLOSE),
    exit("return_tcp_connect", &["tcp_v4_connect"], CONNECT_CLOSE),
    optional(exit("return_tcp_connect", &["tcp_v6_connect"], CONNECT_CLOSE)),
    entry("probe_tcp_connect", &["tcp_v4_connect"], CONNECT_CLOSE),
    optional(entry("probe_tcp_connect", &["tcp_v6_connect"], CONNECT_CLOSE)),
    exit("return_accept", &["__sys_accept4"], ACCEPT),
    optional(exit("return_do_accept", &["do_accept"], ACCEPT)),
    entry("probe_accept_installed", &["fd_install"], ACCEPT),
    newer(entry("probe_accept_fixed", &["io_fixed_fd_install"], ACCEPT)),
    newer(entry(
        "probe_accept_fixed_5_15",
        &["io_install_fixed_file", "io_install_fixed_file.isra.0"],
        ACCEPT,
    )),
    entry("probe_sock_graft", &["security_sock_graft"], ACCEPT_CLOSE),
    entry("probe_do_accept", &["do_accept"], ACCEPT),
    entry("probe_accept", &["__sys_accept4"], ACCEPT),
    exit("return_bind", &["__sys_bind"], BIND),
    exit("return_listen", &["__sys_listen"], LISTEN),
    // By these io_uring comes, since v6.11 (commits dc2e77979412 and bb6aaf736680).
    newer(exit("return_bind", &["__sys_bind_socket"], BIND)),
    newer(exit("return_listen", &["__sys_listen_socket"], LISTEN)),
    newer(entry("probe_listen_socket", &["__sys_listen_socket"], LISTEN)),
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
    // Without it the path is that which the socket itself knows.
    optional(exit("return_kern_path", &["kern_path"], UNIX_CONNECT)),
    optional(entry("probe_kern_path", &["kern_path"], UNIX_CONNECT)),
    entry("probe_unix_peer", &["security_unix_stream_connect"], UNIX_CONNECT),
    entry("probe_unix_connect", &["unix_stream_connect"], UNIX_CONNECT),
    entry("probe_unix_datagram", &["unix_dgram_connect"], UNIX_CONNECT),
    entry("probe_connect", &["__sys_connect"], UNIX_CONNECT),
];
