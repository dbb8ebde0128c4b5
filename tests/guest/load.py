"""Units that work steadily, and what happens to the daemon meanwhile."""

import os
from contextlib import contextmanager
from pathlib import Path

from harness import (
    PROGRAMS, SERVICE, add_watch, cursor, daemon_reload, flush, make_directory, properties, read_account, remove_watch, run, show,
    values, wait_for, watch_properties,
)  # fmt: skip

UNITS = ("test-tick-a.service", "test-tick-b.service", "test-tick-c.service")


class Load:
    """Three units that work steadily, and their watches."""

    def __init__(self):
        self.since = cursor()
        self.numbers = len(values("TRACELEFT_SEQ"))
        self.watches = {unit: add_watch(unit, "open", "exec") for unit in UNITS}
        self.before = properties()
        # Of its own, so that paths tell whose records they are: these units have been there before.
        self.directories = {unit: make_directory(f"{unit}-{self.numbers}") for unit in UNITS}
        for unit, directory in self.directories.items():
            account = self.account(unit)
            account.unlink(missing_ok=True)
            run(
                "systemd-run", "--quiet", f"--unit={unit}", f"--property=StandardOutput=file:{account}",
                PROGRAMS / "ticker", directory, 5, 100,
            )  # fmt: skip

    def account(self, unit):
        return self.directories[unit].parent / f"{self.directories[unit].name}.account"

    def made(self, unit):
        return max((int(name) + 1 for name in os.listdir(self.directories[unit])), default=0)

    def work_on(self):
        """Waits until each unit has done something more."""
        before = {unit: self.made(unit) for unit in UNITS}
        wait_for(lambda: all(self.made(unit) > before[unit] for unit in UNITS), "the units go on working")

    def check(self, lost=0):
        """Each thing that each unit did is there once, and counted once. So many events of others were lost."""
        run("systemctl", "stop", *UNITS)
        flush()
        for unit, watch in self.watches.items():
            (told,) = read_account(self.account(unit))
            paths = values("TRACELEFT_PATH", f"TRACELEFT_UNIT={unit}", "TRACELEFT_EVENT=open")
            opened = [path for path in paths if path.startswith(f"{self.directories[unit]}/")]
            expected = [f"{self.directories[unit]}/{n}" for n in range(told["made"])]
            missing = sorted(set(expected) - set(opened))
            assert missing == [], (unit, watch_properties(watch)["EventCounts"], properties()["LostByCause"])
            assert opened == expected, f"{unit}: not each once and in order"
            n = told["made"]
            assert watch_properties(watch)["EventCounts"] == {"open": [n, n, 0, 0], "exec": [1, 1, 0, 0]}
        now = properties()
        # What the kernel did not start a program for may be of any process of the machine.
        missed = now["LostByCause"]["probe"] - self.before["LostByCause"]["probe"]
        assert now["Lost"] - self.before["Lost"] == lost + missed, (now["LostByCause"], self.before["LostByCause"])
        numbers = [int(number) for number in values("TRACELEFT_SEQ")[self.numbers :]]
        assert len(set(numbers)) == len(numbers)
        assert max(numbers) - min(numbers) + 1 == len(numbers) + lost + missed
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


@contextmanager
def drop_in(text):
    """Runs the daemon with other settings of its unit."""
    path = Path(f"/run/systemd/system/{SERVICE}.d/test.conf")
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"[Service]\n{text}")
    daemon_reload()
    run("systemctl", "restart", SERVICE)
    try:
        yield
    finally:
        path.unlink()
        daemon_reload()
        run("systemctl", "restart", SERVICE)
