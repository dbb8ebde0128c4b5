"""Units that work steadily, and what happens to the daemon meanwhile."""

import os

from harness import (
    PROGRAMS, SERVICE, add_watch, check_sequence, cursor, flush, make_directory, properties, read_account, records, remove_watch,
    run, show, wait_for, watch_properties,
)  # fmt: skip

UNITS = ("test-tick-a.service", "test-tick-b.service", "test-tick-c.service")


class Load:
    """Three units that work steadily, and their watches."""

    def __init__(self):
        self.since = cursor()
        self.watches = {unit: add_watch(unit, "open", "exec") for unit in UNITS}
        self.before = properties()
        self.directories = {unit: make_directory(unit) for unit in UNITS}
        for unit, directory in self.directories.items():
            account = directory.with_suffix(".account")
            account.unlink(missing_ok=True)
            run(
                "systemd-run", "--quiet", f"--unit={unit}", f"--property=StandardOutput=file:{account}",
                PROGRAMS / "ticker", directory, 5, 100,
            )  # fmt: skip

    def made(self, unit):
        return len(os.listdir(self.directories[unit]))

    def work_on(self):
        """Waits until each unit has done something more."""
        before = {unit: self.made(unit) for unit in UNITS}
        wait_for(lambda: all(self.made(unit) > before[unit] for unit in UNITS), "the units go on working")

    def check(self, lost=0):
        """Each thing that each unit did is there once, and counted once. So many events of others were lost."""
        run("systemctl", "stop", *UNITS)
        flush()
        for unit, watch in self.watches.items():
            (told,) = read_account(self.directories[unit].with_suffix(".account"))
            found = [r for r in records(unit, since=self.since, flushed=False)]
            opened = [r.path for r in found if r.event == b"open"]
            expected = [os.fsencode(self.directories[unit] / str(n)) for n in range(told["made"])]
            missing, extra = set(expected) - set(opened), set(opened) - set(expected)
            assert (missing, extra) == (set(), set()), unit
            assert opened == expected, f"{unit}: not each once and in order"
            assert [r.path for r in found if r.event == b"exec"] == [os.fsencode(PROGRAMS / "ticker")]
            n = told["made"]
            assert watch_properties(watch)["EventCounts"] == {"open": [n, n, 0, 0], "exec": [1, 1, 0, 0]}
        check_sequence(self.since, lost)
        now = properties()
        assert now["Lost"] - self.before["Lost"] == lost
        assert now["Seen"] == now["Recorded"] + now["Lost"]

    def end(self):
        run("systemctl", "stop", *UNITS, check=False)
        for watch in self.watches.values():
            remove_watch(watch)


def main_pid():
    return show(SERVICE, "MainPID")


def wait_for_another(pid):
    """Another daemon than that of this process is at work."""
    # In this order: it is the new one that is to be active.
    wait_for(lambda: main_pid() not in ("0", pid) and show(SERVICE, "ActiveState") == "active", "the daemon is back")


def kill():
    pid = main_pid()
    run("systemctl", "kill", "-s", "KILL", SERVICE)
    wait_for_another(pid)


def restart():
    run("systemctl", "restart", SERVICE)
