"""Running a graph: cores, memory, crashes and progress."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
import logging
import os
from pathlib import Path
import re
import shutil
import time

from nipype import config
from nipype.pipeline import engine as pe
from nipype.pipeline import plugins

from qsmprep.errors import RequestError
from qsmprep.resources import Resources
from qsmprep.workflows.pool import Pool, hush
from qsmprep.workflows.sharing import MARK

SENTENCE = re.compile(r"^\s*qsmprep\.errors\.\w+: (?P<text>.+)$", re.MULTILINE)
LAST_ERROR = re.compile(r"^\s*(?P<text>\w[\w.]*(?:Error|Exception)\b.*)$", re.MULTILINE)

log = logging.getLogger("qsmprep")


def execute(
    workflow: pe.Workflow,
    *,
    resources: Resources,
    crash_dir: Path,
    plugin: Mapping[str, object],
    names: Mapping[str, str],
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
    names
        What to call each sub-graph on the terminal.

    Returns
    -------
    crashes
        For every sub-graph in which something failed, one sentence per failure.
    """
    progress = Progress(names)
    before = set(crash_dir.glob("crash-*"))
    given = dict(plugin.get("plugin_args", {}))  # type: ignore[call-overload]
    runner = plugin.get("plugin", "MultiProc")
    arguments = {"status_callback": progress, **given}
    if runner == "MultiProc":
        runner = Pool(plugin_args=_local_arguments(resources) | arguments)
    try:
        workflow.run(plugin=runner, plugin_args=arguments)
    except Exception:
        crashes = _read_crashes(sorted(set(crash_dir.glob("crash-*")) - before))
        # Other jobs write theirs to the same folder.
        own = {part: reasons for part, reasons in crashes.items() if part in names}
        if not own:
            raise
        return own
    finally:
        if isinstance(runner, Pool):
            runner.end()
        log.info("%s", progress)
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
                "poll_sleep_duration": "0.05",
                "stop_on_first_crash": str(stop_on_first_crash).lower(),
                "check_version": "false",
            },
        }
    )
    hush()
    # The plugins for clusters read it, and containers leave it unset.
    os.environ.setdefault("LOGNAME", "qsmprep")


def check_plugin(plugin: Mapping[str, object]) -> None:
    """Refuse what is no plugin of nipype, before anything is run."""
    if unknown := plugin.keys() - {"plugin", "plugin_args"}:
        raise RequestError(
            f"--use-plugin: it has {', '.join(sorted(unknown))}, but takes plugin and plugin_args"
        )
    known = sorted(
        name.removesuffix("Plugin") for name in vars(plugins) if name.endswith("Plugin")
    )
    if plugin and plugin.get("plugin") not in known:
        raise RequestError(
            f"--use-plugin: {plugin.get('plugin')!r} is no plugin of nipype; "
            f"choose {', '.join(known)}"
        )
    if str(plugin.get("plugin")).endswith("Graph") or plugin.get("plugin") == "CondorDAGMan":
        raise RequestError(
            f"--use-plugin: {plugin['plugin']} ends when its jobs are submitted, and nobody would "
            "tell what became of them; choose the plugin that waits, such as SLURM, SGE or PBS"
        )
    if not isinstance(plugin.get("plugin_args", {}), dict):
        raise RequestError("--use-plugin: plugin_args has to be an object with names and values")


def draw_graph(workflow: pe.Workflow, path: Path) -> None:
    """Draw a graph, or say why it cannot be drawn."""
    if shutil.which("dot") is None:
        log.warning("warning: the graph is not drawn: there is no `dot`; install graphviz for it")
        return
    workflow.write_graph(str(path), graph2use="colored", format="svg")


def _local_arguments(resources: Resources) -> dict[str, object]:
    return {
        "n_procs": resources.nprocs,
        "memory_gb": resources.mem_mb / 1024,
        "raise_insufficient": False,
    }


class Progress:
    """
    Tells of every step that starts, ends or fails, in a line of its own.

    Parameters
    ----------
    names
        What to call each sub-graph.
    """

    QUIET = frozenset({"carried", "facts", "template_route", "keep", "keep_regions"})
    """Steps of no interest to a person."""

    def __init__(self, names: Mapping[str, str]):
        self.names = names
        self.started: dict[str, float] = {}
        self.ended: dict[str, str] = {}

    def __call__(self, node, status: str) -> None:
        """Take note of what nipype tells about a node."""
        part, *steps = node.fullname.split(".")[1:] or [""]
        if not steps or MARK.sub("", steps[-1]) in self.QUIET or node.fullname in self.ended:
            return
        name = f"{self.names.get(part, part)}  {readable(steps)}"
        if status == "start":
            self.started[node.fullname] = time.monotonic()
            log.info("%s: started", name)
        elif node.fullname in self.started:
            seconds = time.monotonic() - self.started[node.fullname]
            self.ended[node.fullname] = word = "FAILED" if status == "exception" else "done"
            log.info("%s: %s after %s", name, word, duration(seconds))
        else:  # its result lies in the work folder
            self.ended[node.fullname] = "kept"

    def __str__(self) -> str:
        """Return how many steps ended in which way."""
        counts = {word: list(self.ended.values()).count(word) for word in ("done", "FAILED")}
        kept = list(self.ended.values()).count("kept")
        text = f"{counts['done']} steps done, {kept} kept from an earlier run"
        return text + (f", {counts['FAILED']} failed" if counts["FAILED"] else "")


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


def _read_crashes(paths: list[Path]) -> dict[str, list[str]]:
    """Return one sentence per crash, by the sub-graph it happened in."""
    crashes: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        text = path.read_text(encoding="utf-8", errors="replace")
        name = re.search(r"^Node: (?P<name>\S+)", text, re.MULTILINE)
        parts = name["name"].split(".") if name else ["", path.stem]
        part, steps = parts[1] if len(parts) > 1 else "", parts[2:]
        if sentences := SENTENCE.findall(text):
            reason = sentences[-1]
        else:
            errors = LAST_ERROR.findall(text)
            reason = (
                f"{readable(steps)} failed ({errors[-1] if errors else 'no message'}); see {path}"
            )
        if reason not in crashes[part]:
            crashes[part].append(reason)
    return dict(crashes)
