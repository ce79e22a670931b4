"""The terminal: the one place that writes there while a run goes on."""

from __future__ import annotations

from contextlib import suppress
import logging

from rich.console import Console

console = Console(stderr=True)
"""Shared by messages and progress, which would overwrite each other otherwise."""


class TerminalHandler(logging.Handler):
    """Prints messages of a log, above the progress if that is shown."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a message as it is, in one line whatever the width."""
        style = "yellow" if record.levelno >= logging.WARNING else ""
        console.print(
            self.format(record), style=style, markup=False, highlight=False, soft_wrap=True
        )


class LogFile(logging.FileHandler):
    """Keeps messages; where they cannot be written, the run goes on without."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - as logging calls it
        """Be silent, as the terminal has the message, and a traceback would help nobody."""

    def close(self) -> None:
        """Close the file, even if what it holds back cannot be written."""
        with suppress(OSError):
            super().close()
