"""Batch scripts for SLURM: their text, and how they are submitted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
import shlex
import subprocess

from qsmprep.errors import RequestError

ARRAY = """\
#!/bin/bash
# {about}
{directives}

participants=(
{participants}
)
index=$((${{SLURM_ARRAY_TASK_ID:?is not set: submit this script by sbatch}} + ${{1:-0}}))
participant=${{participants[index]:?there are ${{#participants[@]}} participants only}}

# What the latest job of a participant tells is found by the participant's name, too.
if [ -n "${{SLURM_ARRAY_JOB_ID:-}}" ]; then
  ln -sfn "${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID.log" {logs}/"$participant.log"
fi
{setup}
# In place of this shell: qsmprep hears SLURM's signals, and its exit status is that of the task.
exec {command} \\
  --participant-label "$participant"
"""

GROUP = """\
#!/bin/bash
# {about}
{directives}

{setup}
status=0
{commands}
exit $status
"""

GROUP_MB = 4000
GROUP_MINUTES = 60
"""Joining the tables of 1,000 participants takes a part of both."""


@dataclass(frozen=True)
class Job:
    """
    What an array and the job after it have in common.

    Parameters
    ----------
    about
        Who wrote the script, by which command.
    program
        Words of the command that starts qsmprep.
    folder
        Where it starts.
    work_dir
        Where intermediate results go; the nodes make it.
    logs
        Where SLURM writes what the jobs print.
    directives
        Arguments of sbatch that all jobs take, as they are to be read.
    setup
        Lines of shell to run first.
    """

    about: str
    program: Sequence[str]
    folder: Path
    work_dir: Path
    logs: Path
    directives: Sequence[str] = ()
    setup: Sequence[str] = field(default=())


def array_script(
    job: Job,
    participants: Sequence[str],
    arguments: Sequence[str],
    *,
    cpus: int,
    mem_mb: int,
    time: str,
    at_once: int | None = None,
    most: int = 1000,
) -> str:
    """
    Return the script of an array that runs one participant per task.

    Parameters
    ----------
    job
        What it runs.
    participants
        Names, with ``sub-``.
    arguments
        Of qsmprep, without those that choose participants.
    cpus, mem_mb, time
        What each task asks for; time as SLURM writes it.
    at_once
        How many tasks may run at the same time; as many as there is room for if None.
    most
        Tasks of an array; for the others the script is submitted again.
    """
    last = min(len(participants), most) - 1
    directives = [
        _directive("job-name", "qsmprep"),
        _directive("array", f"0-{last}" + (f"%{at_once}" if at_once else "")),
        _directive("cpus-per-task", cpus),
        _directive("mem", f"{mem_mb}M"),
        _directive("time", time),
        _directive("output", f"{_escape(job.logs)}/%A_%a.log"),
        _directive("open-mode", "append"),
        # A minute to write down what is finished, before the time is over.
        _directive("signal", "B:TERM@60"),
    ]
    return ARRAY.format(
        about=job.about,
        directives=_lines([*directives, *job.directives]),
        participants=_lines(f"  {shlex.quote(name)}" for name in participants),
        logs=shlex.quote(str(job.logs)),
        setup=_setup(job),
        command=_join([*job.program, *arguments]),
    )


def group_script(job: Job, commands: Iterable[Sequence[str]]) -> str:
    """Return the script that joins the tables, for each list of arguments of qsmprep."""
    directives = [
        _directive("job-name", "qsmprep-group"),
        _directive("mem", f"{GROUP_MB}M"),
        _directive("time", GROUP_MINUTES),
        _directive("output", f"{_escape(job.logs)}/group_%j.log"),
    ]
    return GROUP.format(
        about=job.about,
        directives=_lines([*directives, *job.directives]),
        setup=_setup(job),
        commands=_lines(f"{_join([*job.program, *words])} || status=$?" for words in commands),
    )


def in_apptainer(
    image: str, binds: Sequence[tuple[Path, bool]], *, environment: Sequence[str] = (), gpu: bool
) -> list[str]:
    """
    Return the words that start qsmprep in an image.

    Parameters
    ----------
    image
        File or address of the image.
    binds
        Folders that it needs, and whether it writes there; each is found inside by its own path.
    environment
        Variables that it needs, ``NAME=VALUE``.
    gpu
        Whether it needs the graphics card.
    """
    words = ["apptainer", "run", "--cleanenv", *(["--nv"] if gpu else [])]
    for folder, writable in binds:
        words += ["-B", f"{folder}:{folder}{'' if writable else ':ro'}"]
    for variable in environment:
        words += ["--env", variable]
    return [*words, image]


def tell(calls: Sequence[Sequence[str]], group: Path | None) -> int:
    """Say how to submit what was written."""
    for call in calls:
        print(f"submit it by: {shlex.join(['sbatch', *call])}")
    if group:
        after = ["--dependency=afterany" + ":JOB" * len(calls)] if calls else []
        print(f"and then by: {shlex.join(['sbatch', *after, str(group)])}")
    return 0


def submit(calls: Sequence[Sequence[str]], group: Path | None) -> int:
    """Submit what was written, the group job to come after all others."""
    jobs = [_sbatch(call) for call in calls]
    if group:
        after = [f"--dependency=afterany:{':'.join(jobs)}"] if jobs else []
        jobs.append(_sbatch([*after, str(group)]))
    print(f"submitted: {' '.join(jobs)}")
    return 0


def _sbatch(arguments: Sequence[str]) -> str:
    """Submit a job, and return its number."""
    ended = subprocess.run(
        ["sbatch", "--parsable", *arguments], capture_output=True, text=True, check=False
    )
    if ended.returncode:
        said = " ".join(ended.stderr.split()) or f"exit status {ended.returncode}"
        raise RequestError(f"{arguments[-1]}: sbatch does not take it ({said})")
    return ended.stdout.strip().partition(";")[0]


def _directive(name: str, value: object) -> str:
    text = str(value)
    if shlex.quote(text) != text:
        text = '"' + text.replace('"', '\\"') + '"'
    return f"#SBATCH --{name}={text}"


def _escape(path: Path) -> str:
    """Return a path that SLURM takes letter by letter."""
    return str(path).replace("%", "%%")


def _setup(job: Job) -> str:
    folder, work = shlex.quote(str(job.folder)), shlex.quote(str(job.work_dir))
    return _lines([f"cd {folder} || exit", f"mkdir -p {work} || exit", *job.setup])


def _join(words: Sequence[str]) -> str:
    """Return a command with every option on a line of its own."""
    lines: list[list[str]] = [[]]
    for word in words:
        if word.startswith("-") and not word[1:2].isdigit():
            lines.append([])
        lines[-1].append(shlex.quote(word))
    return " \\\n  ".join(" ".join(line) for line in lines)


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(lines)
