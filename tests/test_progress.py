"""What is told of a run while it goes on."""

import io
import logging
import os
import pty
import re
import subprocess
import sys
from types import SimpleNamespace

from nipype.interfaces.utility import IdentityInterface
from nipype.pipeline import engine as pe
import pytest

from qsmprep.workflows.progress import Progress, duration, roughly


@pytest.fixture
def told(monkeypatch):
    """Return what the program tells, with its level."""
    log, stream = logging.getLogger("qsmprep"), io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    monkeypatch.setattr(log, "level", logging.DEBUG)
    monkeypatch.setattr(log, "handlers", [handler])
    monkeypatch.setattr(log, "propagate", False)
    return lambda: stream.getvalue().splitlines()


@pytest.fixture
def clock(monkeypatch):
    """Return a clock that stands until it is set."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr("qsmprep.workflows.progress.time.monotonic", lambda: clock.now)
    return clock


def graph_of(*parts):
    """Return a graph with a stage of two steps for each part."""
    whole = pe.Workflow(name="whole_wf")
    for part in parts:
        stage = pe.Workflow(name="stage_wf")
        stage.add_nodes(
            [
                pe.Node(IdentityInterface(fields=["x"]), name=name)
                for name in ("inputnode", "first", "second")
            ]
        )
        graph = pe.Workflow(name=part)
        graph.add_nodes([stage])
        whole.add_nodes([graph])
    return whole


def step(part, name):
    return SimpleNamespace(fullname=f"whole_wf.{part}.stage_wf.{name}")


def test_parts_are_told_of_with_a_guess_of_the_time_that_is_left(told, clock):
    progress = Progress({"a": "sub-01", "b": "sub-02"}, graph_of("a", "b"))
    assert progress.seconds_left() is None
    for name, seconds in (("first", 100), ("second", 20)):
        progress(step("a", name), "start")
        clock.now += seconds
        progress(step("a", name), "end")
    # One after the other: the other part will take as long as this one did.
    assert progress.seconds_left() == pytest.approx(120)
    assert told()[-1] == "INFO sub-01: computed, 1 of 2, about 2 min left"
    assert "DEBUG sub-01  stage: first: done after 1 min 40 s" in told()


def test_steps_that_run_side_by_side_take_half_of_the_time(clock):
    progress = Progress({}, graph_of("a", "b", "c", "d"))
    for part in "ab":
        progress(step(part, "first"), "start")
    clock.now = 10
    for part in "ab":
        progress(step(part, "first"), "end")
    # Two more of the first kind, and four of a kind not seen yet: 60 s of work by two at once.
    assert progress.seconds_left() == pytest.approx(30)


@pytest.mark.usefixtures("clock")
def test_a_failure_is_told_at_once_and_its_part_is_never_called_computed(told):
    progress = Progress({"a": "sub-01"}, graph_of("a"))
    progress(step("a", "first"), "start")
    progress(step("a", "first"), "exception")
    assert told()[-1] == "WARNING sub-01  stage: first: FAILED after 0.0 s"
    progress(step("a", "second"), "end")
    assert not any("computed" in line for line in told())
    assert str(progress) == "0 steps done, 1 kept from an earlier run, 1 failed"


@pytest.mark.parametrize(
    ("seconds", "exact", "guess"),
    [
        (12.34, "12.3 s", "less than a minute"),
        (100, "1 min 40 s", "about 2 min"),
        (9000, "150 min 0 s", "about 2.5 h"),
    ],
)
def test_times_are_written_as_people_say_them(seconds, exact, guess):
    assert (duration(seconds), roughly(seconds)) == (exact, guess)


SHOW = """
import logging
from qsmprep.terminal import TerminalHandler
from qsmprep.workflows.progress import Progress
from test_progress import graph_of, step

log = logging.getLogger("qsmprep")
log.addHandler(TerminalHandler())
log.setLevel(logging.INFO)
progress = Progress({"a": "sub-01"}, graph_of("a"))
with progress.shown():
    progress(step("a", "first"), "start")
    log.info("x" * 200)
    progress(step("a", "first"), "end")
"""


def show(**streams):
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "TERM": "xterm",
    }
    return subprocess.run([sys.executable, "-c", SHOW], env=environment, check=True, **streams)


def test_a_file_gets_messages_only():
    run = show(stderr=subprocess.PIPE, text=True)
    assert run.stderr == "x" * 200 + "\n"


def test_a_terminal_shows_what_is_being_done_below_the_messages():
    main, terminal = pty.openpty()
    show(stderr=terminal)
    os.close(terminal)
    text = os.read(main, 100_000).decode()
    os.close(main)
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)
    assert "sub-01  stage: first" in plain
    assert re.search(r"[01]/2", plain)
    assert "x" * 200 in plain
