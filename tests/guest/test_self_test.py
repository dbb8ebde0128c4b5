"""The self-test: what a machine cannot record is said before the daemon is ready."""

from contextlib import contextmanager
from pathlib import Path

import pytest
from harness import (
    EVENTS, SERVICE, call, cursor, entries, messages, output, policy, properties, restart_daemon, run, show, watch_properties,
    watching,
)  # fmt: skip

pytestmark = pytest.mark.any_backend

UNIT = "traceleft-self-test.service"
KPROBES = Path("/sys/kernel/debug/kprobes/enabled")
ALL = ["@file", "@network", "@privilege", "@process"]


def coverage():
    """Of the watch of the one policy, by event."""
    (path,) = output("busctl", "tree", "--list", "org.traceleft1").split()[-1:]
    return {event: (state, detail) for event, state, detail in watch_properties(path)["Coverage"]}


@contextmanager
def started_with(events, unit="test-covered.service"):
    """The daemon, started anew with a policy."""
    with policy("covered", [unit], events):
        restart_daemon()
        yield
    restart_daemon()


def test_every_event_comes():
    since, before = cursor(), properties()
    with started_with(ALL):
        found = coverage()
        assert sorted(found) == sorted(EVENTS)
        assert {event: row for event, row in found.items() if row[0] not in ("complete", "partial")} == {}
        assert all(bool(detail) == (state == "partial") for state, detail in found.values()), found
        # It was the unit's doing, and it left nothing: no failed unit, no record, no count.
        assert show(UNIT, "ActiveState") == "inactive"
        assert show(UNIT, "Result") == "success"
        call("Flush")
        assert entries(f"TRACELEFT_UNIT={UNIT}", since=since) == []
        counts = properties()
        assert [counts[name] - before[name] for name in ("Seen", "Recorded", "Lost")] == [0, 0, 0]
    assert "unproven" not in messages(since) and "unavailable" not in messages(since)


def test_who_watches_its_unit_sees_it():
    since = cursor()
    with started_with(["mkdir"], UNIT):
        call("Flush")
        found = entries(f"TRACELEFT_UNIT={UNIT}", since=since)
        # Once for mkdir, once for rmdir to have something.
        assert [(r.event, r.path, r.policy) for r in found] == [
            (b"mkdir", b"/run/traceleft-self-test/directory", b"covered")
        ] * 2


@pytest.fixture
def disarmed():
    """No kprobe of the whole machine runs."""
    if not KPROBES.parent.parent.joinpath("kprobes").exists():
        run("mount", "-t", "debugfs", "debugfs", "/sys/kernel/debug")
    KPROBES.write_text("0")
    yield
    KPROBES.write_text("1")


@pytest.mark.default_backend
def test_what_does_not_come_is_said(disarmed):
    since = cursor()
    with started_with(["mkdir", "exec"]):
        assert show(SERVICE, "ActiveState") == "active"
        found = coverage()
        assert {event: state for event, (state, _) in found.items()} == {"mkdir": "unproven", "exec": "unproven"}
        assert "no record came" in found["mkdir"][1]
        for event in ("mkdir", "exec"):
            assert f"{event} is unproven" in messages(since)


def test_it_cannot_be_run():
    run("systemctl", "mask", "--runtime", UNIT)
    try:
        with started_with(["mkdir"]):
            state, detail = coverage()["mkdir"]
            assert state == "unproven" and "could not be run" in detail and "masked" in detail, detail
    finally:
        run("systemctl", "unmask", "--runtime", UNIT)


def test_watches_of_the_bus_have_a_coverage():
    with watching("test-bus.service", "open") as path:
        ((event, state, detail),) = watch_properties(path)["Coverage"]
        # What some kernels lack a hook for is told; it concerns io_uring alone.
        assert event == "open" and (state, detail) == ("complete", "") or state == "partial" and "io_uring" in detail
