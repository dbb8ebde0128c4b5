#!/usr/bin/env python3
"""Makes of what was measured on a kernel the figures above the baseline: combine.py DIRECTORY KERNEL.

Reads KERNEL.raw.json and KERNEL.audit.raw.json, writes KERNEL.json and KERNEL.about.json, and prints a table.
"""

import json
import sys
from pathlib import Path

WORKLOADS = {
    "open": "open, read, close of a file",
    "meta": "mkdir, chmod, chown, rmdir",
    "exec": "fork, exec, exit, wait",
    "tcp": "connect, accept, close, close",
    "write": "write of 64 bytes",
    "getppid": "getppid, which nobody records",
}
BASE = "none"
AGAIN = "none-again"
FIELDS = ("app", "unaudited", "recorder", "journald", "recorded", "generated", "told_lost", "rss_kb")


def above(measured, base):
    """The figures of a recorder without what there is without one."""
    added = {field: measured[field] - base[field] for field in ("app", "unaudited")}
    return {field: added.get(field, measured[field]) for field in FIELDS}


def baseline(results, workload):
    """What it takes without a recorder, the first time or the last: whatever else happened meanwhile only adds to it."""
    runs = [results[base][workload] for base in (BASE, AGAIN) if base in results]
    return {field: min(run[field] for run in runs) for field in FIELDS}


def combine(raws):
    """By workload and recorder. Each boot has a baseline of its own."""
    figures = {workload: {} for workload in WORKLOADS}
    for raw in raws:
        results = raw["results"]
        for workload in results[BASE]:
            base = baseline(results, workload)
            figures[workload].setdefault(BASE, base)
            for recorder, workloads in results.items():
                if recorder not in (BASE, AGAIN) and workload in workloads:
                    figures[workload][recorder] = above(workloads[workload], base)
    return figures


def drift(results):
    """How much the baseline has changed from the first to the last, in percent."""
    if AGAIN not in results:
        return {}
    return {
        workload: round(100 * (results[AGAIN][workload]["app"] / measured["app"] - 1), 2)
        for workload, measured in results[BASE].items()
    }


def about(raws):
    return {
        "kernel": raws[0]["about"]["kernel"],
        "versions": raws[0]["about"]["versions"],
        "notes": [note for raw in raws for note in raw["about"]["notes"]],
        "drift_percent": drift(raws[0]["results"]),
        "baselines": [
            {workload: baseline(raw["results"], workload)["app"] for workload in raw["results"][BASE]} for raw in raws
        ],
        # What the recorder has to do with the process that it does not record.
        "recorder_unaudited": {
            recorder: {workload: measured["recorder_unaudited"] for workload, measured in workloads.items()}
            for raw in raws
            for recorder, workloads in raw["results"].items()
            if recorder not in (BASE, AGAIN)
        },
    }


def table(figures):
    head = ("app", "unaudited", "recorder", "journald", "total", "recorded of generated", "told lost", "memory, KiB")
    lines = []
    for workload, title in WORKLOADS.items():
        lines.append(f"\n{workload}: {title}; instructions for one, above the baseline")
        lines.append(f"{'':18}" + "".join(f"{word:>{max(11, len(word) + 2)}}" for word in head))
        for recorder, f in figures[workload].items():
            total = f["app"] + f["recorder"] + f["journald"]
            words = (
                *(f"{n:,}" for n in (f["app"], f["unaudited"], f["recorder"], f["journald"], total)),
                f"{f['recorded']} of {f['generated']}", f["told_lost"], f"{f['rss_kb']:,}",
            )  # fmt: skip
            lines.append(
                f"{recorder:18}" + "".join(f"{word:>{max(11, len(h) + 2)}}" for word, h in zip(words, head))
            )
    return "\n".join(lines)


def main(directory, kernel):
    directory = Path(directory)
    paths = [directory / f"{kernel}.raw.json", directory / f"{kernel}.audit.raw.json"]
    raws = [json.loads(path.read_text()) for path in paths if path.exists()]
    figures = combine(raws)
    (directory / f"{kernel}.json").write_text(json.dumps(figures, indent=1) + "\n")
    (directory / f"{kernel}.about.json").write_text(json.dumps(about(raws), indent=1) + "\n")
    print(f"Linux {raws[0]['about']['kernel']}")
    print(table(figures))
    print("\n".join(["", *about(raws)["notes"]]))


if __name__ == "__main__":
    main(*sys.argv[1:])
