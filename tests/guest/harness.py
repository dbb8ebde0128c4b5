"""What the tests share: commands, units, the journal, the bus and the ledger.

The journal is read with journalctl and the bus with busctl, as an operator would.
"""

import difflib
import json
import os
import re
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

PROGRAMS = Path("/root/programs")
POLICIES = Path("/etc/traceleft/policy.d")
SETTINGS = Path("/etc/traceleft/traceleftd.toml")
# For a run of the tests with another backend than the default.
BACKEND = os.environ.get("TRACELEFT_BACKEND", "kprobe")
OF_BACKEND = f'probe-backend = "{BACKEND}"\n' if BACKEND != "kprobe" else ""
TRACEFS = Path("/sys/kernel/tracing")
SCRATCH = Path("/var/tmp/traceleft-tests")

SERVICE = "traceleftd.service"
# Somebody without rights, who may log in; made before the tests begin.
USER = 1000
EVENTS = (
    "exec", "fork", "exit", "open", "close", "read", "write", "mkdir", "rmdir", "unlink", "rename", "link", "symlink",
    "mknod", "truncate", "chmod", "chown", "setxattr", "mount", "umount", "tcp-connect", "tcp-accept", "tcp-close", "listen",
    "bind", "udp-send", "unix-connect", "setuid", "setgid", "capset", "ptrace", "kill", "bpf", "module-load",
)  # fmt: skip
OTHER_EVENTS = ("lost", "watch-added", "watch-removed")
BUS_NAME = "org.traceleft1"
MANAGER = "/org/traceleft1"
ERROR = "org.traceleft1.Error."


def run(*command, check=True, timeout=200, **options):
    """Runs a command; its output is in the error if it fails."""
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, errors="surrogateescape", timeout=timeout, **options
    )
    if check and done.returncode != 0:
        raise AssertionError(f"{command} exits with {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def output(*command, **options):
    return run(*command, **options).stdout


def wait_for(condition, what, timeout=60):
    """Waits until the condition gives something true, and returns that."""
    deadline = time.monotonic() + timeout
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(0.05)
    return result


# Units


def show(unit, prop):
    return output("systemctl", "show", "--value", "-p", prop, unit).strip()


def write_unit(name, text):
    """Makes a unit that lasts until the next boot. Many can be made before one daemon_reload()."""
    path = Path("/run/systemd/system") / name
    path.write_text(text)
    return path


def daemon_reload():
    run("systemctl", "daemon-reload")


def service_text(command, account, **properties):
    lines = "".join(f"{key}={value}\n" for key, value in properties.items())
    return f"[Service]\nExecStart={command}\nStandardOutput=append:{account}\nStandardError=journal\n{lines}"


def run_service(unit, *command, fails=False, **properties):
    """Runs a program as a transient service to its end. Returns its account."""
    account = SCRATCH / f"{unit}.account"
    account.unlink(missing_ok=True)
    properties = {"StandardOutput": f"file:{account}", **properties}
    settings = [f"--property={key}={value}" for key, value in properties.items()]
    done = run(
        "systemd-run", "--quiet", "--wait", "--collect", f"--unit={unit}", *settings, *command, check=False, timeout=300
    )
    assert fails or done.returncode == 0, f"{unit} exits with {done.returncode}: {done.stderr}{journal_text(unit)}"
    return read_account(account)


@contextmanager
def blocking(event, threads, numbers):
    """So many threads of another unit are in calls of this event, which have these numbers."""
    unit = "test-blocker.service"

    def blocked():
        tasks = Path("/proc") / show(unit, "MainPID") / "task"
        calls = [(task / "syscall").read_text().split()[0] for task in tasks.iterdir()]
        return sum(call in map(str, numbers) for call in calls)

    run("systemd-run", "--quiet", f"--unit={unit}", PROGRAMS / "blocker", event, threads, make_directory("blocker"))
    try:
        wait_for(lambda: blocked() == threads, "all threads block")
        yield
    finally:
        run("systemctl", "kill", "-s", "KILL", unit)
        wait_for(lambda: show(unit, "ActiveState") in ("failed", "inactive"), "the end of the blocker")
        run("systemctl", "reset-failed", unit, check=False)


def read_account(path):
    """What a program says that it did; bytes come in hexadecimal."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def journal_text(unit):
    return output("journalctl", "--no-pager", "-q", "-u", unit, "-n", "30")


# The journal


def cursor():
    text = output("journalctl", "-n", "0", "--show-cursor")
    return re.search(r"-- cursor: (.*)", text)[1]


def to_bytes(value):
    """A field as journalctl's JSON has it: text, or what is no text as an array of numbers."""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, list) and all(isinstance(n, int) for n in value):
        return bytes(value)
    if isinstance(value, list):
        return [to_bytes(v) for v in value]
    raise AssertionError(f"a field without value: {value!r}")


class Record(dict):
    """One journal entry: the fields of a record without their prefix, as bytes."""

    def text(self, field):
        return self[field].decode()

    def number(self, field):
        return int(self[field])

    def __getattr__(self, field):
        """record.path is the bytes of TRACELEFT_PATH; None if there is none."""
        if field.startswith("_"):
            raise AttributeError(field)
        return self.get(f"TRACELEFT_{field.upper()}")


def entries(*matches, identifier="traceleft", since=None):
    # Not by --after-cursor: with matches, journalctl 252 then leaves out the first entry that there is.
    begin = [f"--cursor={since}"] if since else []
    text = output("journalctl", "-q", "-o", "json", "--all", "-t", identifier, *begin, *matches)
    found = [
        Record((key, to_bytes(value)) for key, value in json.loads(line).items()) for line in text.splitlines()
    ]
    return [r for r in found if since is None or entry_time(r.text("__CURSOR")) > entry_time(since)]


def entry_time(cursor):
    """When journald wrote an entry, by the monotonic clock. Its numbers begin anew where it was killed."""
    return int(re.search(r"\bm=([0-9a-f]+)", cursor)[1], 16)


def records(unit=None, *events, since=None, flushed=True):
    """The records of a unit: of what it did, if no other events are named. In the order of their numbers."""
    if flushed:
        flush()
    # Matches of one field are alternatives.
    matches = [f"TRACELEFT_EVENT={event}" for event in events or EVENTS]
    if unit:
        matches.append(f"TRACELEFT_UNIT={unit}")
    return sorted(entries(*matches, since=since), key=lambda record: record.number("TRACELEFT_SEQ"))


def check_sequence(since, lost):
    """Numbers grow; what is missing between the first and the last of them is what was lost."""
    sequence = [int(r.seq) for r in records(None, *EVENTS, *OTHER_EVENTS, since=since, flushed=False)]
    assert len(set(sequence)) == len(sequence)
    assert sequence[-1] - sequence[0] + 1 == len(sequence) + lost


def values(field, *matches):
    """One field of all records, where there are too many to read whole, in the order of the journal."""
    return output("journalctl", "-q", "-t", "traceleft", "-o", "cat", f"--output-fields={field}", *matches).splitlines()


def count_records(unit, event):
    return len(values("TRACELEFT_SEQ", f"TRACELEFT_UNIT={unit}", f"TRACELEFT_EVENT={event}"))


def messages(since=None):
    """What the daemon itself says."""
    return "\n".join(e.text("MESSAGE") for e in entries(identifier="traceleftd", since=since))


# What a program tells of itself, line by line, and its records


def compare(run):
    """Where both sides part, and both, to be read by people."""
    short = lambda line: f"{line['call']} {line.get('result', '')}"  # noqa: E731
    told = [short(line) for line in run.account]
    seen = [f"{(r.syscall or r.event).decode()} {(r.result or b'').decode()}" for r in run.records]
    parts = list(difflib.unified_diff(told, seen, "the program", "the journal", lineterm="", n=2))
    told = [str(line)[:200] for line in run.account]
    seen = [record.text("MESSAGE")[:200] for record in run.records]
    return "\n".join([*parts, "the program:", *told, "the journal:", *seen])


def pairs(run):
    """Each line of the account and its record: nothing missing, nothing extra."""
    assert len(run.records) == len(run.account), compare(run)
    return list(zip(run.account, run.records))


def check_all(run, field, expected):
    """Holds one field of all records against the account."""
    wrong = []
    for line, record in pairs(run):
        want, got = expected(line), getattr(record, field)
        if want != got:
            what = " ".join(str(line[key]) for key in ("call", "name", "to_addr", "result") if key in line)
            wrong.append(f"{what}: {field} is {got!r}, expected {want!r}")
    assert wrong == [], "\n".join(wrong)


def number(value):
    """As a field has it."""
    return str(value).encode()


def run_watched(event, program, *arguments, unit=None, **properties):
    """A program's account, its records of one event, and the counts of the watch. Those of 32 bits have it in the name."""
    unit = unit or f"test-{program}-{event}.service"
    with watching(unit, event) as watch:
        account = run_service(unit, PROGRAMS / program, *arguments, **properties)
        found = records(unit)
        counts = watch_properties(watch)
    abi = b"i386" if program.endswith("32") else b"x86-64"
    return SimpleNamespace(
        program=program, unit=unit, event=event, abi=abi, account=account, records=found, counts=counts
    )


def check_process(run):
    """Who did it, of all records of a program in which nobody acts for another."""
    check_all(run, "abi", lambda line: b"i386" if run.program.endswith("32") else b"x86-64")
    for field in ("pid", "tid", "ppid", "uid", "gid"):
        check_all(run, field, lambda line, field=field: number(line[field]))
    check_all(run, "exe", lambda line: os.fsencode(PROGRAMS / run.program))
    check_all(run, "unit", lambda line: run.unit.encode())
    check_all(run, "invocation_id", lambda line: line["invocation"].encode())


def check_messages(run, ids):
    """The message of all records, and its id by event."""
    for line, record in pairs(run):
        assert record["MESSAGE_ID"] == ids[record.event]
        assert record.text("MESSAGE").isprintable()
        assert record["PRIORITY"] == (b"5" if line["result"] < 0 else b"6")


def check_caller(run):
    """Who did it, and by which call, of all records; and that the ledger has each once."""
    check_all(run, "event", lambda line: run.event.encode())
    check_all(run, "result", lambda line: number(line["result"]))
    check_all(run, "errno", lambda line: line["errno"].encode() if line["result"] < 0 else None)
    check_all(run, "syscall", lambda line: line["call"].encode())
    check_all(run, "abi", lambda line: run.abi)
    check_all(run, "pid", lambda line: number(line.get("caller", line["pid"])))
    check_all(run, "uid", lambda line: number(line["uid"]))
    check_all(run, "gid", lambda line: number(line["gid"]))
    check_all(run, "unit", lambda line: run.unit.encode())
    check_all(run, "invocation_id", lambda line: line["invocation"].encode())
    check_all(run, "exe", lambda line: os.fsencode(PROGRAMS / run.program))
    n = len(run.account)
    assert run.counts["EventCounts"] == {run.event: [n, n, 0, 0]}


# The kernel side


def maps(name):
    """The BPF maps of this name, as bpftool lists them."""
    return [m for m in json.loads(output("bpftool", "--json", "map", "list")) if m.get("name") == name]


def map_keys(name):
    """The keys of a map of the daemon's, as numbers."""
    (found,) = maps(name)
    rows = json.loads(output("bpftool", "--json", "map", "dump", "id", found["id"]))
    return [int.from_bytes(bytes(int(byte, 16) for byte in row["key"]), "little") for row in rows]


# The bus


class BusError(Exception):
    """A call was refused."""


def busctl(*words, user=None):
    # To take hundreds of probes away takes its time: the kernel waits at each.
    # A unit may begin as an option does.
    command = ["busctl", "--system", "--json=short", "--timeout=180", "--", *words]
    if user:
        command = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *command]
    # busctl prints the text of an error, without its name.
    done = run(*command, check=False)
    if done.returncode != 0:
        raise BusError(done.stderr.strip())
    return json.loads(done.stdout)["data"] if done.stdout.strip() else None


def call(method, *words, **options):
    return busctl("call", BUS_NAME, MANAGER, "org.traceleft1.Manager", method, *words, **options)


def error_name(method, *words):
    """The name of the error that a call gets."""
    done = run(
        "dbus-send", "--system", "--print-reply", f"--dest={BUS_NAME}", MANAGER, f"org.traceleft1.Manager.{method}", *words,
        check=False,
    )  # fmt: skip
    assert done.returncode != 0, f"{method}{words} is not refused: {done.stdout}"
    return re.match(r"Error (\S+):", done.stderr)[1]


def properties(path=MANAGER, interface="Manager"):
    data = busctl(
        "call", BUS_NAME, path, "org.freedesktop.DBus.Properties", "GetAll", "s", f"org.traceleft1.{interface}"
    )
    return {name: value["data"] for name, value in data[0].items()}


def add_watch(unit, *events, **options):
    return call("AddWatch", "sas", unit, str(len(events)), *events, **options)[0]


def remove_watch(path):
    call("RemoveWatch", "o", path)


@contextmanager
def watching(unit, *events):
    path = add_watch(unit, *events)
    try:
        yield path
    finally:
        remove_watch(path)


def flush():
    call("Flush")


def watch_properties(path):
    return properties(path, "Watch")


def managed_objects():
    return busctl("call", BUS_NAME, MANAGER, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects")[0]


def watches():
    """All watches, by unit and policy ("" for those of the bus)."""
    found = {}
    for path, interfaces in managed_objects().items():
        if "org.traceleft1.Watch" in interfaces:
            values = {name: value["data"] for name, value in interfaces["org.traceleft1.Watch"].items()}
            found[(values["Unit"], values["Policy"])] = sorted(values["Events"])
    return found


# Probes


def definitions():
    """Our probe definitions in tracefs."""
    lines = (TRACEFS / "kprobe_events").read_text().splitlines()
    return [line for line in lines if re.match(r"[pr]\d*:traceleft/", line)]


# The daemon


def restart_daemon():
    run("systemctl", "reset-failed", SERVICE, check=False)
    run("systemctl", "restart", SERVICE)


@contextmanager
def settings(text):
    """Runs the daemon with other settings."""
    before = SETTINGS.read_bytes() if SETTINGS.exists() else None
    SETTINGS.write_text(text + OF_BACKEND)
    try:
        restart_daemon()
        yield
    finally:
        if before is None:
            SETTINGS.unlink()
        else:
            SETTINGS.write_bytes(before)
        restart_daemon()


def write_policy(name, units, events, extra=""):
    path = POLICIES / f"{name}.toml"
    path.write_text(f"units = {json.dumps(units)}\nevents = {json.dumps(events)}\n{extra}")
    return path


@contextmanager
def policy(name, units, events, extra=""):
    """A policy in force."""
    path = write_policy(name, units, events, extra)
    try:
        call("Reload")
        yield path
    finally:
        path.unlink(missing_ok=True)
        call("Reload")


def make_directory(name):
    """An empty directory for one test, that anyone may look into."""
    path = SCRATCH / name
    run("rm", "-rf", path)
    path.mkdir(mode=0o755)
    os.chmod(path, 0o755)
    return path
