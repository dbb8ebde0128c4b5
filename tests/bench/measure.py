#!/usr/bin/env python3
"""Measures in the guest what recorders cost: measure.py OUT RECORDER... writes OUT, a JSON document.

In a guest made by "guest boot --icount" a nanosecond is an instruction, so times of the processor are counts. A program
(load.c) is resident in two units: one is recorded, the other is not. Both work in bursts, at real-time priority on the
one processor, and the recorders catch up in the pauses: so what a burst takes is its own, and the rest is theirs.
"""

import json
import os
import re
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

PROGRAMS = Path("/root/programs")
# A file system in memory: no writing back comes in between, and nothing of it grows.
DIRECTORY = Path("/srv/bench")
AUDITED, OTHER = "bench-audited.service", "bench-other.service"
RECORDER = "bench-recorder.service"
SETTINGS = Path("/etc/traceleft/traceleftd.toml")
AUDIT_LOGS = Path("/var/log/audit")
GROUPS = Path("/sys/fs/cgroup/system.slice")
LOST = re.compile(r"[Ll]ost (\d+) events")

# Bursts and operations in each, few enough that no recorder's buffer overflows: a lost record costs less, and would
# flatter. Then what one operation is: events of traceleft, how many of them, and system calls.
WORKLOADS = {
    "open": SimpleNamespace(bursts=10, operations=200, events=["open"], records=1, calls=["openat"]),
    "meta": SimpleNamespace(bursts=10, operations=50, events=["mkdir", "chmod", "chown", "rmdir"], records=4,
                            calls=["mkdir", "chmod", "chown", "rmdir"]),
    "exec": SimpleNamespace(bursts=10, operations=20, events=["exec"], records=1, calls=["execve"]),
    "tcp": SimpleNamespace(bursts=10, operations=50, events=["tcp-connect", "tcp-accept", "tcp-close"], records=4,
                           calls=["connect", "accept", "close"]),
    "write": SimpleNamespace(bursts=10, operations=200, events=["write"], records=1, calls=["write"]),
    "getppid": SimpleNamespace(bursts=10, operations=2000, events=[], records=0, calls=[]),
}  # fmt: skip
PRIORITY = 50
PAUSE = 1000  # milliseconds
TIME_WAIT = 61  # seconds


def run(*command, check=True):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if check and done.returncode != 0:
        raise SystemExit(f"measure: {command} exits with {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def output(*command):
    return run(*command).stdout


def show(unit, prop):
    return output("systemctl", "show", "--value", "-p", prop, unit).strip()


def start_unit(unit, *command, **properties):
    run("systemctl", "reset-failed", unit, check=False)
    settings = [f"--property={key}={value}" for key, value in properties.items()]
    run("systemd-run", "--quiet", f"--unit={unit}", *settings, "--property=LimitMEMLOCK=infinity", *command)


# What was used


def used(unit):
    """The time of the processor that a unit has used, in nanoseconds; to the microsecond."""
    return int(re.search(r"usage_usec (\d+)", (GROUPS / unit / "cpu.stat").read_text())[1]) * 1000


def thread_of_kernel(name):
    """The directory of its process; None where there is none."""
    found = (path.parent for path in Path("/proc").glob("[0-9]*/comm") if path.read_text().strip() == name)
    return next(found, None)


def used_by_thread(name):
    """The same of a thread of the kernel; nothing where there is none."""
    process = thread_of_kernel(name)
    return int((process / "schedstat").read_text().split()[0]) if process else 0


def memory(unit):
    """Resident memory of a unit's main process in KiB, without the buffers that it shares with the kernel."""
    pid, total, counts = show(unit, "MainPID"), 0, False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            counts = "anon_inode:" not in line
        elif counts and line.startswith("Rss:"):
            total += int(line.split()[1])
    return total


def disk_is_at_rest():
    """Time does not wait for the disk: while that reads, seconds pass."""
    return all(int(line.split()[11]) == 0 for line in Path("/proc/diskstats").read_text().splitlines())


def settle(session):
    """Waits until the recorder has nothing more to do: what has gets the processor, for nobody else wants it."""
    quiet, before = 0, session.used()
    for _ in range(3600):
        time.sleep(1)
        now = session.used()
        quiet = quiet + 1 if sum(now) - sum(before) < 2_000_000 and disk_is_at_rest() else 0
        if quiet == 3:
            return
        before = now
    raise SystemExit("measure: the recorder does not come to rest")


# The two processes


class Load:
    """A resident process that works when told to."""

    def __init__(self, unit, name):
        directory = DIRECTORY / name
        directory.mkdir()
        (directory / "nop").write_bytes((PROGRAMS / "nop").read_bytes())
        (directory / "nop").chmod(0o755)
        self.unit, self.address = unit, str(directory / "orders")
        # systemd 247 takes no priority for a transient unit.
        start_unit(
            unit, "/usr/bin/chrt", "--fifo", PRIORITY, PROGRAMS / "load", self.address, directory, CPUAffinity=0
        )
        while not os.path.exists(self.address):
            time.sleep(0.1)
        self.pid = int(show(unit, "MainPID"))
        self.orders = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.orders.bind(f"{self.address}.answers")

    def order(self, name, bursts, operations, pause):
        """Has a workload done; returns the time of the processor that all operations took, in nanoseconds."""
        self.orders.sendto(f"{name} {bursts} {operations} {pause}".encode(), self.address)
        return int(self.orders.recv(100))

    def work(self, name, operations):
        """Does a workload as it is measured; a nanosecond is an instruction."""
        return self.order(name, WORKLOADS[name].bursts, operations, PAUSE)


def start_loads():
    DIRECTORY.mkdir(exist_ok=True)
    run("mount", "-t", "tmpfs", "tmpfs", DIRECTORY)
    return Load(AUDITED, "audited"), Load(OTHER, "other")


# The recorders. Each is a generator of sessions; a session is a context in which some workloads are recorded, with
# used() for what recorder and journald have used; drain(); recorded(), of the workload that is recorded, asked for when
# the session has ended; told_lost(), the same of losses that the recorder tells; and memory().


class Session:
    """Nothing is recorded; and what the others have in common."""

    def __init__(self, units=(), threads=()):
        self.units, self.threads = units, threads
        self.rss = 0

    def used(self):
        recorder = sum(used(unit) for unit in self.units) + sum(used_by_thread(name) for name in self.threads)
        return recorder, used("systemd-journald.service")

    def drain(self):
        settle(self)

    def recorded(self):
        return 0

    def told_lost(self):
        return 0


@contextmanager
def nothing():
    yield Session()


def none(loads):
    yield list(WORKLOADS), nothing()


class Command(Session):
    """A command that writes a line for each record."""

    def __init__(self, line):
        super().__init__([RECORDER])
        self.line = re.compile(line, re.MULTILINE)
        self.out, self.err = (Path(f"/var/tmp/bench-recorder.{name}") for name in ("out", "err"))

    def recorded(self):
        return len(self.line.findall(self.out.read_text(errors="replace")))

    def told_lost(self):
        return sum(int(n) for n in LOST.findall(self.out.read_text(errors="replace") + self.err.read_text()))


@contextmanager
def command(line, *words):
    """Runs it as a unit that ends as by Ctrl-C: what it has not written, it writes then."""
    session = Command(line)
    for path in (session.out, session.err):
        path.unlink(missing_ok=True)
    start_unit(
        RECORDER, *words,
        KillSignal="SIGINT", StandardOutput=f"file:{session.out}", StandardError=f"file:{session.err}",
    )  # fmt: skip
    try:
        settle(session)
    except FileNotFoundError:
        # It has no control group any more.
        raise Unavailable(f"{words[0]} has ended: {session.err.read_text().strip()}") from None
    session.rss = memory(RECORDER)
    yield session
    session.rss = max(session.rss, memory(RECORDER))
    run("systemctl", "stop", RECORDER)


def libbpf_tool(tool):
    """opensnoop and tcptracer select by process, execsnoop by control group."""
    workload, line, *options = {
        "opensnoop": ("open", r"^\d+ +load .* file$", "-p"),
        "execsnoop": ("exec", r"^nop +\d+ ", "-c"),
        "tcptracer": ("tcp", r"^[CAX] +\d+ +load ", "-p"),
    }[tool]

    def sessions(loads):
        which = GROUPS / AUDITED if options == ["-c"] else loads[0].pid
        # What it costs a call that it does not record is seen beside the opens.
        workloads = [workload, "getppid"] if tool == "opensnoop" else [workload]
        yield workloads, command(line, f"/usr/sbin/{tool}", *options, which)

    return sessions


def bpftrace(loads):
    """The scripts print pid, command, path and result of each call in the unit's control group."""
    for workload in ("open", "meta", "exec", "tcp", "write"):
        script = Path(__file__).with_name("bpftrace") / f"{workload}.bt"
        workloads = [workload, "getppid"] if workload == "open" else [workload]
        yield workloads, command(r"^\d+ \S+ \S+", "/usr/bin/bpftrace", script)


class Auditd(Session):
    def __init__(self):
        super().__init__(["auditd.service"], ["kauditd"])
        self.before = self.count(), self.lost()

    @staticmethod
    def count():
        """Records of calls of ours; auditctl has some, too."""
        ours = re.compile(r'^type=SYSCALL .* comm="(?:load|nop)" ', re.MULTILINE)
        return sum(len(ours.findall(path.read_text(errors="replace"))) for path in AUDIT_LOGS.glob("audit.log*"))

    @staticmethod
    def lost():
        return int(re.search(r"^lost (\d+)", output("auditctl", "-s"), re.MULTILINE)[1])

    def recorded(self):
        return self.count() - self.before[0]

    def told_lost(self):
        return self.lost() - self.before[1]


@contextmanager
def audit_rules(load, calls):
    session = Auditd()
    # A program is executed by a child.
    field = "ppid" if calls == ["execve"] else "pid"
    names = [word for call in calls for word in ("-S", call)]
    rule = ["always,exit", "-F", "arch=b64", *names, "-F", f"{field}={load.pid}"]
    run("auditctl", "-a", *rule)
    settle(session)
    session.rss = memory("auditd.service")
    yield session
    run("auditctl", "-d", *rule)


def auditd(loads):
    """As Debian has it: journald listens as well."""
    run("systemctl", "start", "auditd.service")
    # Since audit 4 that has the rules loaded by another unit, which is not waited for, and would remove ours.
    for unit in show("auditd.service", "Wants").split():
        run("systemctl", "start", unit)
    for workload, what in WORKLOADS.items():
        if what.calls:
            yield [workload, "getppid"] if workload == "open" else [workload], audit_rules(loads[0], what.calls)
    run("systemctl", "kill", "--signal=TERM", "auditd.service")


MANAGER = ("org.traceleft1", "/org/traceleft1", "org.traceleft1.Manager")


def manager_number(prop):
    """A counter of the daemon's."""
    return int(output("busctl", "get-property", *MANAGER, prop).split()[1])


def cursor():
    """The end of the journal."""
    return output("journalctl", "-n", "0", "--show-cursor", "-q").strip().removeprefix("-- cursor: ")


class Traceleft(Session):
    def __init__(self, events):
        super().__init__(["traceleftd.service"])
        self.events = events
        # Whatever was there before.
        self.before = 0
        self.before = self.recorded(), manager_number("Lost")

    def drain(self):
        settle(self)
        run("busctl", "call", *MANAGER, "Flush")

    def recorded(self):
        matches = [f"TRACELEFT_EVENT={event}" for event in self.events]
        words = ["-q", "-t", "traceleft", "-o", "cat", "--output-fields=TRACELEFT_SEQ", f"TRACELEFT_UNIT={AUDITED}"]
        count = len(output("journalctl", *words, *matches).splitlines())
        return count - self.before[0] if self.before else count

    def told_lost(self):
        return manager_number("Lost") - self.before[1]


@contextmanager
def watch(events):
    session = Traceleft(events)
    path = output("busctl", "call", *MANAGER, "AddWatch", "sas", AUDITED, len(events), *events).split('"')[1]
    settle(session)
    yield session
    session.rss = memory("traceleftd.service")
    run("busctl", "call", *MANAGER, "RemoveWatch", "o", path)


def traceleft(backend):
    def sessions(loads):
        # The default is left unsaid: older versions do not have the setting.
        SETTINGS.write_text("" if backend == "kprobe" else f'probe-backend = "{backend}"\n')
        checked = run("traceleftd", "--check", check=False)
        if checked.returncode != 0 and backend != "kprobe":
            SETTINGS.write_text("")
            raise Unavailable((checked.stdout + checked.stderr).strip())
        run("systemctl", "restart", "traceleftd.service")
        if backend == "fentry":
            with watch(["open"]):
                probes = output("busctl", "get-property", *MANAGER, "Probes")
            if '"fentry"' not in probes:
                # It is not to be there while others are measured.
                run("systemctl", "stop", "traceleftd.service")
                raise Unavailable("the kernel has no trampolines for it")
        for workload, what in WORKLOADS.items():
            # Nobody watches getppid, and here all else is watched.
            events = what.events or [event for other in WORKLOADS.values() for event in other.events]
            yield [workload], watch(events)
        run("systemctl", "stop", "traceleftd.service")

    return sessions


class Unavailable(Exception):
    """This machine does not have the recorder."""


RECORDERS = {
    "none": none,
    "traceleftd-kprobe": traceleft("kprobe"),
    "traceleftd-fentry": traceleft("fentry"),
    "opensnoop": libbpf_tool("opensnoop"),
    "execsnoop": libbpf_tool("execsnoop"),
    "tcptracer": libbpf_tool("tcptracer"),
    "bpftrace": bpftrace,
    "auditd": auditd,
    # Once more at the end: that nothing has changed meanwhile.
    "none-again": none,
}
BINARIES = {"bpftrace": "/usr/bin/bpftrace"} | {
    tool: f"/usr/sbin/{tool}" for tool in ("opensnoop", "execsnoop", "tcptracer")
}


# Measuring


def measure(session, name, loads):
    """What a workload costs, each figure for one operation."""
    what = WORKLOADS[name]
    audited, other = loads
    # Each burst begins with one operation that is not in the time it takes.
    generated = what.bursts * (what.operations + 1)

    def account(load, operations):
        before = session.used()
        took = load.work(name, operations)
        session.drain()
        after = session.used()
        if name == "tcp":
            # Or the next would have less ports to choose from.
            time.sleep(TIME_WAIT)
        return took / (what.bursts * (operations or 1)), [now - then for now, then in zip(after, before)]

    # What the recorder does in that time anyway; the less of two, since the first may have some of its start.
    idle = [min(pair) for pair in zip(account(audited, 0)[1], account(audited, 0)[1])]
    app, busy = account(audited, what.operations)
    unaudited, beside = account(other, what.operations)
    recorder, journald = ((now - then) / generated for now, then in zip(busy, idle))
    return {
        "app": round(app),
        "unaudited": round(unaudited),
        "recorder": round(recorder),
        "journald": round(journald),
        # What the recorder has to do with the process that it does not record.
        "recorder_unaudited": round((beside[0] - idle[0]) / generated),
        "generated": generated * what.records,
    }


def warm_up(loads):
    """What comes once, as caches of the kernel that grow, is over before anything is measured."""
    for load in loads:
        for name, what in WORKLOADS.items():
            load.work(name, what.operations)
    time.sleep(TIME_WAIT)


def measure_recorder(name, loads, notes):
    """All workloads of a recorder, but those for which it does not run here."""
    results = {}
    # Each begins with a journal of its own.
    run("journalctl", "--rotate")
    settle(Session())
    for workloads, context in RECORDERS[name](loads):
        try:
            with context as session:
                for workload in workloads:
                    results[workload] = measure(session, workload, loads)
        except Unavailable as error:
            notes.append(f"{name} is left out of {workloads[0]}: {error}")
            print(notes[-1], flush=True)
            continue
        # Only the first of them is recorded.
        for workload in workloads:
            results[workload] |= {
                "recorded": session.recorded() if workload == workloads[0] else 0,
                "told_lost": session.told_lost() if workload == workloads[0] else 0,
                "rss_kb": session.rss,
            }
            print(f"{name}, {workload}: {results[workload]}", flush=True)
    return results


def prepare():
    # Nothing that comes by the clock is to come in between; the clock jumps.
    run("systemctl", "stop", "*.timer")
    run("sysctl", "-q", "kernel.sched_rt_runtime_us=-1")
    # Once this thread has something to do, all that the network does is left to it until it has done it. It must not
    # wait for the load, or a call on the loopback device is now its caller's time and now this thread's.
    os.sched_setscheduler(int(thread_of_kernel("ksoftirqd/0").name), os.SCHED_FIFO, os.sched_param(PRIORITY + 10))
    for deb in Path("/root").glob("traceleft_*.deb"):
        run("apt-get", "install", "-y", "-q", deb)


def about(notes):
    """What was measured; of the packages, those that are installed."""
    packages = ("traceleft", "bpftrace", "libbpf-tools", "auditd", "systemd")
    known = run("dpkg-query", "-Wf", "${db:Status-Abbrev}${Package} ${Version}\n", *packages, check=False).stdout
    versions = [line.removeprefix("ii ") for line in known.splitlines() if line.startswith("ii ")]
    return {"kernel": os.uname().release, "versions": versions, "notes": notes}


def main(out, *names):
    prepare()
    results, notes = {}, []
    loads = start_loads()
    warm_up(loads)
    for name in names:
        try:
            if name in BINARIES and not Path(BINARIES[name]).exists():
                raise Unavailable(f"there is no {BINARIES[name]}")
            results[name] = measure_recorder(name, loads, notes)
        except Unavailable as error:
            notes.append(f"{name} is left out: {error}")
            print(notes[-1], flush=True)
        # Each time: what goes wrong later takes nothing away.
        Path(out).write_text(json.dumps({"about": about(notes), "results": results}))


if __name__ == "__main__":
    main(*sys.argv[1:])
