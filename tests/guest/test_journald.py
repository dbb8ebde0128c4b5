"""What journald takes and loses: found in the journal itself, and told of."""

import os
import signal
from contextlib import contextmanager
from pathlib import Path

import pytest
from harness import (
    PROGRAMS, add_watch, count_records, cursor, flush, messages, properties, records, remove_watch, run, run_service, show,
    values, wait_for, watch_properties, watching,
)  # fmt: skip

pytestmark = pytest.mark.daemon

JOURNALD = "systemd-journald.service"
SOCKETS = ["systemd-journald.socket", "systemd-journald-dev-log.socket", "systemd-journald-audit.socket"]


def flood(unit, count):
    (account,) = run_service(unit, PROGRAMS / "flood", count, "/etc/hostname")
    assert account["opened"] == count
    return count


def check(unit, watch, total, since):
    """What is not in the journal is lost, and told of, and the numbers say so, too."""
    flush()
    seen, recorded, lost, _ = watch_properties(watch)["EventCounts"]["open"]
    assert (seen, recorded + lost) == (total, total)
    assert count_records(unit, "open") == recorded
    told = sum(int(r.count) for r in records(unit, "lost", since=since, flushed=False) if r.lost_event == b"open")
    assert told == lost
    verified = run("traceleftd", "--verify", check=False)
    assert verified.returncode == 0, verified.stdout
    return lost


def test_it_is_killed():
    unit = "test-journald-killed.service"
    since = cursor()
    total = 0
    with watching(unit, "open") as watch:
        for _ in range(5):
            total += flood(unit, 300)
            pid = show(JOURNALD, "MainPID")
            run("systemctl", "kill", "-s", "KILL", JOURNALD)
            wait_for(lambda: show(JOURNALD, "MainPID") not in ("0", pid), "another journald")  # noqa: B023
        check(unit, watch, total, since)


def test_it_is_masked_and_killed():
    """Its sockets stay, and what is in them."""
    unit = "test-journald-masked.service"
    since = cursor()
    with watching(unit, "open") as watch:
        run("systemctl", "mask", "--runtime", JOURNALD)
        try:
            run("systemctl", "kill", "-s", "KILL", JOURNALD)
            total = flood(unit, 1000)
            assert watch_properties(watch)["Seen"] == total
        finally:
            run("systemctl", "unmask", "--runtime", JOURNALD)
            run("systemctl", "start", JOURNALD)
        check(unit, watch, total, since)


def test_its_sockets_are_stopped():
    """With what waits in them."""
    unit = "test-journald-stopped.service"
    since = cursor()
    with watching(unit, "open") as watch:
        os.kill(int(show(JOURNALD, "MainPID")), signal.SIGSTOP)
        total = flood(unit, 500)
        wait_for(lambda: watch_properties(watch)["Recorded"] > 0, "some are in the socket")
        run("systemctl", "kill", "-s", "KILL", JOURNALD)
        run("systemctl", "stop", JOURNALD, *SOCKETS)
        total += flood(unit, 500)
        run("systemctl", "start", *SOCKETS, JOURNALD)
        assert check(unit, watch, total, since) > 0
        assert "and not written them: they are lost" in messages(since=since)


@contextmanager
def small_disk(tmp="/run/log/journal"):
    """journald writes to a file system with little room, of its own."""
    conf = Path("/run/systemd/journald.conf.d/test.conf")
    conf.parent.mkdir(exist_ok=True)
    conf.write_text("[Journal]\nStorage=volatile\nRuntimeMaxUse=40M\nRuntimeKeepFree=1\nRuntimeMaxFileSize=8M\n")
    run("mount", "-t", "tmpfs", "-o", "size=48M", "tmpfs", tmp)
    run("systemctl", "restart", JOURNALD)
    try:
        yield Path(tmp)
    finally:
        conf.unlink()
        run("systemctl", "stop", JOURNALD, *SOCKETS)
        run("umount", tmp)
        run("systemctl", "start", *SOCKETS, JOURNALD)


def test_its_disk_is_full():
    unit = "test-journald-full.service"
    Path("/run/log/journal").mkdir(parents=True, exist_ok=True)
    watch = add_watch(unit, "open")
    flush()
    try:
        with small_disk() as disk:
            since = cursor()
            total = flood(unit, 100)
            fill = disk / "fill"
            run("dd", "if=/dev/zero", f"of={fill}", "bs=64K", check=False)
            # What is filled by the journal's own file is not much.
            for _ in range(20):
                total += flood(unit, 1000)
                if "and not written them: they are lost" in messages_of_daemon():
                    break
            fill.unlink()
            flush()
            seen, recorded, lost, _ = watch_properties(watch)["EventCounts"]["open"]
            assert (seen, recorded + lost) == (total, total)
            assert lost > 0
            told = [r for r in records(unit, "lost", since=since, flushed=False) if r.lost_event == b"open"]
            assert sum(int(r.count) for r in told) == lost
            assert all(r.cause == b"journal" for r in told)
            # What is told to be missing is. (More may be: to make room, journald removes what it had written.)
            missing = {number for r in told for number in numbers_of(r)}
            assert len(missing) >= lost
            assert missing.isdisjoint(int(number) for number in values("TRACELEFT_SEQ"))
    finally:
        remove_watch(watch)
    assert properties()["Seen"] >= total


def numbers_of(record):
    """Those that records had which were not written: ranges."""
    for word in record.text("TRACELEFT_NUMBERS").split():
        first, _, last = word.partition("-")
        yield from range(int(first), int(last or first) + 1)


def messages_of_daemon():
    return run("systemctl", "status", "traceleftd.service", "--no-pager", "-n", "50", check=False).stdout
