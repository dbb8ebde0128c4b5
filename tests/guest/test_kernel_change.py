"""The events bpf and module-load: each call that the program tells of is a record, and there is no other."""

import lzma
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from harness import (
    PROGRAMS,
    check_all,
    compare,
    make_directory,
    number,
    output,
    pairs,
    records,
    run,
    run_service,
    watch_properties,
    watching,
)

EVENTS = ("bpf", "module-load")
MODULE = "dummy"
FLAGS = {1: "MODULE_INIT_IGNORE_MODVERSIONS", 2: "MODULE_INIT_IGNORE_VERMAGIC", 4: "MODULE_INIT_COMPRESSED_FILE"}


def module_file(directory):
    """A module of the running kernel, as it is when it is not compressed."""
    packed = Path(output("modinfo", "-F", "filename", MODULE).strip())
    path = directory / f"{MODULE}.ko"
    if packed.suffix == ".xz":
        path.write_bytes(lzma.decompress(packed.read_bytes()))
    elif packed.suffix == ".zst":
        run("zstd", "-q", "-d", packed, "-o", path)
    else:
        path.write_bytes(packed.read_bytes())
    return path


@pytest.fixture(scope="module", params=["kernel-changer", "kernel-changer32"])
def changed(request):
    """A program's account, its records, and the counts of its watch."""
    name = request.param
    unit = f"test-{name}.service"
    directory = make_directory(name)
    with watching(unit, *EVENTS) as watch:
        account = run_service(unit, PROGRAMS / name, directory, module_file(directory), MODULE)
        found = records(unit)
        counts = watch_properties(watch)
    return SimpleNamespace(name=name, unit=unit, account=account, records=found, counts=counts)


def test_one_to_one(changed):
    told = [(line["event"].encode(), line["pid"], line["result"]) for line in changed.account]
    assert [(r.event, int(r.pid), int(r.result)) for r in changed.records] == told, compare(changed)


def test_the_program_did_what_it_is_for(changed):
    """Whatever the kernel: these are errors that it has."""
    errors = {(line["event"], line.get("errno")) for line in changed.account}
    assert {("bpf", e) for e in (None, "EPERM", "EINVAL", "ENOENT", "EBADF", "EFAULT", "E2BIG")} <= errors
    assert {("module-load", e) for e in (None, "EPERM", "EINVAL", "ENOEXEC", "EEXIST", "EBADF", "EFAULT")} <= errors


def test_the_ledger_agrees(changed):
    events = [line["event"] for line in changed.account]
    expected = {event: [events.count(event), events.count(event), 0, 0] for event in EVENTS}
    assert changed.counts["EventCounts"] == expected


def test_errors_by_name(changed):
    check_all(changed, "errno", lambda line: line["errno"].encode() if line["result"] < 0 else None)


def test_bpf(changed):
    text = lambda line, key: line[key].encode() if key in line else None  # noqa: E731
    check_all(changed, "bpf_command", lambda line: text(line, "command"))
    check_all(changed, "bpf_type", lambda line: text(line, "type"))
    check_all(changed, "bpf_name", lambda line: bytes.fromhex(line["object"]) if "object" in line else None)


def test_module(changed):
    check_all(changed, "module", lambda line: line["module"].encode() if "module" in line else None)
    check_all(changed, "argv", lambda line: bytes.fromhex(line.get("parameters", "")) or None)


def test_module_flags(changed):
    def flags(line):
        if "flags" not in line:
            return None
        known = [name for bit, name in FLAGS.items() if line["flags"] & bit]
        rest = line["flags"] & ~sum(FLAGS)
        return "|".join(known + ([f"0x{rest:x}"] if rest else [])).encode() or b"0"

    check_all(changed, "flags", flags)


def test_module_file(changed):
    def path(line):
        if line["name"] == "memory":
            # What is in no tree has only the name that it was given.
            return b"/memfd:module"
        return bytes.fromhex(line["path"]).removesuffix(b" (deleted)") if "path" in line else None

    states = {"memory": b"anonymous", "deleted": b"deleted"}
    check_all(changed, "path", path)
    check_all(changed, "path_state", lambda line: states.get(line["name"]))
    check_all(changed, "inode", lambda line: number(line["inode"]) if "inode" in line else None)
    check_all(changed, "fd", lambda line: number(line["fd"]) if line.get("fd", -1) >= 0 else None)


def test_system_call(changed):
    check_all(changed, "syscall", lambda line: line["call"].encode())
    check_all(changed, "abi", lambda line: b"i386" if changed.name.endswith("32") else b"x86-64")


def test_process(changed):
    for field in ("pid", "tid", "ppid", "uid", "gid"):
        check_all(changed, field, lambda line, field=field: number(line[field]))
    check_all(changed, "exe", lambda line: os.fsencode(PROGRAMS / changed.name))
    check_all(changed, "unit", lambda line: changed.unit.encode())
    check_all(changed, "invocation_id", lambda line: line["invocation"].encode())


def test_message(changed):
    for line, record in pairs(changed):
        message = record.text("MESSAGE")
        assert message.isprintable()
        if (line["call"], line["name"]) == ("init_module", "plain"):
            assert message.endswith(f": module-load {MODULE} with numdummies=0 = 0")
        if line["name"] == "map-no-name":
            assert f": bpf BPF_MAP_CREATE BPF_MAP_TYPE_ARRAY = {line['result']}" in message
