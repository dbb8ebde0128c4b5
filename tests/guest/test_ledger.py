"""The ledger: what was seen is what was recorded and what was lost, exactly."""

import os
from contextlib import ExitStack

import pytest
from harness import (
    PROGRAMS, check_sequence, count_records, cursor, flush, make_directory, properties, read_account, records, run,
    run_service, settings, show, wait_for, watch_properties, watching,
)  # fmt: skip

pytestmark = pytest.mark.any_backend


def test_a_thousand_in_a_thousand_out_of_each_of_two():
    """Two units run the same program at the same time; each open is there once, at the right one."""
    units = ["test-left.service", "test-right.service"]
    directories = [make_directory("left"), make_directory("right")]
    with watching(units[0], "open") as left, watching(units[1], "open") as right:
        for unit, directory in zip(units, directories):
            run("systemd-run", "--quiet", f"--unit={unit}", "--property=RemainAfterExit=yes", PROGRAMS / "flood", 1000, directory)
        for unit in units:
            wait_for(lambda: show(unit, "SubState") == "exited", f"the end of {unit}")  # noqa: B023
        flush()
        for unit, directory, watch in zip(units, directories, (left, right)):
            assert len(list(directory.iterdir())) == 1000
            found = records(unit, flushed=False)
            expected = {os.fsencode(directory / str(n)) for n in range(1000)}
            assert len(found) == 1000
            assert {r.path for r in found} == expected
            assert watch_properties(watch)["EventCounts"] == {"open": [1000, 1000, 0, 0]}
    run("systemctl", "stop", *units)


def test_the_sums_of_the_manager_go_on_when_watches_go():
    before = properties()
    with watching("test-sum.service", "open"):
        run_service("test-sum.service", PROGRAMS / "flood", 10, "/etc/hostname")
        flush()
    after = properties()
    assert after["Seen"] - before["Seen"] == 10
    assert after["Seen"] == after["Recorded"] + after["Lost"]
    assert after["Lost"] == sum(after["LostByCause"].values())


def test_a_small_ring_loses_and_says_exactly_how_much():
    unit, total = "test-flood.service", 20000
    with settings('ring-size = "16K"\n'):
        since = cursor()
        with watching(unit, "open", "exec") as watch:
            (account,) = run_service(unit, PROGRAMS / "flood", total, "/etc/hostname", 4)
            assert account["opened"] == total
            flush()
            values = watch_properties(watch)
            seen, recorded, lost, _ = values["EventCounts"]["open"]
            assert seen == total
            assert seen == recorded + lost
            assert lost > 0 and recorded > 0
            assert values["LostByCause"] == {"ring": values["Lost"], "state": 0, "journal": 0, "decode": 0, "probe": 0}
            assert count_records(unit, "open") == recorded

            losses = records(unit, "lost", since=since, flushed=False)
            for record in losses:
                assert record.cause == b"ring"
                assert int(record.span_begin) <= int(record.span_end)
                assert record["PRIORITY"] == b"4"
            of_open = [int(r.count) for r in losses if r.lost_event == b"open"]
            assert sum(of_open) == lost
            check_sequence(since, sum(int(r.count) for r in losses))


@pytest.mark.parametrize("watched", ["each", "slice"])
def test_a_flood_of_one_unit_costs_another_nothing(watched):
    """Also where one watch has both of them."""
    loud, quiet = f"test-loud-{watched}.service", f"test-quiet-{watched}.service"
    directory = make_directory("quiet")
    account = directory.with_suffix(".account")
    account.unlink(missing_ok=True)
    with settings('ring-size = "256K"\n'), ExitStack() as stack:
        units = [loud, quiet] if watched == "each" else ["test.slice"]
        paths = [stack.enter_context(watching(unit, "open", "exec")) for unit in units]
        run(
            "systemd-run", "--quiet", f"--unit={quiet}", "--slice=test.slice", f"--property=StandardOutput=file:{account}",
            PROGRAMS / "ticker", directory, 2, 100,
        )  # fmt: skip
        (flooded,) = run_service(loud, PROGRAMS / "flood", 60000, "/etc/hostname", 2, Slice="test.slice")
        run("systemctl", "stop", quiet)
        flush()
        (told,) = read_account(account)
        lost = sum(watch_properties(path)["Lost"] for path in paths)
        assert lost > 0
        if watched == "each":
            assert watch_properties(paths[1])["EventCounts"] == {"open": [told["made"]] * 2 + [0, 0], "exec": [1, 1, 0, 0]}
        recorded = count_records(loud, "open")
        assert flooded["opened"] - recorded == lost
        expected = [os.fsencode(directory / str(n)) for n in range(told["made"])]
        assert [r.path for r in records(quiet, "open", flushed=False)] == expected
        assert told["made"] > 20


def test_calls_for_which_there_is_no_room_are_recorded_without_result():
    """The map of calls under way is full of those of a watched unit that block."""
    unit, blocked, room = "test-state.service", 200, 64
    since = cursor()
    with settings(f"calls = {room}\n"), watching(unit, "open") as watch:
        run("systemd-run", "--quiet", f"--unit={unit}", PROGRAMS / "blocker", "open", blocked, make_directory("state"))
        wait_for(lambda: watch_properties(watch)["ResultsMissed"] >= blocked - room * 5 // 4, "they are all in the call")
        run("systemctl", "kill", "-s", "KILL", unit)
        wait_for(lambda: show(unit, "ActiveState") in ("failed", "inactive"), "the end of the blocker")
        flush()
        values = watch_properties(watch)
        found = records(unit, since=since, flushed=False)
        assert values["Lost"] == 0
        assert values["Seen"] == values["Recorded"] == len(found) >= blocked
        assert values["ResultsMissed"] == len([r for r in found if r.result_missed])
        check_sequence(since, 0)


def test_a_stopped_journald_costs_nothing_that_the_ring_holds():
    """It takes no datagram any more; the daemon goes on answering, and sends what waits when it can."""
    unit, total = "test-waiting.service", 2000
    with watching(unit, "open") as watch:
        pid = show("systemd-journald.service", "MainPID")
        run("kill", "-STOP", pid)
        try:
            run_service(unit, PROGRAMS / "flood", total, "/etc/hostname")
            values = watch_properties(watch)
            assert values["Seen"] == total
            assert values["Recorded"] < total
            assert values["Lost"] == 0
        finally:
            run("kill", "-CONT", pid)
        flush()
        assert watch_properties(watch)["EventCounts"] == {"open": [total, total, 0, 0]}
        assert count_records(unit, "open") == total
