"""Many names: each is right, systemd is asked about all of them together, and only once."""

import json
import os
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
from harness import (
    BUS_NAME, PROGRAMS, SCRATCH, busctl, call, daemon_reload, managed_objects, output, policy, records, restart_daemon, run,
    run_service, show, wait_for, write_policy, write_unit,
)  # fmt: skip

pytestmark = pytest.mark.any_backend

SYSTEMD = "org.freedesktop.systemd1"
NOP = f"{PROGRAMS}/nop"
RUNNING = [f"tl-many-run-{n}.service" for n in range(6)] + ["tl-many-run@1.service"]
IDLE = [f"tl-many-idle-{n}.service" for n in range(6)] + ["tl-many-idle@1.service"]
# What it leaves when it is stopped goes on running.
LEFT = "tl-many-left.service"
ALIASES = {
    "tl-many-alias-a.service": "tl-many-run-0.service",
    "tl-many-alias-b.service": "tl-many-idle-0.service",
}
# An alias that is made while it is watched.
LATE_ALIAS = "tl-many-alias-late.service"
LATE = "tl-many-late.service"
NONE = [f"tl-many-none-{n}.service" for n in range(480)]
# Mixed: what is there and what is not is asked about in the same calls.
NAMES = [*NONE[:200], *RUNNING[1:], *NONE[200:], *ALIASES, *IDLE[1:], LEFT, LATE, LATE_ALIAS]


@pytest.fixture(scope="module", autouse=True)
def units():
    runs = f"[Service]\nExecStart=/bin/sleep infinity\nExecReload={NOP}\n"
    once = f"[Service]\nType=oneshot\nExecStart={NOP}\n"
    left = "[Service]\nKillMode=process\nExecStart=/bin/sh -c 'sleep infinity & exec sleep infinity'\n"
    texts = {name: runs for name in RUNNING} | {name: once for name in IDLE} | {LEFT: left}
    files = [write_unit(name, text) for name, text in texts.items()]
    links = [files[0].with_name(name) for name in ALIASES]
    for link in links:
        link.symlink_to(ALIASES[link.name])
    daemon_reload()
    run("systemctl", "start", *RUNNING, LEFT)
    processes = Path("/sys/fs/cgroup") / show(LEFT, "ControlGroup").lstrip("/") / "cgroup.procs"
    wait_for(lambda: len(processes.read_text().split()) == 2, "two processes")
    run("systemctl", "stop", LEFT)
    (left,) = processes.read_text().split()
    yield
    os.kill(int(left), signal.SIGKILL)
    run("systemctl", "stop", *RUNNING)
    for path in [*files, *links]:
        path.unlink()
    daemon_reload()


class Calls:
    """The calls that the daemon makes to systemd, as the bus shows them to who monitors it."""

    def __init__(self, path, daemon):
        self.path, self.daemon, self.seen, self.marks = path, daemon, 0, 0

    def read(self):
        lines = self.path.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def mark(self):
        """What a call says that is made now."""
        self.marks += 1
        word = f"tl-mark-{self.marks}.service"
        run("busctl", "call", SYSTEMD, "/org/freedesktop/systemd1", f"{SYSTEMD}.Manager", "GetUnit", "s", word, check=False)
        return word

    def new(self):
        """Those since the last time."""
        word = self.mark()
        shown = lambda message: word in str(message.get("payload"))  # noqa: E731
        wait_for(lambda: any(map(shown, self.read())), "the monitor to show a call")
        messages = self.read()
        new, self.seen = messages[self.seen:], len(messages)
        return [m for m in new if m.get("sender") == self.daemon and m.get("destination") == SYSTEMD]

    def loaded(self):
        """The names that systemd was asked about from nothing since the last time, and by how many calls."""
        calls = [m["payload"]["data"] for m in self.new() if m["member"] in ("LoadUnit", "ListUnitsByNames")]
        names = [name for (data,) in calls for name in (data if isinstance(data, list) else [data])]
        return sorted(names), len(calls)


@contextmanager
def monitored():
    path = SCRATCH / "calls.json"
    owner = busctl("call", "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetNameOwner", "s", BUS_NAME)
    with path.open("w") as file:
        monitor = subprocess.Popen(["busctl", "monitor", "--json=short", "--match=type='method_call'"], stdout=file)
        try:
            calls = Calls(path, owner[0])
            # It shows nothing of before it was ready.
            wait_for(lambda: calls.mark() and calls.read(), "the monitor to be ready")
            calls.new()
            yield calls
        finally:
            monitor.kill()
            monitor.wait()


def control_groups():
    """Of each watch, by its unit."""
    found = {}
    for interfaces in managed_objects().values():
        if watch := interfaces.get("org.traceleft1.Watch"):
            found[watch["Unit"]["data"]] = watch["ControlGroups"]["data"]
    return found


def expected_groups(names):
    """As systemd itself has them."""
    shown = output("systemctl", "show", "-p", "Id", "-p", "ControlGroup", *names).split("\n\n")
    groups = [dict(line.split("=", 1) for line in block.split())["ControlGroup"] for block in shown]
    assert len(groups) == len(names)
    return {name: [group] if group else [] for name, group in zip(names, groups)}


def executed(unit):
    """Invocation ids of the records of an exec of the program that the units run."""
    return [r.invocation_id for r in records(unit, "exec") if r.path == NOP.encode()]


def check_all():
    """Each name means what systemd says, and what the units execute is recorded as theirs."""
    there = [name for name in NAMES if name not in NONE]
    expected = expected_groups(there)
    assert [name for name, groups in expected.items() if groups][:6] == RUNNING[1:]
    assert control_groups() == expected | {name: [] for name in NONE}
    watched = [*RUNNING[1:], ALIASES["tl-many-alias-a.service"]]
    before = {unit: len(executed(unit)) for unit in [*watched, *IDLE]}
    run("systemctl", "reload", *watched)
    run("systemctl", "start", *IDLE)
    for unit in watched:
        assert executed(unit)[before[unit]:] == [show(unit, "InvocationID").encode()], unit
    for unit in IDLE:
        assert len(executed(unit)) == before[unit] + 1, unit
    assert [executed(alias) for alias in ALIASES] == [[], []]


def test_many_names_are_right_and_asked_about_once():
    with monitored() as calls, policy("test-many", NAMES, ["exec"]):
        names, count = calls.loaded()
        # Those that are asked about together are none the less all asked about.
        assert names == sorted(NAMES)
        assert count < 10
        check_all()
        run_service(LATE, NOP)
        assert len(executed(LATE)) == 1

        # What is known is not asked about again.
        calls.new()
        for _ in range(3):
            call("Reload")
        assert calls.loaded() == ([], 0)
        check_all()
        write_policy("test-many", [*NAMES, "tl-many-new.service"], ["exec"])
        call("Reload")
        assert calls.loaded() == (["tl-many-new.service"], 1)
        write_policy("test-many", NAMES, ["exec"])
        call("Reload")
        check_all()

        # When systemd has read its units again, anything may have changed.
        calls.new()
        link = Path("/run/systemd/system") / LATE_ALIAS
        link.symlink_to("tl-many-run-1.service")
        try:
            daemon_reload()
            group = show("tl-many-run-1.service", "ControlGroup")
            wait_for(lambda: control_groups()[LATE_ALIAS] == [group], "the alias to be known")
            names, count = calls.loaded()
            assert set(names) == set(NAMES)
            assert count < 20
            check_all()
        finally:
            link.unlink()
            daemon_reload()


def test_many_names_are_right_after_a_restart():
    with policy("test-many", NAMES, ["exec"]):
        restart_daemon()
        check_all()
