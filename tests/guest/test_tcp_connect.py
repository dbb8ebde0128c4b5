"""The event tcp-connect: every connection that the program tells of is a record, and there is no other."""

import os
from types import SimpleNamespace

import pytest
from harness import PROGRAMS, check_all, number, pairs, records, run_service, watch_properties, watching

UNIT = "test-connecter.service"
EINPROGRESS = -115


@pytest.fixture(scope="module")
def connected():
    """The program's account, its records in the order of the account, and the counts."""
    with watching(UNIT, "tcp-connect") as watch:
        account = run_service(UNIT, PROGRAMS / "connecter", "--listen")
        found = records(UNIT)
        counts = watch_properties(watch)
    return SimpleNamespace(account=account, records=found, counts=counts)


def plain(address):
    """An IPv4 address that an IPv6 socket uses is written as such, so that one match finds both."""
    return address.removeprefix("::ffff:").encode()


def test_one_to_one(connected):
    check_all(connected, "event", lambda line: b"tcp-connect")
    check_all(connected, "dport", lambda line: number(line["to_port"]))


def test_the_ledger_agrees(connected):
    n = len(connected.account)
    assert connected.counts["EventCounts"] == {"tcp-connect": [n, n, 0, 0]}


def test_result_is_that_of_the_connection(connected):
    check_all(connected, "result", lambda line: number(line["final"]))
    error = lambda line: line["errno"] if line["final"] == line["result"] else "ECONNREFUSED"  # noqa: E731
    check_all(connected, "errno", lambda line: error(line).encode() if line["final"] < 0 else None)


def test_destination(connected):
    check_all(connected, "family", lambda line: b"inet6" if ":" in line["to_addr"] else b"inet")
    check_all(connected, "daddr", lambda line: plain(line["to_addr"]))


def test_source(connected):
    for line, record in pairs(connected):
        if line["final"] == 0:
            assert record.saddr == plain(line["local_addr"]), line
        # A failed socket forgets its address, not its port.
        if line["local_port"]:
            assert int(record.sport) == line["local_port"], line


def test_namespace(connected):
    check_all(connected, "net_ns", lambda line: number(line["netns"]))
    own = number(os.stat("/proc/self/ns/net").st_ino)
    assert {r.net_ns == own for r in connected.records} == {True, False}


def test_asynchronous(connected):
    # A socket that blocks, but not for long, is none of those that do not.
    in_progress = lambda line: line["result"] == EINPROGRESS and line["name"] != "send-timeout"  # noqa: E731
    check_all(connected, "async", lambda line: b"1" if in_progress(line) else None)


def test_process_and_unit(connected):
    for field in ("pid", "tid", "ppid", "uid", "gid"):
        check_all(connected, field, lambda line: number(line[field]))  # noqa: B023
    check_all(connected, "comm", lambda line: b"connecter")
    check_all(connected, "exe", lambda line: os.fsencode(PROGRAMS / "connecter"))
    check_all(connected, "syscall", lambda line: b"connect")
    check_all(connected, "unit", lambda line: UNIT.encode())
    check_all(connected, "invocation_id", lambda line: line["invocation"].encode())


def test_message_is_printable(connected):
    for record in connected.records:
        assert record.text("MESSAGE").isprintable()
        assert record["MESSAGE_ID"] == b"85f33c583752481d8954d5960bcfe974"
