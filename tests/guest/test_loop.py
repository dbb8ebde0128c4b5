"""What the daemon and journald do to have records in the journal is not recorded; what else they do is."""

import json
import os
import time

import pytest
from harness import (
    EVENTS, PROGRAMS, SERVICE, cursor, entries, flush, output, policy, properties, run, run_service, show, wait_for, watching,
)  # fmt: skip
from load import kill

pytestmark = pytest.mark.any_backend

JOURNALD = "systemd-journald.service"
FLOOD = "test-loop.service"
JOURNAL_FILES = (b"/var/log/journal/", b"/run/log/journal/")
HOSTNAME = "/etc/hostname"
# Those that either of them causes by its work with records, and a few more: to attach what all need takes long.
WATCHED = ("exec", "open", "close", "read", "write", "unlink", "rename", "truncate", "setxattr", "unix-connect", "bpf")
# Seconds in which nothing is to come.
REST = 5


def main_pid(unit):
    return show(unit, "MainPID").encode()


def theirs(since):
    """The records of journald and of the daemon."""
    found = entries(f"TRACELEFT_UNIT={JOURNALD}", f"TRACELEFT_UNIT={SERVICE}", since=since)
    return [r for r in found if r.event.decode() in EVENTS]


def told(found):
    return [(r.unit, r.tid, r.event, r.path) for r in found]


def caused_by(opens):
    """The records of both while another unit makes so many."""
    since = cursor()
    run_service(FLOOD, PROGRAMS / "flood", opens, HOSTNAME)
    flush()
    opened = entries(f"TRACELEFT_UNIT={FLOOD}", "TRACELEFT_EVENT=open", since=since)
    assert [r.path for r in opened].count(HOSTNAME.encode()) == opens
    return theirs(since)


def check_records_make_no_records():
    daemon, journald = main_pid(SERVICE), main_pid(JOURNALD)
    flush()
    few, many = caused_by(100), caused_by(1000)
    for found in few, many:
        by_journald = [r for r in found if r.pid == journald]
        about_us = [r for r in by_journald if r.path and r.path.startswith(b"/proc/%s/" % daemon)]
        touched = [r for r in by_journald if r.event == b"truncate" and r.path.startswith(JOURNAL_FILES)]
        clocks = [r for r in by_journald if r.path and b"[timerfd]" in r.path]
        assert told(about_us + touched + clocks) == []
        by_loop = [r for r in found if r.tid == daemon and r.event in (b"read", b"write", b"unix-connect")]
        # What is watched it notes for the daemon after it.
        assert [t for t in told(by_loop) if not (t[3] or b"").startswith(b"/memfd:document")] == []
    # In both a service begins and ends, and systemd logs that.
    assert abs(len(many) - len(few)) < 100, (told(few), told(many))


def check_what_else_they_do_is_recorded(target):
    daemon, journald = main_pid(SERVICE), main_pid(JOURNALD)
    since = cursor()
    if target != SERVICE:
        log = "echo $$; exec logger -p user.info of test-loop"
        loggers = {run("sh", "-c", log).stdout.strip().encode() for _ in range(20)}
        flush()
        # By the time that it is asked for, the process may be gone; then the open fails.
        names = [r.path or r.path_arg for r in theirs(since) if r.pid == journald and r.event == b"open"]
        asked = {name.split(b"/")[2] for name in names if name.startswith(b"/proc/")}
        assert asked & loggers, names
    if target != JOURNALD:
        with policy("test-loop", ["test-loop-other.service"], ["open"]) as path:
            flush()
        read = [r.path for r in theirs(since) if r.pid == daemon and r.event == b"open"]
        assert os.fsencode(path) in read


def check_it_comes_to_rest():
    run_service(FLOOD, PROGRAMS / "flood", 200, HOSTNAME)
    flush()

    def rests():
        """Nothing of both for a while, in which this test alone, which reads the journal all the time, does something."""
        text = output(
            "journalctl", "-q", "-o", "json", "--output-fields=TRACELEFT_PATH,TRACELEFT_EVENT", "-n", "1", "-t", "traceleft",
            f"TRACELEFT_UNIT={JOURNALD}", f"TRACELEFT_UNIT={SERVICE}",
        )  # fmt: skip
        last = int(json.loads(text)["__REALTIME_TIMESTAMP"]) if text else 0
        return time.time() - last / 1e6 > REST

    wait_for(rests, "no record of journald and the daemon", timeout=120)


# All of a target in one, and what hangs on the kernel is with journald.
@pytest.mark.parametrize(
    "target", [JOURNALD, *(pytest.param(t, marks=pytest.mark.daemon) for t in ("-.slice", "system.slice", SERVICE))]
)
def test_both_are_watched(target):
    with watching(FLOOD, "open"), watching(target, *WATCHED):
        check_records_make_no_records()
        check_what_else_they_do_is_recorded(target)
        check_it_comes_to_rest()


def test_it_is_so_of_the_next_daemon():
    with watching("-.slice", "open", "read"), watching(FLOOD, "open"):
        kill()
        flush()
        daemon, journald = main_pid(SERVICE), main_pid(JOURNALD)
        found = caused_by(500)
        assert told(r for r in found if r.pid == journald and r.path.startswith(b"/proc/%s/" % daemon)) == []
        assert told(r for r in found if r.tid == daemon and r.event == b"read") == []


def test_others_pay_for_journald_only_where_it_is_watched():
    hooks = {"__sock_recv_timestamp", "__x64_sys_epoll_wait"}
    hooked = lambda: hooks & {function for function, *_ in properties()["Probes"]}  # noqa: E731
    with watching(FLOOD, *WATCHED):
        assert hooked() == set()
        with watching(JOURNALD, "open"):
            assert hooked() == hooks
        assert hooked() == set()
