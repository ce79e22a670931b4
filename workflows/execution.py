"""Running a graph: cores, memory, crashes and progress."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
import os
from pathlib import Path
import re
import sys
import time

from nipype import config
from nipype.pipeline import engine as pe

from qsmprep.resources import Resources
from qsmprep.workflows.pool import Pool, hush

SENTENCE = re.compile(r"^(?:\s*)qsmprep\.errors\.\w+: (?P<text>.+)$", re.MULTILINE)
LAST_ERROR = re.compile(r"^\s*(?P<text>\w[\w.]*(?:Error|Exception)\b.*)$", re.MULTILINE)


def execute(
    workflow: pe.Workflow,
    *,
    resources: Resources,
    crash_dir: Path,
    plugin: Mapping[str, object],
    graph: Path | None = None,
) -> dict[str, list[str]]:
    """
    Run a graph to its end, whatever fails on the way.

    Parameters
    ----------
    workflow
        One sub-graph per acquisition or anatomy, named for it.
    resources
        Cores, memory and scratch space.
    crash_dir
        Where crash files go.
    plugin
        ``plugin`` and ``plugin_args`` of nipype, or nothing for the cores of this machine.
    graph
        Where to draw the graph, or None.

    Returns
    -------
    crashes
        For every sub-graph in which something failed, one sentence per failure.
    """
    if graph is not None:
        workflow.write_graph(str(graph), graph2use="colored", format="svg")
    started = time.time()
    try:
        workflow.run(**(plugin or _local_plugin(resources)))
    except Exception:
        crashes = _read_crashes(crash_dir, started)
        if not crashes:
            raise
        return crashes
    return {}


def configure(crash_dir: Path, stop_on_first_crash: bool = False) -> None:
    """
    Set nipype up for the graphs built from now on, as each keeps a copy of its settings.

    Parameters
    ----------
    crash_dir
        Where crash files go.
    stop_on_first_crash
        Whether one failure ends all.
    """
    crash_dir.mkdir(parents=True, exist_ok=True)
    config.update_config(
        {
            "execution": {
                "crashdump_dir": str(crash_dir),
                "crashfile_format": "txt",
                "hash_method": "timestamp",
                "poll_sleep_duration": "0.1",
                "stop_on_first_crash": str(stop_on_first_crash).lower(),
                "check_version": "false",
            },
        }
    )
    hush()
    # The plugins for clusters read it, and containers leave it unset.
    os.environ.setdefault("LOGNAME", "qsmprep")


def _local_plugin(resources: Resources) -> dict[str, object]:
    if resources.nprocs == 1:
        return {"plugin": "Linear", "plugin_args": {"status_callback": _tell}}
    arguments = {
        "n_procs": resources.nprocs,
        "memory_gb": resources.mem_mb / 1024,
        "raise_insufficient": False,
        "status_callback": _tell,
    }
    return {"plugin": Pool(plugin_args=arguments)}


def _tell(node, status) -> None:
    """Print the progress of a run, a line for every step that starts or ends."""
    words = {"start": "started", "end": "done", "exception": "FAILED"}
    if status not in words or "." not in (node.fullname or ""):
        return
    _, part, *rest = node.fullname.split(".")
    if rest and rest[-1] not in _QUIET:
        clock = time.strftime("%H:%M:%S")
        print(f"{clock} {part} {'.'.join(rest)}: {words[status]}", file=sys.stderr, flush=True)


_QUIET = {"facts", "template_route", "keep"}
"""Steps of no interest to a person."""


def _read_crashes(crash_dir: Path, started: float) -> dict[str, list[str]]:
    """Return one sentence per crash of this run, by the sub-graph it happened in."""
    crashes = defaultdict(list)
    for path in sorted(crash_dir.glob("crash-*.txt")):
        if path.stat().st_mtime < started - 1:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        name = re.search(r"^Node: (?P<name>\S+)", text, re.MULTILINE)
        parts = name["name"].split(".") if name else ["", path.stem]
        part, step = parts[1], ".".join(parts[2:])
        if sentences := SENTENCE.findall(text):
            reason = sentences[-1]
        else:
            errors = LAST_ERROR.findall(text)
            reason = f"{step} failed ({errors[-1] if errors else 'no message'}); see {path}"
        if reason not in crashes[part]:
            crashes[part].append(reason)
    return dict(crashes)
