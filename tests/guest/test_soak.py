"""Mixed load, with faults injected at random: in the end everything adds up.

TRACELEFT_SOAK_SECONDS says for how long (60), TRACELEFT_SOAK_SEED which faults (of the time).
"""

import os
import random
import signal
import time

import pytest
from harness import (
    EVENTS, PROGRAMS, SERVICE, count_records, daemon_reload, flush, policy, records, run, run_service, show, wait_for,
    watch_properties, watching,
)  # fmt: skip
from load import UNITS, kill, restart

pytestmark = pytest.mark.daemon

SECONDS = float(os.environ.get("TRACELEFT_SOAK_SECONDS", "60"))
SEED = int(os.environ.get("TRACELEFT_SOAK_SEED") or time.time())
JOURNALD = "systemd-journald.service"
LOUD = "test-soak-loud.service"


def stop_for_a_while(unit, load):
    pid = int(show(unit, "MainPID"))
    os.kill(pid, signal.SIGSTOP)
    try:
        load.work_on()
    finally:
        os.kill(pid, signal.SIGCONT)


def reload_policies(load):
    with policy("60-soak", [UNITS[1], "test-soak-other@.service"], ["chmod", "rename"]):
        load.work_on()


def add_and_remove(load):
    with watching(UNITS[2], "unlink"), watching("test-soak-other.service", *EVENTS):
        load.work_on()


FAULTS = {
    "the daemon is killed": lambda load: kill(),
    "the daemon is restarted": lambda load: restart(),
    "the daemon is stopped for a while": lambda load: stop_for_a_while(SERVICE, load),
    "journald is restarted": lambda load: run("systemctl", "restart", JOURNALD),
    "journald is stopped for a while": lambda load: stop_for_a_while(JOURNALD, load),
    "the bus is restarted": lambda load: run("systemctl", "restart", "dbus.service"),
    "systemd executes itself anew": lambda load: run("systemctl", "daemon-reexec"),
    "systemd reads its units anew": lambda load: daemon_reload(),
    "policies change": reload_policies,
    "watches come and go": add_and_remove,
}


def bus_is_back():
    return run("busctl", "status", "org.traceleft1", check=False).returncode == 0


def test_everything_adds_up(load):
    print(f"seed {SEED}")
    choose = random.Random(SEED)
    done, generated = [], 0
    end = time.monotonic() + SECONDS
    with watching(LOUD, "open") as watch:
        while time.monotonic() < end or len(done) < 5:
            fault = choose.choice(sorted(FAULTS))
            done.append(fault)
            FAULTS[fault](load)
            wait_for(bus_is_back, f"the bus name is back after: {fault}")
            load.work_on()
            if choose.random() < 0.3:
                (account,) = run_service(LOUD, PROGRAMS / "flood", choose.randrange(100, 2000), "/etc/hostname", 2)
                generated += account["opened"]
        flush()
        values = watch_properties(watch)
        what = f"seed {SEED}: {done}"
        assert values["Seen"] == generated, what
        assert values["Seen"] == values["Recorded"] + values["Lost"], what
        assert count_records(LOUD, "open") == values["Recorded"], what
        lost = values["Lost"]
        told = sum(r.number("TRACELEFT_COUNT") for r in records(LOUD, "lost", since=load.since, flushed=False))
        assert told == lost, what
    load.check(lost=lost)
    # It reads all that was recorded.
    verified = run("traceleftd", "--verify", f"--after-cursor={load.since}", check=False, timeout=200 + SECONDS)
    assert verified.returncode == 0, f"{what}\n{verified.stdout}{verified.stderr}"
