"""The events mount and umount: every attempt that the program tells of is a record, and no other is."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from harness import (
    PROGRAMS, check_all, check_messages, check_process, make_directory, number, output, records, run_service,
    watch_properties, watching,
)  # fmt: skip
from test_changes import of_bytes, of_number, of_word

EVENTS = ("mount", "umount")
SETATTR_IS_SEEN = " do_mount_setattr" in Path("/proc/kallsyms").read_text()
MESSAGE_IDS = {b"mount": b"44e767f743bb4898ac59157196f119be", b"umount": b"23cc390c935440e38e1f39485d23d1f3"}


def prepare(name):
    """A directory, and what its file system is mounted from."""
    directory = make_directory(name)
    return [directory, output("findmnt", "-nro", "SOURCE", "-T", directory).strip()]


@pytest.fixture(scope="module", params=["mounter", "mounter32"])
def mounted(request):
    """What the program did, and the records of it."""
    program = request.param
    unit = f"test-{program}.service"
    words = prepare(program)
    with watching(unit, *EVENTS) as watch:
        account = run_service(unit, PROGRAMS / program, *words)
        found = records(unit)
        counts = watch_properties(watch)["EventCounts"]
    return SimpleNamespace(program=program, directory=words[0], unit=unit, account=account, records=found, counts=counts)


def test_one_to_one(mounted):
    check_all(mounted, "event", lambda line: line["event"].encode())
    check_all(mounted, "syscall", lambda line: line["call"].encode())
    check_all(mounted, "result", lambda line: number(line["result"]))
    check_all(mounted, "errno", lambda line: of_word(line, "errno"))


def test_every_variant_is_there(mounted):
    calls = {line["call"] for line in mounted.account}
    assert calls >= {"mount", "move_mount", "open_tree", "fsmount", "umount2"}
    assert ("umount" in calls) == mounted.program.endswith("32")
    kernel = tuple(int(n) for n in os.uname().release.split(".")[:2])
    assert ("mount_setattr" in calls) == (kernel >= (5, 12))
    assert ("open_tree_attr" in calls) == (kernel >= (6, 15))


def test_the_ledger_agrees(mounted):
    events = [line["event"] for line in mounted.account]
    assert mounted.counts == {event: [events.count(event), events.count(event), 0, 0] for event in EVENTS}


def unseen(line):
    """A kernel may have the function inlined that gets the mount from mount_setattr(): then the path is the name as it
    was passed, after the directory that it begins in."""
    return line["call"] == "mount_setattr" and line["result"] == 0 and line["arg"] and not SETATTR_IS_SEEN


def test_path(mounted):
    def path(line):
        return os.path.join(os.fsencode(mounted.directory), bytes.fromhex(line["arg"])) if unseen(line) else of_bytes(line, "path")

    check_all(mounted, "path", path)
    check_all(mounted, "path_arg", lambda line: of_bytes(line, "arg"))
    check_all(mounted, "path_state", lambda line: of_word(line, "state"))
    check_all(mounted, "fd", lambda line: of_number(line, "fd"))


def test_device_and_inode(mounted):
    known = lambda line: "inode" in line and not unseen(line)  # noqa: E731
    check_all(mounted, "inode", lambda line: of_number(line, "inode") if known(line) else None)
    check_all(mounted, "dev", lambda line: b"%d:%d" % (line["major"], line["minor"]) if known(line) else None)


def test_what_was_asked_for(mounted):
    check_all(mounted, "source", lambda line: of_bytes(line, "source"))
    check_all(mounted, "fstype", lambda line: of_word(line, "type"))
    check_all(mounted, "flags", lambda line: of_word(line, "flags"))


def test_process_and_unit(mounted):
    check_process(mounted)


def test_message(mounted):
    check_messages(mounted, MESSAGE_IDS)
