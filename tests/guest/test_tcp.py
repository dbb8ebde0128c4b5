"""The events tcp-accept and tcp-close, and who is at the other end of a connection."""

import os
import socket
from collections import Counter
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from harness import (
    PROGRAMS, SCRATCH, check_all, cursor, daemon_reload, number, pairs, read_account, records, run, run_service, show, wait_for,
    watch_properties, watching, write_unit,
)  # fmt: skip

UNIT = "test-talker.service"
OTHER = "test-other.service"


@pytest.fixture(scope="module", params=["talker", "talker32"])
def talked(request):
    """The program's account, its records by event in the order of the account, and the counts."""
    since = cursor()
    with watching(UNIT, "tcp-accept", "tcp-close") as watch:
        account = run_service(UNIT, PROGRAMS / request.param, "all")
        accepts = [line for line in account if line["call"] != "close"]
        closes = [line for line in account if line["call"] == "close"]
        # What io_uring and the failures leave: each has two ends.
        found = wait_for(lambda: all_closed(accepts, closes, since), "the end of all connections")
        counts = watch_properties(watch)["EventCounts"]
    return SimpleNamespace(
        accepts=SimpleNamespace(account=accepts, records=[r for r in found if r.event == b"tcp-accept"]),
        closes=SimpleNamespace(account=closes, records=in_order(closes, found)),
        found=found,
        counts=counts,
        comm=request.param.encode(),
        abi=b"i386" if request.param.endswith("32") else b"x86-64",
    )


def connections(accepts, closes):
    """How many ends of connections there are."""
    told = {key(line) for line in closes}
    others = [line for line in accepts if "peer_port" in line and key(line) not in told]
    return len(closes) + 2 * len(others)


def all_closed(accepts, closes, since):
    found = records(UNIT, since=since)
    ended = sum(record.event == b"tcp-close" for record in found)
    return found if ended >= connections(accepts, closes) else None


def key(line):
    return line["local_port"], line.get("peer_port")


def in_order(closes, found):
    """Their records in the order of the account; what is not there, or too much, shows as a wrong number."""
    by_ports = {(int(r.sport), int(r.dport)): r for r in found if r.event == b"tcp-close"}
    return [by_ports[key(line)] for line in closes if key(line) in by_ports]


def plain(address):
    return address.removeprefix("::ffff:").encode()


def test_one_to_one(talked):
    check_all(talked.accepts, "sport", lambda line: number(line["local_port"]))
    check_all(talked.closes, "dport", lambda line: number(line["peer_port"]))
    ended = [r for r in talked.found if r.event == b"tcp-close"]
    assert len(ended) == connections(talked.accepts.account, talked.closes.account)
    # Each end once.
    assert max(Counter((r.sport, r.dport) for r in ended).values()) == 1


def test_the_ledger_agrees(talked):
    n, ended = len(talked.accepts.account), connections(talked.accepts.account, talked.closes.account)
    assert talked.counts == {"tcp-accept": [n, n, 0, 0], "tcp-close": [ended, ended, 0, 0]}


@pytest.mark.parametrize("what", ["accepts", "closes"])
def test_result_and_addresses(talked, what):
    run = getattr(talked, what)
    check_all(run, "result", lambda line: number(line["result"]))
    check_all(run, "errno", lambda line: line["errno"].encode() if line["result"] < 0 else None)
    check_all(run, "family", lambda line: line["family"].encode())
    check_all(run, "saddr", lambda line: plain(line["local_addr"]))
    own = number(os.stat("/proc/self/ns/net").st_ino)
    check_all(run, "net_ns", lambda line: own)
    for line, record in pairs(run):
        if "peer_port" in line:
            assert (record.daddr, record.dport) == (plain(line["peer_addr"]), number(line["peer_port"])), line
        assert record.text("MESSAGE").isprintable()


def test_accept_says_from_which_descriptor(talked):
    check_all(talked.accepts, "fd", lambda line: None if "io_uring" in line["call"] else number(line["fd"]))


def test_accepts_of_every_kind(talked):
    done = {(line["call"], line["name"], line["result"] >= 0) for line in talked.accepts.account}
    assert ("accept", "bad-address", False) in done
    assert ("accept", "no-descriptor", False) in done
    assert ("accept4", "not-listening", False) in done
    names = {b"accept": b"accept4", b"accept4": b"accept4", b"socketcall": b"socketcall"}
    for line, record in pairs(talked.accepts):
        if "io_uring" in line["call"]:
            assert (record.abi, record.syscall) == (b"io_uring", None), line
        else:
            call = line["call"].encode()
            # The C library of i386 has no accept of its own.
            expected = names[call] if talked.abi == b"i386" else call
            assert record.abi == talked.abi, line
            assert record.syscall in (expected, b"socketcall"), line


def test_process_and_unit(talked):
    for run in (talked.accepts, talked.closes):
        for field in ("ppid", "uid", "gid", "tid"):
            if run is talked.accepts:
                check_all(run, field, lambda line: number(line[field]))  # noqa: B023
        check_all(run, "pid", lambda line: number(line.get("closer", line["pid"])))
        check_all(run, "comm", lambda line: talked.comm)
        check_all(run, "exe", lambda line: os.fsencode(PROGRAMS / talked.comm.decode()))
        check_all(run, "unit", lambda line: UNIT.encode())
        check_all(run, "invocation_id", lambda line: line["invocation"].encode())


def test_bytes_and_duration(talked):
    check_all(talked.closes, "bytes_in", lambda line: number(line["in"]))
    check_all(talked.closes, "bytes_out", lambda line: number(line["out"]))
    for record in talked.closes.records:
        assert 0 < int(record.duration) < 60e9, record


def test_the_other_end_is_named(talked):
    for line, record in pairs(talked.accepts):
        if line["name"] in ("not-listening", "no-descriptor"):
            assert (record.peer_unit, record.peer_pid) == (None, None), line
        else:
            assert (record.peer_unit, record.peer_pid) == (UNIT.encode(), number(line["pid"])), line
    check_all(talked.closes, "peer_unit", lambda line: UNIT.encode())
    check_all(talked.closes, "peer_pid", lambda line: number(line["pid"]))


def test_a_thousand_connections():
    with watching(UNIT, "tcp-connect", "tcp-accept", "tcp-close") as watch:
        run_service(UNIT, PROGRAMS / "talker", "many", "1000")
        counts = lambda: watch_properties(watch)["EventCounts"]  # noqa: E731
        wait_for(lambda: counts()["tcp-close"][0] >= 2000, "the end of all connections")
        records(UNIT, "exec")
        assert counts() == {
            "tcp-connect": [1000, 1000, 0, 0], "tcp-accept": [1000, 1000, 0, 0], "tcp-close": [2000, 2000, 0, 0],
        }  # fmt: skip


# Two units, of which one is watched


@contextmanager
def server(unit, *words, **properties):
    """A service that listens; gives the path of its account."""
    account = SCRATCH / f"{unit}.account"
    account.unlink(missing_ok=True)
    run(
        "systemd-run", "--quiet", "--collect", f"--unit={unit}", f"--property=StandardOutput=file:{account}",
        *(f"--property={key}={value}" for key, value in properties.items()), PROGRAMS / "talker", "listen", *words,
    )  # fmt: skip
    wait_for(lambda: account.exists() and account.stat().st_size, f"{unit} listens")
    try:
        yield account
    finally:
        run("systemctl", "stop", unit, check=False)
        run("systemctl", "reset-failed", unit, check=False)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def some_records(unit, count, since):
    """Those of the unit, when there are so many."""
    return wait_for(lambda: [r for r in [records(unit, since=since)] if len(r) >= count], f"{count} records")[0]


def lines(account, call):
    return wait_for(lambda: [line for line in read_account(account) if line["call"] == call], call)[0]


@pytest.mark.parametrize("listens, dials", [("127.0.0.1", "127.0.0.1"), ("::", "127.0.0.1"), ("::1", "::1")])
def test_the_server_of_a_watched_client_is_named(listens, dials):
    port = free_port()
    since = cursor()
    # It listens before anything is watched.
    with server(OTHER, listens, port) as account, watching(UNIT, "tcp-connect", "tcp-close"):
        run_service(UNIT, PROGRAMS / "talker", "dial", dials, port)
        accepted = lines(account, "close")
        found = some_records(UNIT, 2, since)
    assert [r.event for r in found] == [b"tcp-connect", b"tcp-close"]
    for record in found:
        assert (record.peer_unit, record.peer_pid) == (OTHER.encode(), number(accepted["pid"])), record
    assert (found[1].bytes_out, found[1].bytes_in) == (b"5", b"0")


@pytest.mark.parametrize("listens, dials", [("127.0.0.1", "127.0.0.1"), ("::", "127.0.0.1"), ("::1", "::1")])
def test_the_client_of_a_watched_server_is_named(listens, dials):
    port, since = free_port(), cursor()
    with watching(UNIT, "tcp-accept", "tcp-close"), server(UNIT, listens, port):
        # It is gone when its name is asked for.
        (dialled,) = run_service(OTHER, PROGRAMS / "talker", "dial", dials, port)
        found = some_records(UNIT, 2, since)
    assert [r.event for r in found] == [b"tcp-accept", b"tcp-close"]
    for record in found:
        assert (record.peer_unit, record.peer_pid) == (OTHER.encode(), number(dialled["pid"])), record
    assert (found[1].bytes_out, found[1].bytes_in) == (b"0", b"5")


def test_a_socket_that_systemd_made():
    """The socket's own control group is systemd's; the service is who accepts."""
    port, since = free_port(), cursor()
    account = SCRATCH / "activated.account"
    account.unlink(missing_ok=True)
    write_unit("test-activated.socket", f"[Socket]\nListenStream=127.0.0.1:{port}\n")
    write_unit(
        "test-activated.service",
        f"[Service]\nExecStart={PROGRAMS}/talker listen - 0\nStandardOutput=append:{account}\n",
    )
    daemon_reload()
    run("systemctl", "start", "test-activated.socket")
    try:
        with watching("test-activated.service", "tcp-accept", "tcp-close"), watching(UNIT, "tcp-connect", "tcp-close"):
            (dialled,) = run_service(UNIT, PROGRAMS / "talker", "dial", "127.0.0.1", port)
            accepted = lines(account, "accept4")
            of_server = some_records("test-activated.service", 2, since)
            of_client = some_records(UNIT, 2, since)
    finally:
        run("systemctl", "stop", "test-activated.socket", "test-activated.service", check=False)
    assert [r.event for r in of_server] == [b"tcp-accept", b"tcp-close"]
    for record in of_server:
        assert record.pid == number(accepted["pid"])
        assert (record.peer_unit, record.peer_pid) == (UNIT.encode(), number(dialled["pid"])), record
    close = next(r for r in of_client if r.event == b"tcp-close")
    assert (close.peer_unit, close.peer_pid) == (b"test-activated.service", number(accepted["pid"])), close


def test_an_older_connection_has_no_duration():
    port, since = free_port(), cursor()
    with server(UNIT, "127.0.0.1", port) as account:
        with socket.create_connection(("127.0.0.1", port)) as client:
            wait_for(lambda: b":%04X " % port in established(), "the connection is accepted")
            with watching(UNIT, "tcp-close"):
                client.sendall(b"hello")
                client.shutdown(socket.SHUT_WR)
                told = lines(account, "close")
                (record,) = some_records(UNIT, 1, since)
    assert (record.pid, record.bytes_in, record.duration) == (number(told["pid"]), b"5", None)


def established():
    with open("/proc/net/tcp", "rb") as table:
        return table.read()


def test_another_network_namespace():
    port = free_port()
    run("ip", "netns", "add", "test-tcp")
    try:
        run("ip", "link", "add", "test-tcp0", "type", "veth", "peer", "name", "test-tcp1", "netns", "test-tcp")
        run("ip", "address", "add", "192.0.2.1/24", "dev", "test-tcp0")
        run("ip", "link", "set", "test-tcp0", "up")
        run("ip", "-n", "test-tcp", "address", "add", "192.0.2.2/24", "dev", "test-tcp1")
        run("ip", "-n", "test-tcp", "link", "set", "test-tcp1", "up")
        own, theirs = (number(os.stat(p).st_ino) for p in ("/proc/self/ns/net", "/run/netns/test-tcp"))
        with watching(UNIT, "tcp-accept"), watching(OTHER, "tcp-connect"), server(UNIT, "192.0.2.1", port):
            (dialled,) = run_service(
                OTHER, PROGRAMS / "talker", "dial", "192.0.2.1", port, NetworkNamespacePath="/run/netns/test-tcp"
            )
            accept, connect = records(UNIT, "tcp-accept")[-1], records(OTHER, "tcp-connect")[-1]
    finally:
        run("ip", "netns", "delete", "test-tcp")
    assert (accept.net_ns, accept.peer_unit, accept.peer_pid) == (own, OTHER.encode(), number(dialled["pid"]))
    assert (connect.net_ns, connect.peer_unit, connect.peer_pid) == (theirs, UNIT.encode(), accept.pid)


def test_nginx_and_curl():
    run("systemctl", "start", "nginx")
    with watching("nginx.service", "tcp-accept"), watching(UNIT, "tcp-connect"):
        run_service(UNIT, "/usr/bin/curl", "-s", "-o", "/dev/null", "http://127.0.0.1/")
        accept, connect = records("nginx.service", "tcp-accept")[-1], records(UNIT, "tcp-connect")[-1]
    assert (accept.peer_unit, accept.peer_pid) == (UNIT.encode(), connect.pid)
    assert connect.peer_unit == b"nginx.service"
    assert int(connect.peer_pid) in nginx_processes()


def nginx_processes():
    group = show("nginx.service", "ControlGroup")
    with open(f"/sys/fs/cgroup{group}/cgroup.procs") as processes:
        return [int(line) for line in processes]
