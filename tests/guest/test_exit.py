"""The event exit: each process of a unit has one record of its end, however it ends."""

import os
import signal

import pytest
from harness import (
    PROGRAMS,
    SCRATCH,
    check_all,
    compare,
    make_directory,
    number,
    pairs,
    records,
    run,
    run_watched,
    show,
    wait_for,
    watch_properties,
    watching,
)

MANY = 2000
SLEEPERS = 200


def signal_name(n):
    """As the kernel numbers them: the C library keeps the first two real-time signals for itself."""
    return f"SIGRTMIN+{n - 32}" if n > 32 else signal.Signals(n).name


@pytest.fixture(scope="module", params=["exiter", "exiter32"])
def ended(request):
    """All but the last record, which is that of the program itself."""
    directory = make_directory(request.param)
    result = run_watched("exit", request.param, directory, PROGRAMS / "nop")
    *result.records, result.last = result.records
    return result


def test_one_to_one(ended):
    assert [r.event for r in ended.records] == [b"exit"] * len(ended.account), compare(ended)
    check_all(ended, "pid", lambda line: number(line["child"]))
    check_all(ended, "result", lambda line: b"0")
    n = len(ended.account) + 1
    assert ended.counts["EventCounts"] == {"exit": [n, n, 0, 0]}


def test_the_program_itself(ended):
    last = ended.last
    assert (last.pid, last.exit_status) == (number(ended.account[0]["pid"]), b"0")
    assert (last.ppid, last.syscall, last.abi) == (b"1", b"exit_group", ended.abi)


def test_status(ended):
    check_all(ended, "exit_status", lambda line: number(line["status"]) if "status" in line else None)


def test_signal(ended):
    check_all(ended, "signal", lambda line: signal_name(line["signal"]).encode() if "signal" in line else None)
    check_all(ended, "signal_number", lambda line: number(line["signal"]) if "signal" in line else None)
    check_all(ended, "core_dumped", lambda line: b"1" if "core" in line else None)
    assert any("core" in line for line in ended.account)


def test_system_call(ended):
    """None, if a signal ended it."""
    check_all(ended, "syscall", lambda line: line["call"].encode() or None)
    executed = "exec-by-thread"
    check_all(ended, "abi", lambda line: b"x86-64" if line["name"] == executed else ended.abi)


def test_process(ended):
    def exe(line):
        return os.fsencode(PROGRAMS / ("nop" if line["name"] == "exec-by-thread" else ended.program))

    check_all(ended, "exe", exe)
    check_all(ended, "ppid", lambda line: number(line["pid"]))
    check_all(ended, "uid", lambda line: b"65534" if line["name"] == "nobody" else b"0")
    check_all(ended, "unit", lambda line: ended.unit.encode())
    check_all(ended, "invocation_id", lambda line: line["invocation"].encode())


def test_message(ended):
    for line, record in pairs(ended):
        text = record.text("MESSAGE")
        if "status" in line:
            assert text.endswith(f": exit with status {line['status']}")
        else:
            core = ", core dumped" if "core" in line else ""
            assert text.endswith(f": exit by {signal_name(line['signal'])} ({line['signal']}){core}")


def test_out_of_memory():
    result = run_watched(
        "exit", "exiter", "oom", unit="test-exiter-memory.service",
        MemoryMax="40M", MemorySwapMax="0", OOMPolicy="continue",
    )  # fmt: skip
    (line,) = result.account
    first, last = result.records
    assert line["signal"] == signal.SIGKILL
    assert (first.pid, first.signal, first.syscall) == (number(line["child"]), b"SIGKILL", None)
    assert last.exit_status == b"0"


def test_each_of_many():
    unit = "test-exiter-many.service"
    with watching(unit, "exit") as watch:
        run("systemd-run", "--quiet", "--wait", "--collect", f"--unit={unit}", PROGRAMS / "exiter", "many", str(MANY), timeout=300)
        found = records(unit)
        counts = watch_properties(watch)
    assert counts["EventCounts"] == {"exit": [MANY + 1, MANY + 1, 0, 0]}
    assert len({r.pid for r in found}) == len(found) == MANY + 1
    assert sorted(int(r.exit_status) for r in found) == sorted([i & 0xFF for i in range(MANY)] + [0])


@pytest.mark.parametrize("how", [("kill", "--signal=SIGUSR1"), ("stop",)])
def test_all_are_killed_at_once(how):
    unit = f"test-exiter-{how[0]}.service"
    account = SCRATCH / "killed.account"
    account.unlink(missing_ok=True)
    with watching(unit, "exit") as watch:
        run(
            "systemd-run", "--quiet", f"--unit={unit}", f"--property=StandardOutput=file:{account}",
            PROGRAMS / "exiter", "sleepers", str(SLEEPERS),
        )  # fmt: skip
        wait_for(lambda: account.exists() and account.read_bytes().endswith(b"\n"), "the processes are there")
        run("systemctl", *how, unit)
        wait_for(lambda: show(unit, "ActiveState") in ("inactive", "failed"), f"{unit} has ended")
        run("systemctl", "reset-failed", unit, check=False)
        found = records(unit)
        counts = watch_properties(watch)
    n = SLEEPERS + 1
    assert counts["EventCounts"] == {"exit": [n, n, 0, 0]}
    assert len({r.pid for r in found}) == len(found) == n
    assert {r.signal for r in found} == {b"SIGUSR1" if how[0] == "kill" else b"SIGTERM"}
