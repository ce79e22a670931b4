"""Running a graph: cores, memory, crashes and progress."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from configparser import Interpolation
import logging
import os
from pathlib import Path
import re
import shutil

from nipype import config
from nipype.pipeline import engine as pe
from nipype.pipeline import plugins

from qsmprep.errors import RequestError
from qsmprep.resources import Resources
from qsmprep.workflows.cost import schedule
from qsmprep.workflows.pool import Pool, hush
from qsmprep.workflows.progress import Progress, readable

SENTENCE = re.compile(r"^\s*qsmprep\.errors\.\w+: (?P<text>.+)$", re.MULTILINE)
LAST_ERROR = re.compile(r"^\s*(?P<text>\w[\w.]*(?:Error|Exception)\b.*)$", re.MULTILINE)
FULL = re.compile(r"\[Errno (28|122)\]")
"""No space left on device, or beyond the quota of the user."""

NO_SPACE = (
    "no space is left for the work or the output folder; free some, or give another work folder "
    "by -w; the same command goes on from here"
)
REFUSED = re.compile(r"\[Errno (13|30)\] [\w -]+: '(?P<path>[^']+)'")
"""Permission denied, or a read-only file system."""

REFUSED_REMEDY = "give yourself the right to, and the same command goes on from here"

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
    progress = Progress(names, workflow)
    before = set(crash_dir.glob("crash-*"))
    given = dict(plugin.get("plugin_args", {}))  # type: ignore[call-overload]
    runner = plugin.get("plugin", "MultiProc")
    arguments = {"status_callback": progress, **given}
    if runner == "MultiProc":
        runner = Pool(plugin_args=_local_arguments(workflow, resources) | arguments)
    try:
        with progress.shown():
            workflow.run(plugin=runner, plugin_args=arguments)
    except Exception:
        crashes = _read_crashes(sorted(set(crash_dir.glob("crash-*")) - before))
        # Other jobs write theirs to the same folder.
        own = {part: reasons for part, reasons in crashes.items() if part in names}
        for node, text in runner.untold.items() if isinstance(runner, Pool) else ():
            part, reason = _reason(node, text, "")
            if reason not in own.setdefault(part, []):
                own[part].append(reason)
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
    config._config._interpolation = Interpolation()  # or a % in a path would be one
    config.update_config(
        {
            "execution": {
                "crashdump_dir": str(crash_dir),
                "crashfile_format": "txt",
                "hash_method": "timestamp",
                "poll_sleep_duration": "0.05",
                "stop_on_first_crash": str(stop_on_first_crash).lower(),
                "check_version": "false",
                "create_report": "false",  # a file and a folder for every step
            },
        }
    )
    hush()
    # The plugins for clusters read it, and containers leave it unset.
    os.environ.setdefault("LOGNAME", "qsmprep")


LOCAL = ("Linear", "MultiProc", "LegacyMultiProc", "Debug")
"""Plugins that start no other program."""


def check_plugin(plugin: Mapping[str, object], work_dir: Path) -> None:
    """Refuse what is no plugin of nipype, or cannot submit from the work folder."""
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
    if plugin.get("plugin") not in LOCAL and any(letter.isspace() for letter in str(work_dir)):
        raise RequestError(
            f"-w {work_dir}: nipype's {plugin['plugin']} cannot submit from a path with a space; "
            "give another work folder"
        )


def draw_graph(workflow: pe.Workflow, path: Path) -> None:
    """Draw a graph, or say why it cannot be drawn."""
    if shutil.which("dot") is None:
        log.warning("warning: the graph is not drawn: there is no `dot`; install graphviz for it")
        return
    workflow.write_graph(str(path), graph2use="colored", format="svg")


def _local_arguments(workflow: pe.Workflow, resources: Resources) -> dict[str, object]:
    workers, memory_gb = schedule(workflow, resources)
    if workers < resources.nprocs:
        log.info(
            "%d steps at once, not %d, for %d MB are given",
            workers, resources.nprocs, resources.mem_mb,
        )  # fmt: skip
    return {"n_procs": workers, "memory_gb": memory_gb, "raise_insufficient": False}


def _read_crashes(paths: list[Path]) -> dict[str, list[str]]:
    """Return one sentence per crash, by the sub-graph it happened in."""
    crashes: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        text = path.read_text(encoding="utf-8", errors="replace")
        name = re.search(r"^Node: (?P<name>\S+)", text, re.MULTILINE)
        part, reason = _reason(name["name"] if name else f".{path.stem}", text, f"; see {path}")
        if reason not in crashes[part]:
            crashes[part].append(reason)
    return dict(crashes)


def _reason(node: str, text: str, where: str) -> tuple[str, str]:
    """Return the sub-graph of a node, and in one sentence why the node failed."""
    part, *steps = [*node.split(".")[1:], ""]
    steps = [step for step in steps if step]
    if sentences := SENTENCE.findall(text):
        return part, sentences[-1]
    if FULL.search(text):
        return part, NO_SPACE
    if refused := REFUSED.search(text):
        folder = Path(refused["path"]).parent
        return part, f"{folder}: may not be written to; {REFUSED_REMEDY}"
    errors = LAST_ERROR.findall(text)
    return part, f"{readable(steps)} failed ({errors[-1] if errors else 'no message'}){where}"
