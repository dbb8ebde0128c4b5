"""From the first instruction: the first exec of each start, whatever way a watch names the unit."""

import os

import pytest
from harness import (
    PROGRAMS, SCRATCH, cursor, daemon_reload, read_account, records, run, service_text, watch_properties, watching, write_unit,
)  # fmt: skip

pytestmark = pytest.mark.any_backend

# Of each kind; the plain unit has twice as many.
STARTS = int(os.environ.get("TRACELEFT_STARTS", "50"))
AT_ONCE = 200
ACCOUNT = SCRATCH / "starts.account"
PROGRAM = f"{PROGRAMS}/flood 0 /"


@pytest.fixture(scope="module", autouse=True)
def units():
    """All units of this file."""
    text = service_text(PROGRAM, ACCOUNT, Type="oneshot")
    files = [
        write_unit("tl-start.service", text + "[Unit]\nStartLimitIntervalSec=0\n"),
        write_unit("tl-start@.service", text),
        write_unit("tl-starts.slice", "[Slice]\n"),
        write_unit("tl-sliced.service", text + "Slice=tl-starts.slice\n[Unit]\nStartLimitIntervalSec=0\n"),
        write_unit("tl-many@.service", service_text(PROGRAM, SCRATCH / "many-%i.account", Type="oneshot")),
    ]
    daemon_reload()
    yield
    run("systemctl", "stop", "tl-starts.slice")
    for path in files:
        path.unlink()
    daemon_reload()


def start_all(script):
    """Runs a script for n from 1 to STARTS; one shell, since a process takes longer than a start."""
    run("sh", "-ec", f"n=1; while [ $n -le {STARTS} ]; do {script}; n=$((n+1)); done", timeout=20 * STARTS)


# What is watched, and starts by number; unit and control group are those of the start.
KINDS = {
    "unit": (
        "tl-start.service", "systemctl start tl-start.service; systemctl restart tl-start.service", 2,
        "tl-start.service", "/system.slice/tl-start.service",
    ),
    "template": (
        "tl-start@.service", "systemctl start tl-start@$n.service", 1,
        "tl-start@{n}.service", "/system.slice/system-tl\\x2dstart.slice/tl-start@{n}.service",
    ),
    "slice": (
        "tl-starts.slice", "systemctl start tl-sliced.service", 1,
        "tl-sliced.service", "/tl.slice/tl-starts.slice/tl-sliced.service",
    ),
    "pattern": (
        "tl-[!a-s]*p?ttern-*.service",
        f"systemd-run --quiet --wait --collect --unit=tl-the-pattern-$n -p StandardOutput=append:{ACCOUNT} {PROGRAM}", 1,
        "tl-the-pattern-{n}.service", "/system.slice/tl-the-pattern-{n}.service",
    ),
    "transient": (
        "tl-transient.service",
        f"systemd-run --quiet --wait --collect --unit=tl-transient -p StandardOutput=append:{ACCOUNT} {PROGRAM}", 1,
        "tl-transient.service", "/system.slice/tl-transient.service",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_exec_of_each_start(kind):
    target, script, times, unit, group = KINDS[kind]
    ACCOUNT.unlink(missing_ok=True)
    since = cursor()
    with watching(target, "exec") as watch:
        start_all(script)
        told = [line["invocation"].encode() for line in read_account(ACCOUNT)]
        n = times * STARTS
        assert len(told) == len(set(told)) == n
        found = records(None, "exec", since=since)
        assert [r.invocation_id for r in found] == told
        assert {r.path for r in found} == {os.fsencode(PROGRAMS / "flood")}
        numbers = [i for i in range(1, STARTS + 1) for _ in range(times)]
        assert [r.unit for r in found] == [unit.format(n=i).encode() for i in numbers]
        assert [r.cgroup for r in found] == [group.format(n=i).encode() for i in numbers]
        assert watch_properties(watch)["EventCounts"] == {"exec": [n, n, 0, 0]}


def test_two_hundred_at_once():
    """Instances of a template, in one transaction."""
    names = {n: f"tl-many@{n}.service" for n in range(AT_ONCE)}
    accounts = {n: SCRATCH / f"many-{n}.account" for n in names}
    for path in accounts.values():
        path.unlink(missing_ok=True)
    since = cursor()
    with watching("tl-many@.service", "exec") as watch:
        run("systemctl", "start", *names.values(), timeout=300)
        told = {name: line["invocation"] for n, name in names.items() for line in read_account(accounts[n])}
        found = records(None, "exec", since=since)
        assert len(found) == AT_ONCE
        assert {r.text("TRACELEFT_UNIT"): r.text("TRACELEFT_INVOCATION_ID") for r in found} == told
        assert {r.path for r in found} == {os.fsencode(PROGRAMS / "flood")}
        assert watch_properties(watch)["EventCounts"] == {"exec": [AT_ONCE, AT_ONCE, 0, 0]}
