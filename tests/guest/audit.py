"""The kernel's own audit, as a second witness: auditd, its rules and its log."""

import re
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

from harness import output, run, show, wait_for

LOG = Path("/var/log/audit/audit.log")
UNIT = "auditd.service"
# Calls that the table of an old auditd does not have; these have the same number through every door.
NEW_CALLS = {
    "pidfd_send_signal": 424, "open_tree": 428, "move_mount": 429, "fsmount": 432, "clone3": 435, "close_range": 436,
    "openat2": 437, "mount_setattr": 442, "fchmodat2": 452, "setxattrat": 463, "open_tree_attr": 467,
}  # fmt: skip
# Calls by another name there.
RENAMED = {"pread": "pread64", "pwrite": "pwrite64"}
ABIS = {"c000003e": "x86-64", "40000003": "i386"}


def status():
    return dict(line.split()[:2] for line in output("auditctl", "-s").splitlines() if len(line.split()) > 1)


def call_names(table):
    """Names of system calls by their number."""
    lines = output("ausyscall", table, "--dump").splitlines()[1:]
    known = {int(number): RENAMED.get(name, name) for number, name in (line.split()[:2] for line in lines)}
    return {number: name for name, number in NEW_CALLS.items()} | known


@contextmanager
def auditing():
    """auditd runs, without rules; after that all is as it was."""
    enabled = status()["enabled"]
    run("systemctl", "start", UNIT)
    run("auditctl", "-D")
    # Wait rather than lose.
    run("auditctl", "-b", "8192", "-r", "0", "-e", "1")
    try:
        yield
    finally:
        run("auditctl", "-D")
        # It refuses to be stopped by systemctl.
        run("systemctl", "kill", "--signal=TERM", UNIT)
        wait_for(lambda: show(UNIT, "ActiveState") in ("inactive", "failed"), "auditd ends")
        run("systemctl", "reset-failed", UNIT, check=False)
        run("auditctl", "-e", enabled)


@contextmanager
def rules(programs, calls):
    """These calls of these programs are logged, by both doors. Yields a function that gives what was logged."""
    names = {"b64": call_names("x86_64"), "b32": call_names("i386")}
    begin = LOG.stat().st_size, LOG.stat().st_ino
    lost = status()["lost"]
    for arch, table in names.items():
        numbers = [word for number, name in table.items() if name in calls for word in ("-S", str(number))]
        for program in programs:
            run("auditctl", "-a", "always,exit", "-F", f"arch={arch}", *numbers, "-F", f"exe={program}", "-k", "traceleft")
    try:
        yield lambda: logged(begin, names, lost)
    finally:
        run("auditctl", "-D")


def logged(begin, names, lost):
    """What was logged since, once a message of our own has come after it."""
    marker = f"traceleft {begin[0]}"
    run("auditctl", "-m", marker)
    wait_for(lambda: marker in text_since(begin), "auditd has written all")
    assert status()["lost"] == lost
    tables = {"x86-64": names["b64"], "i386": names["b32"]}
    return [event for event in parse(text_since(begin)) if event.call and event.read(tables)]


def text_since(begin):
    """The log since then, in its former file as well, if it was rotated."""
    offset, inode = begin
    files = [LOG] if LOG.stat().st_ino == inode else [LOG.with_name("audit.log.1"), LOG]
    data = b"".join(file.read_bytes() for file in files)
    return data[offset:].decode("latin-1")


def value(text):
    """A value as the kernel writes it: in quotes, or in hexadecimal if there is in it what does not bear that."""
    if text.startswith('"'):
        return text[1:-1].encode("latin-1")
    if text == "(null)":
        return None
    return bytes.fromhex(text)


class Event(SimpleNamespace):
    """One system call: its records."""

    def read(self, tables):
        self.abi = ABIS[self.call["arch"]]
        self.syscall = tables[self.abi].get(int(self.call["syscall"]), self.call["syscall"])
        return True

    def number(self, key):
        return int(self.call[key])

    def bytes(self, key):
        return value(self.call[key])

    def argument(self, n):
        return int(self.call[f"a{n}"], 16)

    def names(self):
        """What the call names: each as passed, its kind, and its file if there is one."""
        found = []
        for path in self.others.get("PATH", []):
            file = None
            if "inode" in path:
                major, minor = (int(part, 16) for part in path["dev"].split(":"))
                file = (b"%d:%d" % (major, minor), int(path["inode"]))
            found.append(SimpleNamespace(name=value(path["name"]), kind=path["nametype"], file=file))
        return found

    def of_type(self, kind):
        """The only record of that kind; None if there is none."""
        return next(iter(self.others.get(kind, [])), None)


def parse(text):
    """The events of a log, in the order in which their calls ended."""
    events = {}
    for line in text.splitlines():
        # What follows is for people.
        line = line.split("\x1d")[0]
        head = re.match(r"type=(\S+) msg=audit\([0-9.]+:(\d+)\): (.*)", line)
        if not head:
            continue
        kind, serial, rest = head.groups()
        fields = dict(word.split("=", 1) for word in rest.split() if "=" in word)
        event = events.setdefault(int(serial), Event(serial=int(serial), call=None, target=None, targets=0, others={}))
        if kind == "SYSCALL":
            # A message of auditctl's own is no call of ours.
            if fields.get("key") == '"traceleft"':
                event.call = fields
        else:
            event.others.setdefault(kind, []).append(fields)
    return [events[serial] for serial in sorted(events)]
