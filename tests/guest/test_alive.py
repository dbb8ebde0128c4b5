"""The daemon goes on, and loses nothing, whatever happens around it."""

import os
import signal
from pathlib import Path

import pytest
from harness import (
    PROGRAMS, SCRATCH, SERVICE, call, read_account, records, run, run_service, show, wait_for, watch_properties,
    watching,
)  # fmt: skip
from load import UNITS, drop_in, main_pid, wait_for_another

pytestmark = pytest.mark.daemon

JOURNALD = "systemd-journald.service"
GROUPS = Path("/sys/fs/cgroup/system.slice")


def test_a_loop_that_is_stuck_is_ended_by_the_watchdog(load):
    with drop_in("WatchdogSec=3s\nTimeoutAbortSec=3s\n"):
        load.work_on()
        pid = main_pid()
        os.kill(int(pid), signal.SIGSTOP)
        wait_for_another(pid)
        assert "watchdog" in run("journalctl", "-q", "-u", SERVICE, "_PID=1", "-o", "cat", "-n", "20").stdout.lower()
        load.work_on()
    load.check()


def test_it_is_stopped_for_a_while(load):
    pid = main_pid()
    for _ in range(3):
        os.kill(int(pid), signal.SIGSTOP)
        for _ in range(5):
            load.work_on()
        os.kill(int(pid), signal.SIGCONT)
        load.work_on()
    assert main_pid() == pid
    load.check()


def test_the_bus_is_restarted(load):
    pid = main_pid()
    for _ in range(3):
        run("systemctl", "restart", "dbus.service")
        load.work_on()
    wait_for(lambda: run("busctl", "status", "org.traceleft1", check=False).returncode == 0, "the bus name is back")
    assert main_pid() == pid
    load.check()


def test_journald_is_restarted(load):
    pid = main_pid()
    for _ in range(5):
        run("systemctl", "restart", JOURNALD)
        load.work_on()
    assert main_pid() == pid
    load.check()


def test_the_clock_jumps(load):
    pid = main_pid()
    load.work_on()
    for jump in ("+3 days", "-3 days"):
        run("date", "-s", jump)
        load.work_on()
    assert main_pid() == pid
    load.check()
    found = records(UNITS[0], "open", since=load.since, flushed=False)
    times = [r.number("TRACELEFT_TIMESTAMP") for r in found]
    assert times == sorted(times)
    # The clock of the records does not jump.
    assert times[-1] - times[0] < 3600 * 10**9
    # In a file with entries of days to come journalctl finds nothing by the time of day.
    run("journalctl", "--rotate", "--vacuum-size=1")


def memory(name):
    return int((GROUPS / SERVICE / f"memory.{name}").read_text())


def test_its_memory_is_at_its_limit(load):
    """Records wait in the ring, which is there from the beginning; the daemon needs no more memory for more of them."""
    pid = main_pid()
    with watching("test-pressure.service", "open") as watch:
        call("Flush")
        limit = memory("current") + (8 << 20)
        run("systemctl", "set-property", "--runtime", SERVICE, f"MemoryMax={limit}", "MemorySwapMax=0")
        try:
            journald = show(JOURNALD, "MainPID")
            os.kill(int(journald), signal.SIGSTOP)
            try:
                (account,) = run_service("test-pressure.service", PROGRAMS / "flood", 60000, "/etc/hostname", 4)
                values = watch_properties(watch)
                assert values["Seen"] == account["opened"] == 60000
                assert values["Lost"] > 0
            finally:
                os.kill(int(journald), signal.SIGCONT)
            load.work_on()
            assert main_pid() == pid
            events = (GROUPS / SERVICE / "memory.events").read_text()
            assert "oom_kill 0" in events
            call("Flush")
            values = watch_properties(watch)
            assert values["Seen"] == values["Recorded"] + values["Lost"] == 60000
            load.check(lost=values["Lost"])
        finally:
            run("systemctl", "set-property", "--runtime", SERVICE, "MemoryMax=infinity", "MemorySwapMax=infinity")


def test_a_hostile_unit(load):
    """It makes thousands of control groups, and forks without end; others lose nothing, and nothing of it stays."""
    unit, count = "test-hostile.service", 5000
    pid = main_pid()
    account = SCRATCH / "hostile.account"
    account.unlink(missing_ok=True)
    with watching(unit, "fork", "exec", "exit") as watch:
        run(
            "systemd-run", "--quiet", f"--unit={unit}", "--property=Delegate=yes", "--property=TasksMax=50",
            # Without end, but not without bounds: the others are to get on with their work.
            "--property=CPUQuota=60%", f"--property=StandardOutput=file:{account}", PROGRAMS / "hostile", GROUPS / unit, count,
        )  # fmt: skip
        try:
            made = lambda: account.exists() and account.stat().st_size > 0  # noqa: E731
            wait_for(made, "all groups are made", timeout=300)
            for _ in range(5):
                load.work_on()
            known = lambda: len(watch_properties(watch)["ControlGroups"])  # noqa: E731
            wait_for(lambda: known() == count + 1, "all groups are known", timeout=300)
        finally:
            run("systemctl", "kill", "-s", "KILL", unit)
        wait_for(lambda: not (GROUPS / unit).exists(), "the unit is gone", timeout=300)
        wait_for(lambda: watch_properties(watch)["ControlGroups"] == [], "its groups are forgotten", timeout=300)
        call("Flush")
        values = watch_properties(watch)
        assert values["Seen"] == values["Recorded"] + values["Lost"]
        assert values["Seen"] > 100
    assert [line["made"] for line in read_account(account)] == [count]
    assert main_pid() == pid
    load.check(lost=values["Lost"])
