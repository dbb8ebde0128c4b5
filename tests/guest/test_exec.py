"""The event exec: every attempt that the program tells of is a record, and there is no other."""

import os
from types import SimpleNamespace

import names
import pytest
from harness import (
    PROGRAMS,
    check_all,
    make_directory,
    number,
    pairs,
    records,
    run_service,
    watch_properties,
    watching,
)

UNIT = "test-execer.service"
NOP = os.fsencode(PROGRAMS / "nop")
ARGV_MAX = 4096


@pytest.fixture(scope="module")
def executed():
    """The program's account, its records but for the first, and that: the exec of the program itself."""
    directory = make_directory("execer")
    with watching(UNIT, "exec") as watch:
        account = run_service(UNIT, PROGRAMS / "execer", directory, PROGRAMS / "nop")
        first, *found = records(UNIT)
        counts = watch_properties(watch)
    return SimpleNamespace(
        directory=os.fsencode(directory), account=account, first=first, records=found, counts=counts
    )


def arguments(executed, line):
    """What the executed program finds as its arguments; for a failed attempt, what was passed."""
    given = [bytes.fromhex(argument) for argument in line.get("argv", [])]
    in_directory = lambda name: os.path.join(executed.directory, name)  # noqa: E731
    script = bytes.fromhex(line.get("arg", ""))
    return {
        # Since Linux 5.18 a program has at least one argument.
        "no-arguments": [b""],
        "script": [NOP, script, *given[1:]],
        "script-argument": [NOP, b"-x y", script, *given[1:]],
        "script-nested": [NOP, b"-x y", in_directory(b"script-argument"), script, *given[1:]],
        "script-by-descriptor": [NOP, b"/dev/fd/5", *given[1:]],
    }.get(line["name"], given)


def test_the_first_record_is_the_program_of_the_unit(executed):
    first = executed.first
    assert first.event == b"exec"
    assert first.path == os.fsencode(PROGRAMS / "execer")
    assert names.split_arguments(first.argv) == [
        os.fsencode(PROGRAMS / "execer"), executed.directory, NOP
    ]  # fmt: skip
    assert int(first.pid) == executed.account[0]["pid"]
    assert first.ppid == b"1"


def test_one_to_one(executed):
    results = [(int(r.pid), int(r.result)) for r in executed.records]
    assert results == [(line["child"], line["result"]) for line in executed.account]


def test_the_ledger_agrees(executed):
    n = len(executed.account) + 1
    assert executed.counts["EventCounts"] == {"exec": [n, n, 0, 0]}


def test_errors_by_name(executed):
    check_all(executed, "errno", lambda line: line["errno"].encode() if line["result"] < 0 else None)


def test_path(executed):
    def path(line):
        # Where it failed before a file was opened, the path is the name below its directory, not resolved.
        if "path" in line and line["name"] not in ("loop-nofollow", "access-directory"):
            return bytes.fromhex(line["path"])
        argument = line.get("arg")
        return os.path.join(executed.directory, bytes.fromhex(argument)) if argument else None

    check_all(executed, "path", path)


def test_path_argument(executed):
    check_all(executed, "path_arg", lambda line: bytes.fromhex(line["arg"]) if "arg" in line else None)


def test_interpreter(executed):
    check_all(executed, "interpreter", lambda line: bytes.fromhex(line["interpreter"]) if "interpreter" in line else None)


def test_arguments(executed):
    for line, record in pairs(executed):
        expected = arguments(executed, line)
        name = line["name"]
        if name == "fault-argument":
            continue
        if name == "fault":
            expected = [b"fault"]
        got = names.split_arguments(record.argv or b"")
        if record.truncated:
            joined = b"\0".join(expected)
            assert joined.startswith(b"\0".join(got)), name
            assert len(b"\0".join(got)) >= ARGV_MAX - 4, name
        else:
            assert got == expected, name
        if line["result"] == 0:
            assert int(record.argc) == len(expected), name
        assert len(record.argv or b"") <= ARGV_MAX, name


def test_truncation(executed):
    # An argument that cannot be read is missing as well.
    long = {"long-argument", "many-arguments", "arguments-of-4097", "too-big", "fault-argument"}
    check_all(executed, "truncated", lambda line: b"TRACELEFT_ARGV" if line["name"] in long else None)


def test_system_call(executed):
    check_all(executed, "syscall", lambda line: line["call"].encode())
    check_all(executed, "abi", lambda line: b"x86-64")


def test_device_and_inode(executed):
    for line, record in pairs(executed):
        if line["result"] == 0:
            st = os.stat(bytes.fromhex(line["path"]))
            assert record.dev == b"%d:%d" % (os.major(st.st_dev), os.minor(st.st_dev))
            assert int(record.inode) == st.st_ino
        else:
            assert record.dev is None or record.path is not None


def test_process_and_unit(executed):
    check_all(executed, "tid", lambda line: number(line["child"]))
    check_all(executed, "ppid", lambda line: number(line["pid"]))
    check_all(executed, "uid", lambda line: b"0")
    # Where it succeeded, the process runs the new program: of a script, the interpreter.
    check_all(executed, "exe", lambda line: os.fsencode(PROGRAMS / ("execer" if line["result"] else "nop")))
    check_all(executed, "unit", lambda line: UNIT.encode())
    check_all(executed, "invocation_id", lambda line: line["invocation"].encode())


def test_message_is_printable(executed):
    for record in executed.records:
        assert record.text("MESSAGE").isprintable()
        assert record["MESSAGE_ID"] == b"120b3dd5026542c881c230789224f1c2"
