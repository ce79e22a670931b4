"""What a run tells while it goes on: every step in the log, the whole on the terminal."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
import logging
from statistics import fmean
import time

from nipype.pipeline import engine as pe
from rich import progress as rich_progress

from qsmprep.terminal import console
from qsmprep.workflows.sharing import MARK

log = logging.getLogger("qsmprep")


class Progress:
    """
    Tells of every step that starts, ends or fails, and of every part that is through.

    Parameters
    ----------
    names
        What to call each sub-graph, the parts of the whole.
    workflow
        The graph that is run.
    """

    QUIET = frozenset(
        {"inputnode", "outputnode", "carried", "facts", "template_route", "keep", "keep_regions"}
    )
    """Steps of no interest to a person; the first two connect graphs and are never run."""

    def __init__(self, names: Mapping[str, str], workflow: pe.Workflow):
        self.names = names
        steps = [f"{workflow.name}.{node}" for node in workflow.list_node_names()]
        steps = [name for name in steps if self._told_of(name)]
        self.total = len(steps)
        self.left_in = Counter(map(_part, steps))  # parts
        self.left_of = Counter(map(_step, steps))  # kinds of steps
        self.computed: Counter[str] = Counter()  # steps of each part
        self.began = time.monotonic()
        self.started: dict[str, float] = {}
        self.ended: dict[str, str] = {}
        self.durations: dict[str, list[float]] = defaultdict(list)
        self._bar: rich_progress.Progress | None = None

    def __call__(self, node, status: str) -> None:
        """Take note of what nipype tells about a node."""
        name = node.fullname
        if name in self.ended or not self._told_of(name):
            return
        label = f"{self._name(name)}  {_step(name)}"
        if status == "start":
            self.started[name] = time.monotonic()
            log.debug("%s: started", label)
        elif name in self.started:
            seconds = time.monotonic() - self.started[name]
            self.durations[_step(name)].append(seconds)
            word = "FAILED" if status == "exception" else "done"
            level = logging.WARNING if status == "exception" else logging.DEBUG
            log.log(level, "%s: %s after %s", label, word, duration(seconds))
            self._end(name, word)
        else:  # its result lies in the work folder
            self._end(name, "kept")
        self._show()

    def __str__(self) -> str:
        """Return how many steps ended in which way."""
        counts = Counter(self.ended.values())
        text = f"{counts['done']} steps done, {counts['kept']} kept from an earlier run"
        return text + (f", {counts['FAILED']} failed" if counts["FAILED"] else "")

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show on a terminal what is being done, for how long, and about how long it will take."""
        if not console.is_terminal:  # lines that overwrite each other only fill a file
            yield
            return
        with rich_progress.Progress(
            rich_progress.TextColumn("{task.description}"),
            rich_progress.BarColumn(),
            rich_progress.MofNCompleteColumn(),
            rich_progress.TimeElapsedColumn(),
            rich_progress.TextColumn("{task.fields[left]}"),
            console=console,
            transient=True,
        ) as self._bar:
            self._bar.add_task("", total=self.total, left="")
            self._show()
            yield
        self._bar = None

    def seconds_left(self) -> float | None:
        """Return about how long it will take, from the steps so far; None before there are any."""
        spent = sum(map(sum, self.durations.values()))
        if not spent:
            return None
        typical = {step: fmean(seconds) for step, seconds in self.durations.items()}
        average = fmean(typical.values())
        work = sum(n * typical.get(step, average) for step, n in self.left_of.items())
        # Steps that run side by side spend several seconds in one.
        return work * (time.monotonic() - self.began) / spent

    def _told_of(self, name: str) -> bool:
        _, _, *steps = name.split(".")
        return bool(steps) and MARK.sub("", steps[-1]) not in self.QUIET

    def _name(self, name: str) -> str:
        return self.names.get(_part(name), _part(name))

    def _end(self, name: str, word: str) -> None:
        self.ended[name] = word
        part = _part(name)
        self.left_of[_step(name)] -= 1
        if word == "FAILED":  # what comes after it never ends, and neither does its part
            return
        self.left_in[part] -= 1
        self.computed[part] += word == "done"
        if self.left_in[part] or not self.computed[part]:
            return
        parts = self.left_in.values()
        log.info(
            "%s: computed, %d of %d%s",
            self._name(name),
            sum(left == 0 for left in parts),
            len(parts),
            self._about(),
        )

    def _about(self) -> str:
        left = self.seconds_left()
        return f", {roughly(left)} left" if left else ""

    def _show(self) -> None:
        if self._bar is None:
            return
        running = sorted(self.started.keys() - self.ended.keys(), key=self.started.__getitem__)
        shown = f"{self._name(running[0])}  {_step(running[0])}" if running else ""
        others = f" and {len(running) - 1} more" if len(running) > 1 else ""
        self._bar.update(
            self._bar.task_ids[0],
            description=shown + others,
            completed=len(self.ended),
            left=self._about().removeprefix(", "),
            refresh=True,
        )


def _part(name: str) -> str:
    return name.split(".")[1]


def _step(name: str) -> str:
    return readable(name.split(".")[2:])


def readable(steps: list[str]) -> str:
    """Return a step of the graph in words, ``inversion_wf.invert`` as ``inversion: invert``."""
    plain = [MARK.sub("", step).removesuffix("_wf") for step in steps]
    words = [step.strip("_").replace("_", " ") for step in plain]
    return ": ".join(words)


def duration(seconds: float) -> str:
    """Return a time that has passed as a person would say it."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def roughly(seconds: float) -> str:
    """Return a time that is only guessed, no finer than the guess."""
    if seconds < 60:
        return "less than a minute"
    minutes = round(seconds / 60)
    return f"about {minutes} min" if minutes < 90 else f"about {minutes / 60:.1f} h"
