#!/usr/bin/env python3
"""Measures in the guest how traceleftd's cost grows: scale.py OUT writes OUT, a JSON document.

In a guest that counts instructions, as measure.py. One thing grows at a time, from nearly nothing to far beyond what a
machine has; each figure is that of the same work.
"""

import json
import sys
import time
from pathlib import Path

from measure import (
    AUDITED, GROUPS, MANAGER, SETTINGS, Session, cursor, memory, output, prepare, run, settle, show, start_loads,
    start_unit,
)  # fmt: skip

POLICIES = Path("/etc/traceleft/policy.d")
SERVICE = "traceleftd.service"
WATCHES = (1, 10, 100, 1000, 10000)
CONTROL_GROUPS = (0, 1000, 10000, 100000)
PROCESSES = (0, 100, 1000, 4000)
FILES = (1, 10, 100, 1000)
CROWD, CROWD_UNIT = "bench-crowd.slice", "bench-crowd-nursery.service"
OPERATIONS = 200
# So many watches and groups are beyond the defaults.
LIMITS = "watches = 16384\ncontrol-groups = 262144\n"


def daemon():
    return Session([SERVICE])


def timed(*command):
    """Seconds that a command takes; of this guest's clock, so thousands of millions of instructions."""
    before = time.monotonic_ns()
    run(*command)
    return round((time.monotonic_ns() - before) / 1e9, 4)


def write_policies(policies):
    """Each a list of units."""
    for path in POLICIES.glob("bench-*.toml"):
        path.unlink()
    for number, units in enumerate(policies):
        text = f"units = {json.dumps(units)}\nevents = [\"open\"]\n"
        (POLICIES / f"bench-{number:05}.toml").write_text(text)


def cost(loads):
    """Instructions of one open with its read and close: recorded, and by a process that nobody watches."""
    audited, other = loads
    app = audited.work("open", OPERATIONS)
    settle(daemon())
    unaudited = other.work("open", OPERATIONS)
    settle(daemon())
    # As many as measure.py's workload does.
    operations = 10 * OPERATIONS
    return {"app": round(app / operations), "unaudited": round(unaudited / operations), "rss_kb": memory(SERVICE)}


def units(count):
    """That are watched; all but one need not be there."""
    return [AUDITED, *(f"bench-none-{n}.service" for n in range(count - 1))]


def under(policies, loads):
    """What starting, reloading and an open cost under these policies."""
    write_policies(policies)
    figures = {}
    for name, verb in (("start_s", "restart"), ("reload_s", "reload")):
        figures[name] = timed("systemctl", verb, SERVICE)
        settle(daemon())
    return figures | cost(loads)


def by_watches(loads):
    """Units that are watched by name, in one policy."""
    for count in WATCHES:
        yield {"n": count} | under([units(count)], loads)


def by_policies(loads):
    """As many policies, each a file with one unit."""
    for count in FILES:
        yield {"n": count} | under([[unit] for unit in units(count)], loads)


def watch_audited():
    write_policies([[AUDITED, CROWD]])
    run("systemctl", "restart", SERVICE)
    settle(daemon())


def by_control_groups(loads):
    """Groups below a watched slice, each entered by the kernel side."""
    watch_audited()
    # It has no controllers, as what systemd delegates to nobody: a group then takes little memory.
    start_unit(CROWD_UNIT, "/bin/sleep", "infinity", Slice=CROWD, Delegate="yes")
    top = GROUPS.parent / output("systemctl", "show", "--value", "-p", "ControlGroup", CROWD_UNIT).strip().lstrip("/")
    made = 0
    for count in CONTROL_GROUPS:
        for number in range(made, count):
            (top / f"{number}").mkdir()
        made = max(made, count)
        settle(daemon())
        yield {"n": count} | cost(loads)
    for number in range(made):
        (top / f"{number}").rmdir()
    run("systemctl", "stop", CROWD_UNIT)
    settle(daemon())


def by_processes(loads):
    """Processes of a watched unit that have opened files, and wait."""
    watch_audited()
    yield {"n": 0} | cost(loads)
    for count in PROCESSES[1:]:
        script = f"i=0; while [ $i -lt {count} ]; do sleep infinity & i=$((i+1)); done; exec sleep infinity"
        start_unit(CROWD_UNIT, "/bin/sh", "-c", script, Slice=CROWD, TasksMax="infinity")
        while int(show(CROWD_UNIT, "TasksCurrent")) <= count:
            time.sleep(1)
        settle(daemon())
        yield {"n": count} | cost(loads)
        run("systemctl", "kill", "--signal=KILL", CROWD_UNIT)
        while show(CROWD_UNIT, "ActiveState") == "active":
            time.sleep(1)


def add_watch(loads):
    """From the call of AddWatch to the first record in the journal: the first watch of an event, which loads its
    programs, and another one."""
    write_policies([])
    run("systemctl", "restart", SERVICE)
    settle(daemon())
    for watches in ("first", "another"):
        since = cursor()
        before = time.monotonic_ns()
        path = output("busctl", "call", *MANAGER, "AddWatch", "sas", AUDITED, 1, "open").split('"')[1]
        added = time.monotonic_ns()
        loads[0].work("open", 1)
        match = ["-t", "traceleft", "TRACELEFT_EVENT=open", f"--after-cursor={since}", "-o", "json"]
        while not (first := output("journalctl", "-q", *match).splitlines()):
            time.sleep(0.01)
        recorded = int(json.loads(first[0])["__MONOTONIC_TIMESTAMP"]) * 1000
        yield {"n": watches, "added_s": round((added - before) / 1e9, 4), "recorded_s": round((recorded - before) / 1e9, 4)}
        if watches == "another":
            run("busctl", "call", *MANAGER, "RemoveWatch", "o", path)


MEASURED = {
    "watches": by_watches,
    "policies": by_policies,
    "control-groups": by_control_groups,
    "processes": by_processes,
    "add-watch": add_watch,
}


def main(out, *names):
    prepare()
    SETTINGS.write_text(LIMITS)
    loads = start_loads()
    results = {}
    for name in names or MEASURED:
        results[name] = []
        for figures in MEASURED[name](loads):
            results[name].append(figures)
            print(f"{name}: {figures}", flush=True)
            Path(out).write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
