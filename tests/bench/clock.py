#!/usr/bin/env python3
"""Measures traceleftd by the clock: clock.py OUT [MINUTES] writes OUT, a JSON document.

To be run as root where traceleftd is installed, in a guest or on a machine of your own; the figures are that machine's,
and with them comes what it is. Memory is looked at for so many minutes, 10 if none are given.
"""

import json
import os
import statistics
import sys
import time
from pathlib import Path

from measure import AUDITED, MANAGER, cursor, manager_number, memory, output, run, start_loads

SERVICE = "traceleftd.service"
BURST = 40000
# Opens in a stretch, and milliseconds after it, of the rates at which delays are looked at.
STRETCH = 10
FIELDS = "TRACELEFT_TIMESTAMP"


def totals():
    return {prop: manager_number(prop) for prop in ("Seen", "Recorded", "Lost")}


def flush():
    run("busctl", "call", "--timeout=600", *MANAGER, "Flush")


def work(load, bursts, operations, pause):
    """Opens; returns the seconds that all took."""
    before = time.monotonic()
    load.order("open", bursts, operations, pause)
    return time.monotonic() - before


def work_at(load, rate, seconds):
    """The same at a rate, in opens a second. Each stretch has one that is not in its count."""
    pause = max(1, round(1000 * STRETCH / rate))
    return work(load, max(1, round(seconds * 1000 / pause)), STRETCH - 1, pause)


def account(before):
    after = totals()
    return {prop.lower(): after[prop] - before[prop] for prop in after}


def burst(load):
    """As many as a program can do at a stretch; then how fast the daemon and journald take them."""
    before, started = totals(), time.monotonic()
    took = work(load, 1, BURST, 0)
    flush()
    drained = time.monotonic() - started
    figures = account(before)
    return figures | {
        "generated": BURST + 1,
        "generated_per_s": round(BURST / took),
        "recorded_per_s": round(figures["recorded"] / drained),
    }


def sustained(load, rate, seconds):
    """At a rate for some time: what is recorded, and how long each takes to the journal."""
    before, since = totals(), cursor()
    took = work_at(load, rate, seconds)
    flush()
    figures = account(before)
    match = ["-q", "-t", "traceleft", f"TRACELEFT_UNIT={AUDITED}", f"--after-cursor={since}"]
    entries = map(json.loads, output("journalctl", *match, "-o", "json", f"--output-fields={FIELDS}").splitlines())
    # The record's is the time since the boot, and so is the journal's where the machine was not suspended.
    delays = sorted(int(e["__MONOTONIC_TIMESTAMP"]) / 1e3 - int(e[FIELDS]) / 1e6 for e in entries if FIELDS in e)
    return figures | {
        "per_s": round(figures["seen"] / took),
        "delay_median_ms": round(statistics.median(delays), 2),
        "delay_99_ms": round(delays[len(delays) * 99 // 100], 2),
    }


def memory_over(load, rate, minutes):
    """The daemon's memory, looked at each minute."""
    figures = [memory(SERVICE)]
    before = totals()
    for _ in range(minutes):
        work_at(load, rate, 60)
        figures.append(memory(SERVICE))
    flush()
    return account(before) | {"minutes": minutes, "rss_kb": figures}


def machine():
    cpu = next((line.split(": ")[1] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), "")
    return {"kernel": os.uname().release, "processor": cpu, "processors": os.cpu_count()}


def main(out, minutes="10"):
    for deb in Path("/root").glob("traceleft_*.deb"):
        run("apt-get", "install", "-y", "-q", deb)
    run("systemctl", "start", SERVICE)
    load, _ = start_loads()
    path = output("busctl", "call", *MANAGER, "AddWatch", "sas", AUDITED, 1, "open").split('"')[1]
    results = {"machine": machine()}

    def note(name, figures):
        results[name] = figures
        print(f"{name}: {figures}", flush=True)
        Path(out).write_text(json.dumps(results, indent=1) + "\n")

    note("burst", burst(load))
    # What it can do without end is what it took of the burst, less some for what else the machine does.
    most = results["burst"]["recorded_per_s"]
    note("half", sustained(load, most / 2, 20))
    note("sustained", sustained(load, most * 0.9, 60))
    note("memory", memory_over(load, most / 2, int(minutes)))
    run("busctl", "call", *MANAGER, "RemoveWatch", "o", path)


if __name__ == "__main__":
    main(*sys.argv[1:])
