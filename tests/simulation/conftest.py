"""Prints at the end what the simulations covered, also where they ran in another process."""

from typing import Any


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    texts = [
        text
        for report in reports
        if report.when == "call"
        for name, text in report.user_properties
        if name == "simulation"
    ]
    if texts:
        terminalreporter.section("simulation")
    for text in texts:
        terminalreporter.write_line(text)
