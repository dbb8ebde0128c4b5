"""What journald takes and loses: found in the journal itself, and told of."""

import os
import signal
from pathlib import Path

import pytest
from harness import (
    PROGRAMS, cursor, flush, messages, records, run, run_service, show, values, wait_for, watch_properties, watching,
)  # fmt: skip

pytestmark = pytest.mark.daemon

JOURNALD = "systemd-journald.service"
SOCKETS = ["systemd-journald.socket", "systemd-journald-dev-log.socket", "systemd-journald-audit.socket"]


def flood(unit, count):
    (account,) = run_service(unit, PROGRAMS / "flood", count, "/etc/hostname")
    assert account["opened"] == count
    return count


def check(unit, watch, total, since, twice=0):
    """What is not in the journal is lost, and told of, and the numbers say so, too. At most so many may be there twice."""
    flush()
    seen, recorded, lost, _ = watch_properties(watch)["EventCounts"]["open"]
    assert (seen, recorded + lost) == (total, total)
    numbers = values("TRACELEFT_SEQ", f"TRACELEFT_UNIT={unit}", "TRACELEFT_EVENT=open")
    assert len(set(numbers)) == recorded
    assert len(numbers) - recorded <= twice
    told = sum(int(r.count) for r in records(unit, "lost", since=since, flushed=False) if r.lost_event == b"open")
    assert told == lost
    verified = run("traceleftd", "--verify", f"--after-cursor={since}", check=False)
    assert verified.returncode == 0 or (len(numbers) > recorded and " missing " not in verified.stdout), verified.stdout
    return lost


def test_it_is_killed():
    unit = "test-journald-killed.service"
    since = cursor()
    total = 0
    with watching(unit, "open") as watch:
        for _ in range(5):
            total += flood(unit, 300)
            pid = show(JOURNALD, "MainPID")
            # systemd starts a service only so often in a while.
            run("systemctl", "reset-failed", JOURNALD)
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


@pytest.fixture
def low_limit():
    """journald takes few entries of a unit: times 12 at the most, where the disk has room."""
    conf = Path("/run/systemd/journald.conf.d/test.conf")
    conf.write_text("[Journal]\nRateLimitIntervalSec=10min\nRateLimitBurst=100\n")
    run("systemctl", "restart", JOURNALD)
    yield
    conf.unlink()
    run("systemctl", "restart", JOURNALD)


def test_its_limit_is_not_for_our_records(low_limit):
    unit = "test-journald-limit.service"
    since = cursor()
    with watching(unit, "open") as watch:
        assert check(unit, watch, flood(unit, 3000), since) == 0


@pytest.fixture
def small_disk():
    """journald writes to a small file system, from which it removes nothing by itself."""
    # 512 KiB is the least that a file may have.
    settings = "Storage=volatile\nRuntimeMaxUse=1G\nRuntimeKeepFree=0\nRuntimeMaxFileSize=512K\nRuntimeMaxFiles=1000\n"
    conf = Path("/run/systemd/journald.conf.d/test.conf")
    conf.parent.mkdir(exist_ok=True)
    directory = Path("/run/log/journal")
    directory.mkdir(parents=True, exist_ok=True)
    conf.write_text(f"[Journal]\n{settings}")
    run("mount", "-t", "tmpfs", "-o", "size=16M", "tmpfs", directory)
    run("systemctl", "restart", JOURNALD)
    yield directory
    conf.unlink()
    # Somebody logs, and it is there again; so it is on the file system until the end.
    run("umount", "--lazy", directory)
    run("systemctl", "restart", JOURNALD)
    # It has begun anew in memory, where there is little room, and stays there until it is told that the disk is ready.
    run("journalctl", "--flush")


def test_its_disk_is_full(small_disk):
    unit = "test-journald-disk.service"
    since = cursor()
    filler = small_disk / "filler"
    with watching(unit, "open") as watch:
        total = flood(unit, 100)
        flush()
        with filler.open("wb", buffering=0) as file:
            with pytest.raises(OSError, match="No space left"):
                while True:
                    file.write(bytes(65536))
        total += flood(unit, 1500)
        wait_for(lambda: watch_properties(watch)["Lost"], "journald has no room")
        filler.unlink()
        total += flood(unit, 100)
        # At an entry that it has no room to link, journald begins another file, and writes it there, too.
        assert check(unit, watch, total, since, twice=1) > 0
