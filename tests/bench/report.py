#!/usr/bin/env python3
"""Makes a page of what was measured: report.py DIRECTORY writes report.html there, of all KERNEL.json in it."""

import json
import sys
from html import escape
from pathlib import Path

from combine import BASE, WORKLOADS

# Two charts for each workload: what each is called, and its bars.
CHARTS = [
    ("In the process", [("app", "that is recorded"), ("unaudited", "that is not")]),
    ("Afterwards", [("recorder", "in the recorder"), ("journald", "in journald")]),
]
# What grows (scale.py), what that is, and why what it costs is not all the same.
GROWTHS = {
    "watches": ("Units watched by name", "Starting asks systemd about all of them, and reloading about those that are new."),
    "policies": ("Policies, each a file with a unit", "The same, and each file is read."),
    "control-groups": (
        "Control groups below a watched slice",
        "The daemon keeps the path of each for its records.",
    ),
    "processes": ("Processes of a watched unit", "What the kernel side keeps of a task has room for a fixed number of them."),
    "add-watch": ("From AddWatch to the first record", "The first watch of an event has its programs loaded."),
}
COLUMNS = {
    "n": "",
    "app": "recorded open, instructions",
    "unaudited": "other open, instructions",
    "start_s": "start, s",
    "reload_s": "reload, s",
    "added_s": "AddWatch, s",
    "recorded_s": "first record, s",
    "rss_kb": "memory, MiB",
}
WIDTH, LEFT, RIGHT, BAR, GAP = 560, 128, 56, 14, 12

STYLE = """
:root { color-scheme: light dark; --text: #1d2329; --soft: #5d6771; --line: #dfe3e7; --page: #fff; --ours: #eef5f2;
  --app: #0b7a5b; --unaudited: #8fc7b2; --recorder: #2f62b5; --journald: #a9c1ea; }
@media (prefers-color-scheme: dark) { :root { --text: #e4e8eb; --soft: #9aa5ae; --line: #343c43; --page: #15191d;
  --ours: #1c2925; --app: #35b58d; --unaudited: #1f6450; --recorder: #6c9cf0; --journald: #34528a; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--page); max-width: 1180px;
  margin: 0 auto; padding: 32px 24px 64px; }
h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 20px; margin: 48px 0 0; }
h3 { font-size: 16px; margin: 32px 0 0; }
p { max-width: 78ch; margin: 8px 0; } .soft, caption, figcaption { color: var(--soft); }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(440px, 1fr)); gap: 8px 32px; }
figure { margin: 12px 0 0; max-width: 560px; } figcaption { font-size: 13px; }
svg { width: 100%; height: auto; display: block; }
svg text { font: 12px system-ui, sans-serif; fill: var(--text); } svg .value { fill: var(--soft); }
svg .ours { font-weight: 600; } .axis { stroke: var(--line); }
.app { fill: var(--app); background: var(--app); } .unaudited { fill: var(--unaudited); background: var(--unaudited); }
.recorder { fill: var(--recorder); background: var(--recorder); }
.journald { fill: var(--journald); background: var(--journald); }
.key { display: inline-block; width: 10px; height: 10px; border-radius: 2px; margin: 0 4px 0 12px; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; margin-top: 12px; }
th, td { padding: 3px 14px 3px 0; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line);
  font-variant-numeric: tabular-nums; } th { font-weight: 500; color: var(--soft); }
th:first-child, td:first-child { text-align: left; } tr.ours td { background: var(--ours); }
"""


def short(n):
    """A number as people say it: 12.6k."""
    if abs(n) < 1000:
        return str(n)
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if abs(n) >= size:
            return f"{n / size:.{0 if abs(n) >= 100 * size else 1 if abs(n) >= 10 * size else 2}f}{unit}"
    raise AssertionError(n)


def ours(recorder):
    return " ours" if recorder.startswith("traceleft") else ""


def chart(title, bars, figures):
    """Bars of each recorder, one for each figure."""
    most = max([1, *(f[field] for f in figures.values() for field, _ in bars)])
    scale = (WIDTH - LEFT - RIGHT) / most
    row = len(bars) * BAR + GAP
    height = len(figures) * row + GAP
    parts = []
    for place, (recorder, f) in enumerate(figures.items()):
        top = GAP / 2 + place * row
        parts.append(
            f'<text class="name{ours(recorder)}" x="{LEFT - 10}" y="{top + len(bars) * BAR / 2 + 4}" '
            f'text-anchor="end">{escape(recorder)}</text>'
        )
        for number, (field, name) in enumerate(bars):
            y, width = top + number * BAR, max(0, f[field]) * scale
            parts.append(
                f'<rect class="{field}" x="{LEFT}" y="{y + 1}" width="{width:.1f}" height="{BAR - 2}">'
                f"<title>{escape(recorder)}, {name}: {f[field]:,}</title></rect>"
                f'<text class="value" x="{LEFT + width + 6:.1f}" y="{y + BAR / 2 + 4}">{short(f[field])}</text>'
            )
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{LEFT}" y1="0" y2="{height}"/>')
    keys = "".join(f'<span class="key {field}"></span>{name}' for field, name in bars)
    return (
        f'<figure><figcaption>{escape(title)}{keys}</figcaption><svg viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(title)}">{"".join(parts)}</svg></figure>'
    )


def table(figures):
    head = ("", "recorded process", "other process", "recorder", "journald", "total", "recorded", "generated",
            "told lost", "memory, MiB")  # fmt: skip
    rows = ["<tr>" + "".join(f"<th>{word}</th>" for word in head) + "</tr>"]
    for recorder, f in figures.items():
        total = f["app"] + f["recorder"] + f["journald"]
        costs = (f["app"], f["unaudited"], f["recorder"], f["journald"], total)
        numbers = (*costs, f["recorded"], f["generated"], f["told_lost"])
        cells = "".join(f"<td>{n:,}</td>" for n in numbers)
        rows.append(
            f'<tr class="{ours(recorder).strip()}"><td>{escape(recorder)}</td>{cells}'
            f"<td>{f['rss_kb'] / 1024:.1f}</td></tr>"
        )
    return f'<div class="scroll"><table>{"".join(rows)}</table></div>'


def workload_section(workload, figures):
    base = figures[BASE]
    recorders = {recorder: f for recorder, f in figures.items() if recorder != BASE}
    # What nobody records costs its process alone.
    charts = CHARTS if workload != "getppid" else CHARTS[:1]
    return (
        f"<h3>{escape(workload)}</h3>"
        f"<p>{escape(WORKLOADS[workload])}: {base['app']:,} instructions without a recorder.</p>"
        f'<div class="charts">{"".join(chart(title, bars, recorders) for title, bars in charts)}</div>'
        f"{table(recorders)}"
    )


def cells(values):
    return "".join(f"<td>{value:,}</td>" if isinstance(value, (int, float)) else f"<td>{value}</td>" for value in values)


def growth_section(name, rows):
    title, why = GROWTHS[name]
    columns = [column for column in COLUMNS if column in rows[0]]
    head = "".join(f"<th>{COLUMNS[column]}</th>" for column in columns)
    shown = [row | {"rss_kb": round(row.get("rss_kb", 0) / 1024, 1)} for row in rows]
    body = "".join(f"<tr>{cells(row[column] for column in columns)}</tr>" for row in shown)
    return (
        f"<h3>{escape(title)}</h3><p>{escape(why)}</p>"
        f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'
    )


def clock_section(clock):
    machine, burst, memory = clock["machine"], clock["burst"], clock["memory"]
    rows = "".join(
        f"<tr>{cells((name, c['per_s'], c['seen'], c['recorded'], c['lost'], c['delay_median_ms'], c['delay_99_ms']))}</tr>"
        for name, c in (("half of what it can", clock["half"]), ("nine tenths", clock["sustained"]))
    )
    head = "".join(
        f"<th>{word}</th>"
        for word in ("", "events per s", "seen", "recorded", "lost", "delay, median, ms", "delay, 99 %, ms")
    )
    return (
        f"<h3>By the clock</h3><p>{escape(machine['processor'])}, {machine['processors']} processors, Linux "
        f"{escape(machine['kernel'])}. Of {burst['generated']:,} opens at a stretch, {burst['generated_per_s']:,} a second, "
        f"{burst['recorded']:,} were recorded and {burst['lost']:,} lost and told of; {burst['recorded_per_s']:,} records "
        f"a second came to the journal. In {memory['minutes']} minutes of load the daemon's memory went from "
        f"{memory['rss_kb'][0] / 1024:.1f} to {memory['rss_kb'][-1] / 1024:.1f} MiB, at most "
        f"{max(memory['rss_kb']) / 1024:.1f}.</p>"
        f'<div class="scroll"><table><tr>{head}</tr>{rows}</table></div>'
    )


def kernel_section(figures, about, scale, clock):
    notes = "".join(f"<p class=soft>{escape(note)}</p>" for note in about["notes"])
    versions = escape(", ".join(about["versions"]))
    sections = "".join(workload_section(workload, figures[workload]) for workload in WORKLOADS if figures[workload])
    growths = "".join(growth_section(name, rows) for name, rows in scale.items() if rows)
    return (
        f"<h2>Linux {escape(about['kernel'])}</h2><p class=soft>{versions}</p>{notes}{sections}{growths}"
        f"{clock_section(clock) if clock else ''}"
    )


def page(measured):
    sections = "".join(kernel_section(*one) for one in measured)
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>What recorders cost</title><style>{STYLE}</style>
<h1>What recorders cost</h1>
<p>Instructions for one operation, above those without a recorder, counted in a guest with one processor. A recorded
process works in bursts, and beside it one that is not recorded; recorder and journald catch up in between. Caches,
branches and other processors are not modelled: read the figures as ratios.</p>
<p>They do not write the same. bpftrace and the tools of bcc print a line for each record. Records of traceleftd are
entries of the journal, those of auditd are lines of its own log and, as Debian has it, entries of the journal, too.</p>
{sections}
</html>
"""


def read(path):
    return json.loads(path.read_text()) if path.exists() else {}


def main(directory):
    directory = Path(directory)
    measured = []
    # The one with most to compare comes first: by label, as numbers.
    paths = directory.glob("*.about.json")
    for path in sorted(paths, key=lambda path: [int(n) for n in path.name.removesuffix(".about.json").split(".")]):
        kernel = path.name.removesuffix(".about.json")
        figures, scale, clock = (read(directory / f"{kernel}{name}.json") for name in ("", ".scale", ".clock"))
        measured.append((figures, read(path), scale, clock))
    (directory / "report.html").write_text(page(measured))
    print(f"{directory}/report.html")


if __name__ == "__main__":
    main(*sys.argv[1:])
