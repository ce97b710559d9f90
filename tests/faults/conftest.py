"""Prints, at the end of a session, how many faults were tried."""

import pytest

from tests.faults.trials import TALLY


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line a scenario, and the sum."""
    if not TALLY:
        return
    terminalreporter.section("faults tried")
    for name, tally in sorted(TALLY.items()):
        terminalreporter.write_line(
            f"{name:45} {tally.calls:5} calls {tally.tried:6} faults {tally.violations:4} violations"
        )
    tried = sum(tally.tried for tally in TALLY.values())
    violations = sum(tally.violations for tally in TALLY.values())
    terminalreporter.write_line(f"{'in total':45} {'':11} {tried:6} faults {violations:4} violations")
