"""The events chmod, chown, truncate and setxattr: every attempt that the program tells of is a record, no other is."""

import os
from types import SimpleNamespace

import pytest
from harness import (
    PROGRAMS,
    check_all,
    check_messages,
    check_process,
    make_directory,
    number,
    records,
    run,
    run_service,
    watch_properties,
    watching,
)

EVENTS = ("chmod", "chown", "truncate", "setxattr")
MESSAGE_IDS = {
    b"chmod": b"a4ea3938d4294c52810915b0875b0b21",
    b"chown": b"bdfaef428c7d4431b331dab129ea3a7b",
    b"truncate": b"135d63cf1293424c802a2e8f96fc5ce8",
    b"setxattr": b"4260ce86ca964d78ba569ee452a5d423",
}


def prepare(name):
    """A directory with the mounts that the program needs; what undoes them."""
    directory = make_directory(name)
    for part in ("tree", "ro", "bind", "over", "upper", "work"):
        (directory / part).mkdir()
    (directory / "tree/inner").write_text("inner")
    run("mount", "-t", "tmpfs", "none", directory / "ro")
    (directory / "ro/file").write_text("file")
    run("mount", "-o", "remount,ro", directory / "ro")
    run("mount", "--bind", directory / "tree", directory / "bind")
    layers = f"lowerdir={directory}/tree,upperdir={directory}/upper,workdir={directory}/work"
    run("mount", "-t", "overlay", "-o", layers, "overlay", directory / "over")
    return directory


@pytest.fixture(scope="module", params=["changer", "changer32"])
def changed(request):
    """What the program did, and the records of it."""
    program = request.param
    unit = f"test-{program}.service"
    directory = prepare(program)
    try:
        with watching(unit, *EVENTS) as watch:
            account = run_service(unit, PROGRAMS / program, directory)
            found = records(unit)
            counts = watch_properties(watch)
    finally:
        for part in ("ro", "bind", "over"):
            run("umount", directory / part)
    return SimpleNamespace(
        program=program,
        unit=unit,
        account=account,
        records=found,
        counts=counts["EventCounts"],
        coverage=counts["Coverage"],
    )


def of_bytes(line, key):
    return bytes.fromhex(line[key]) if key in line else None


def of_number(line, key):
    return number(line[key]) if key in line else None


def of_word(line, key):
    return line[key].encode() if key in line else None


def test_one_to_one(changed):
    check_all(changed, "event", lambda line: line["event"].encode())
    check_all(changed, "syscall", lambda line: line["call"].encode())
    check_all(changed, "result", lambda line: number(line["result"]))
    check_all(changed, "errno", lambda line: of_word(line, "errno"))


def test_every_variant_is_there(changed):
    calls = {line["call"] for line in changed.account}
    assert calls >= {
        "chmod", "fchmod", "fchmodat", "chown", "lchown", "fchown", "fchownat", "truncate", "ftruncate", "open", "openat",
        "creat", "setxattr", "lsetxattr", "fsetxattr",
    }  # fmt: skip
    if changed.program.endswith("32"):
        assert calls >= {"chown32", "lchown32", "fchown32", "truncate64", "ftruncate64"}
    kernel = tuple(int(n) for n in os.uname().release.split(".")[:2])
    assert ("fchmodat2" in calls) == (kernel >= (6, 6))
    assert ("setxattrat" in calls) == (kernel >= (6, 13))


def test_the_ledger_agrees(changed):
    events = [line["event"] for line in changed.account]
    assert changed.counts == {event: [events.count(event), events.count(event), 0, 0] for event in EVENTS}


def test_path(changed):
    check_all(changed, "path", lambda line: of_bytes(line, "path"))
    check_all(changed, "path_arg", lambda line: of_bytes(line, "arg"))
    check_all(changed, "path_state", lambda line: of_word(line, "state"))
    check_all(changed, "fd", lambda line: of_number(line, "fd"))


def test_device_and_inode(changed):
    # An overlay has its own idea of both.
    def known(line, value):
        return value if "inode" in line else None

    of_overlay = [line["name"] == "overlay" for line in changed.account]
    plain = SimpleNamespace(
        account=[line for line, over in zip(changed.account, of_overlay) if not over],
        records=[record for record, over in zip(changed.records, of_overlay) if not over],
    )
    check_all(plain, "inode", lambda line: of_number(line, "inode"))
    check_all(plain, "dev", lambda line: known(line, f"{line.get('major')}:{line.get('minor')}".encode()))


def test_what_was_asked_for(changed):
    check_all(changed, "mode", lambda line: f"0{line['mode']:03o}".encode() if "mode" in line else None)
    nofollow = lambda line: b"AT_SYMLINK_NOFOLLOW" if line["call"].startswith("lchown") else None  # noqa: E731
    check_all(changed, "flags", lambda line: of_word(line, "flags") or nofollow(line))
    check_all(changed, "owner_uid", lambda line: of_number(line, "owner"))
    check_all(changed, "owner_gid", lambda line: of_number(line, "group"))
    check_all(changed, "size", lambda line: of_number(line, "size"))
    check_all(changed, "xattr", lambda line: of_bytes(line, "xattr"))


def test_process_and_unit(changed):
    check_process(changed)


def test_message(changed):
    check_messages(changed, MESSAGE_IDS)
