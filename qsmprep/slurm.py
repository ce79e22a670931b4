"""``qsmprep-slurm``: one participant per task of an array of SLURM."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
import math
import os
from pathlib import Path
import re
import shlex
import shutil
import sys

import qsmprep
from qsmprep import cli
from qsmprep.bids.atlas import Atlas
from qsmprep.bids.longitudinal import Longitudinal
from qsmprep.bids.models import Acquisition, Plan
from qsmprep.bids.output import check_output_dir, container
from qsmprep.bids.status import StatusRow, read_status, skipped_rows, update_status
from qsmprep.compute import longitudinal_of
from qsmprep.errors import QSMPrepError, RequestError
from qsmprep.files import atomic_write_text
from qsmprep.request import Request, resolve
from qsmprep.sbatch import Job, array_script, group_script, in_apptainer, submit, tell
from qsmprep.slurm_paths import absolute, binds

DESCRIPTION = """\
Write a batch script that processes one participant per task of a SLURM array, and the command
that submits it. Participants that are done already are left out, so that the same command again
submits what is missing. Options of `qsmprep BIDS OUT participant` follow after --, as in

qsmprep-slurm BIDS OUT --image qsmprep.sif --submit -- --atlas ATLAS -w WORK"""

CPUS = 4
"""Cores of a task: more are idle for most of the time."""

SPARE = 0.9
"""Part of a task's memory that qsmprep hands out."""

ARRAY_LIMIT = 1000
"""Tasks of an array that SLURM takes without being told otherwise (MaxArraySize)."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of what stands in front of ``--``."""
    parser = argparse.ArgumentParser(
        prog="qsmprep-slurm",
        usage="%(prog)s BIDS_DIR OUTPUT_DIR [options] [-- options of qsmprep]",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("bids_dir", type=Path, help="dataset in BIDS")
    parser.add_argument("output_dir", type=Path, help="where outputs go; all jobs share it")
    parser.add_argument("--version", action="version", version=f"qsmprep {qsmprep.__version__}")
    _add_program(parser.add_argument_group("what to start"))
    _add_resources(parser.add_argument_group("what each task asks for"))
    _add_running(parser.add_argument_group("what to do"))
    return parser


def _add_program(group) -> None:
    group.add_argument(
        "--image", metavar="FILE",
        help="start qsmprep in this image, by Apptainer (default inside of one: the same)",
    )  # fmt: skip
    group.add_argument(
        "--command", metavar="CMD", help="start it by this command (default: the qsmprep in use)"
    )
    group.add_argument(
        "--setup", action="append", default=[], metavar="LINE",
        help='line of shell to run first, such as "module load apptainer"',
    )  # fmt: skip


def _add_resources(group) -> None:
    group.add_argument(
        "--cpus-per-task", type=cli.positive, metavar="N",
        help=f"cores (default: those of --nprocs, or {CPUS})",
    )  # fmt: skip
    group.add_argument(
        "--mem", type=cli.memory, metavar="MB",
        help="memory; K, M, G and T are understood (default: by the largest participant)",
    )  # fmt: skip
    group.add_argument(
        "--time", type=_time, metavar="TIME",
        help="minutes, or as SLURM writes it (default: by the largest participant)",
    )  # fmt: skip
    group.add_argument("--account", metavar="NAME", help="who pays")
    group.add_argument("--partition", metavar="NAME", help="where to run")
    group.add_argument(
        "--sbatch", action="append", default=[], metavar="ARGUMENT",
        help='any other argument of sbatch, such as --sbatch="--qos=long"',
    )  # fmt: skip


def _add_running(group) -> None:
    group.add_argument(
        "--max-running", type=cli.positive, metavar="N", help="tasks at the same time"
    )
    group.add_argument(
        "--script", type=Path, metavar="FILE",
        help="where the script goes (default: OUTPUT_DIR/logs/slurm/participants.sbatch)",
    )  # fmt: skip
    group.add_argument(
        "--group", action="store_true", help="join the tables in a job after all others"
    )
    group.add_argument(
        "--all", action="store_true", help="process also the participants that are done"
    )
    group.add_argument("--submit", action="store_true", help="submit it, too")


def _time(text: str) -> str:
    if not re.fullmatch(r"(\d+-)?\d+(:\d+){0,2}", text):
        raise argparse.ArgumentTypeError(f"{text} is no time, such as 90 (minutes) or 1-12:00:00")
    return text


@dataclass(frozen=True)
class Study:
    """
    One protocol on a dataset.

    Parameters
    ----------
    request
        What is asked for, with the atlas known by its content.
    atlas
        The atlas.
    plan
        What can be done.
    """

    request: Request
    atlas: Atlas | None
    plan: Plan

    @property
    def heads(self) -> int:
        """How many heads an atlas has."""
        return len(self.atlas.members) if self.atlas else 0

    @cached_property
    def by_participant(self) -> dict[str, list[Acquisition]]:
        """What there is to do, by the label of the participant."""
        found: dict[str, list[Acquisition]] = {}
        for acquisition in self.plan.acquisitions:
            found.setdefault(acquisition.participant, []).append(acquisition)
        return found

    @cached_property
    def through(self) -> dict[str, Longitudinal]:
        """Whose sessions are brought together, by the label of the participant."""
        return {one.participant: one for one in longitudinal_of(self.request, self.plan)}

    @cached_property
    def finished(self) -> set[str]:
        """Participants of whom everything is there; one output folder holds one protocol."""
        rows = read_status(self.request.out_dir)
        done = {row.identity for row in rows if row.status == "done"}
        parts: list[Acquisition | Longitudinal] = [
            *self.plan.acquisitions, *self.through.values(),
        ]  # fmt: skip
        left = [p for p in parts if StatusRow.named(p.key, "done").identity not in done]
        return self.by_participant.keys() - {part.participant for part in left}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and return its exit status."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    own = parser().parse_args(arguments[:cut])
    theirs = arguments[cut + 1 :]
    head = [str(own.bids_dir), str(own.output_dir), "participant"]
    options = cli.parser().parse_args([*head, *theirs])
    try:
        command = shlex.join(["qsmprep-slurm", *arguments])
        return prepare(own, options, theirs, command)
    except QSMPrepError as error:
        print(f"qsmprep-slurm: error: {error}", file=sys.stderr)
        return 2


def prepare(
    own: argparse.Namespace, options: argparse.Namespace, theirs: Sequence[str], command: str
) -> int:
    """Write the scripts, say what was found, submit if that is asked for; return the status."""
    _check(own, options)
    studies = [_study(request) for request in cli.requests_of(options, command)]
    everybody = sorted({label for study in studies for label in study.by_participant})
    for line in _left_out(studies):
        print(line)
    if not everybody:
        raise RequestError(f"{own.bids_dir}: there is nobody to process")
    left = {label for s in studies for label in s.by_participant if label not in s.finished}
    names = everybody if own.all else sorted(left)
    plural = "s" * (len(names) != 1)
    print(f"{len(names)} participant{plural} to process, {len(everybody) - len(left)} done before")
    if not names and not own.group:
        return 0
    logs = own.output_dir.absolute() / "logs/slurm"
    job = _job(own, options, studies, logs, command)
    group = _write_group(job, studies, logs) if own.group else None
    script = own.script.absolute() if own.script else logs / "participants.sbatch"
    if names:
        text = _array(own, options, theirs, studies, names, job)
        _write(script, text)
        for study in studies:  # of whom no job will tell
            absent = [r for r in skipped_rows(study.plan) if _label(r) not in everybody]
            if absent:
                update_status(study.request.out_dir, absent)
    calls = _calls(script, len(names), own.max_running)
    return (submit if own.submit else tell)(calls, group)


def _check(own: argparse.Namespace, options: argparse.Namespace) -> None:
    """Refuse what cannot be meant, before the dataset is read."""
    for name in ("dry_run", "reports_only", "boilerplate_only"):
        if getattr(options, name):
            raise RequestError(f"--{name.replace('_', '-')}: is nothing for jobs; call qsmprep")
    if options.clean_workdir:
        raise RequestError(
            "--clean-workdir: would take from each job what the others are working on; "
            "give another work folder by -w"
        )
    if own.image and own.command:
        raise RequestError("--command: does not go with --image; give one of them")
    inside = container().get("Type")
    if own.image and not inside and "://" not in own.image and not Path(own.image).exists():
        raise RequestError(f"--image {own.image}: there is no such file")
    if inside == "docker" and not (own.image or own.command):
        raise RequestError("--image: name the image that the jobs are to start qsmprep in")
    if own.submit and shutil.which("sbatch") is None:
        raise RequestError(
            "--submit: there is no sbatch here; leave it out, and submit the script where SLURM is"
        )


def _study(request: Request) -> Study:
    from qsmprep.run import make_plan

    request, atlas = resolve(request)
    check_output_dir(request.out_dir, request.bids_dir, request.protocol.digest())
    return Study(request, atlas, make_plan(request))


def _left_out(studies: Sequence[Study]) -> list[str]:
    """Return a line for every acquisition or participant that cannot be processed."""
    rows = {row.identity: row for study in studies for row in skipped_rows(study.plan)}
    lines = []
    for row in rows.values():
        name = "_".join(part for part in row.identity if part != "n/a")
        lines.append(f"{name}: skipped: {row.reason}")
    return lines


def _label(row: StatusRow) -> str:
    return row.participant_id.removeprefix("sub-")


def _job(
    own: argparse.Namespace,
    options: argparse.Namespace,
    studies: Sequence[Study],
    logs: Path,
    command: str,
) -> Job:
    """Return what all scripts have in common."""
    given = [("account", own.account), ("partition", own.partition)]
    directives = [f"#SBATCH --{name}={shlex.quote(value)}" for name, value in given if value]
    return Job(
        about=f"Written by qsmprep-slurm {qsmprep.__version__}: {' '.join(command.split())}",
        program=_program(own, options, [study.request for study in studies]),
        folder=Path.cwd(),
        work_dir=options.work_dir.absolute(),
        logs=logs,
        directives=[*directives, *(f"#SBATCH {argument}" for argument in own.sbatch)],
        setup=own.setup,
    )


def _program(
    own: argparse.Namespace, options: argparse.Namespace, requests: Sequence[Request]
) -> list[str]:
    """Return the words that start qsmprep on a node."""
    if own.command:
        return shlex.split(own.command)
    image = own.image
    for name in ("APPTAINER_CONTAINER", "SINGULARITY_CONTAINER"):
        image = image or os.environ.get(name)
    if not image:
        script = Path(sys.executable).with_name("qsmprep")
        return [str(script)] if script.exists() else [sys.executable, "-m", "qsmprep.cli"]
    templates = os.environ.get("TEMPLATEFLOW_HOME")
    known = [Path(templates).absolute()] if templates and Path(templates).is_dir() else []
    return in_apptainer(
        image if "://" in image else str(Path(image).absolute()),
        binds(options, requests, known),
        environment=[f"TEMPLATEFLOW_HOME={folder}" for folder in known],
        gpu=options.device == "cuda",
    )


def _array(
    own: argparse.Namespace,
    options: argparse.Namespace,
    theirs: Sequence[str],
    studies: Sequence[Study],
    names: Sequence[str],
    job: Job,
) -> str:
    """Return the script of the array, and say what each task asks for."""
    threads = options.omp_nthreads or 1
    cpus = own.cpus_per_task or (options.nprocs * threads if options.nprocs else CPUS)
    nprocs = options.nprocs or max(cpus // threads, 1)
    mem_mb, minutes = _cost(studies, names, nprocs)
    mem_mb = own.mem or 100 * math.ceil((options.mem_mb or mem_mb) / SPARE / 100)
    time = own.time or str(minutes)
    print(
        f"each task: {cpus} core{'s' * (cpus != 1)}, --mem={mem_mb}M, --time={time}"
        + ("" if own.mem and own.time else ", by the largest participant")
    )
    arguments = [
        *absolute(theirs, options, [study.request for study in studies]),
        *("-w", str(options.work_dir.absolute())),
        *(() if options.nprocs else ("--nprocs", str(nprocs))),
        *(() if options.mem_mb else ("--mem-mb", str(int(SPARE * mem_mb)))),
    ]
    folders = (str(own.bids_dir.absolute()), str(own.output_dir.absolute()))
    return array_script(
        job,
        [f"sub-{name}" for name in names],
        [*folders, "participant", *arguments],
        cpus=cpus,
        mem_mb=mem_mb,
        time=time,
        at_once=own.max_running,
        most=ARRAY_LIMIT,
    )


def _cost(studies: Sequence[Study], names: Sequence[str], nprocs: int) -> tuple[int, int]:
    """Return memory (MB) and minutes of the largest participant, protocol after protocol."""
    from qsmprep.workflows.cost import job_cost

    mem_mb = minutes = 0
    for name in names:
        costs = [
            job_cost(
                study.by_participant[name],
                study.request.protocol,
                heads=study.heads,
                nprocs=nprocs,
                through=[study.through[name]] if name in study.through else [],
            )
            for study in studies
            if name in study.by_participant
        ]
        mem_mb = max(mem_mb, *(cost.mem_mb for cost in costs))
        minutes = max(minutes, sum(cost.minutes for cost in costs))
    return mem_mb, minutes


def _write_group(job: Job, studies: Sequence[Study], logs: Path) -> Path:
    commands = [
        [str(study.request.bids_dir), str(study.request.out_dir), "group"] for study in studies
    ]
    return _write(logs / "group.sbatch", group_script(job, commands))


def _write(path: Path, text: str) -> Path:
    try:
        return atomic_write_text(path, text)
    except OSError as error:
        raise RequestError(f"{path}: cannot be written ({error.strerror})") from error


def _calls(script: Path, count: int, at_once: int | None) -> list[list[str]]:
    """Return the arguments of sbatch for each array that the tasks make."""
    calls = [[str(script)]] if count else []
    for first in range(ARRAY_LIMIT, count, ARRAY_LIMIT):
        # The script has the tasks of the first array; the others begin further down its list.
        last = min(count - first, ARRAY_LIMIT) - 1
        tasks = f"--array=0-{last}" + (f"%{at_once}" if at_once else "")
        calls.append([tasks, str(script), str(first)])
    return calls


if __name__ == "__main__":
    sys.exit(main())
