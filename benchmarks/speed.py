"""
Measure the time and the memory of every method, beside a plain transcription and the floor.

    python benchmarks/speed.py [--shape X Y Z] [--methods NAME ...] [--out FILE] [--docs]

Plain is the same algorithm as in `plain`, in double precision on the whole grid. The floor is the
time of the Fourier transforms that the method makes, each taken for one of single precision.
Results that lie in the output file are used again, so that a long run can be resumed.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
import ctypes
from datetime import date
import inspect
import math
from multiprocessing import get_context
import os
from pathlib import Path
import platform
import resource
import sys
from time import process_time
from unittest import mock

import numba
import numpy as np
import pandas as pd
from plain import PLAIN, Steps
import scipy
from subject import Subject, make_subject

from qsmprep.methods import solvers
from qsmprep.methods.background import BACKGROUND_REMOVALS
from qsmprep.methods.field import FIELD_FITS
from qsmprep.methods.inversion import INVERSIONS
from qsmprep.methods.relaxometry import RELAXOMETRY
from qsmprep.methods.unwrapping import UNWRAPPERS

SHAPES = ((160, 160, 160), (164, 205, 205), (256, 256, 176))

STAGES: dict[str, tuple[dict[str, Callable], Callable[[Subject], tuple]]] = {
    "unwrapping": (UNWRAPPERS, lambda s: (s.phase, s.magnitude, s.mask, s.te)),
    "field": (FIELD_FITS, lambda s: (s.unwrapped, s.magnitude, s.mask, s.te)),
    "background": (BACKGROUND_REMOVALS, lambda s: (s.field, s.mask, s.geometry)),
    "inversion": (INVERSIONS, lambda s: (s.local, s.mask, s.geometry)),
    "relaxometry": (RELAXOMETRY, lambda s: (s.magnitude, s.mask, s.te)),
}
"""Methods of each stage, and what they are given."""

EXTRAS: dict[str, Callable[[Subject], object]] = {
    "noise": lambda s: s.noise,
    "magnitude": lambda s: s.combined,
    "csf": lambda s: s.csf,
}
"""Arrays that some methods ask for by name."""

EVERYWHERE = "romeo, no mask"
"""The case of every voxel to be unwrapped, most of which are noise."""

WARM_UP = (32, 32, 32)

LAPS = 3
"""Iterations that a plain transcription really does; the others are taken to last as long."""

PATIENCE = 20.0
"""What takes longer, s, is done once."""

DOCS = Path(__file__).parents[1] / "docs/speed.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


class Stopwatch:
    """Processor time, with that of iterations left out."""

    def __init__(self) -> None:
        self.skipped = 0.0

    def now(self) -> float:
        """Return seconds since some moment."""
        return process_time() + self.skipped

    def laps(self, count: int) -> Iterator[int]:
        """Do as `range`, but only as far as is needed to know how long it would take."""
        starts = []
        for lap in range(min(count, LAPS)):
            starts.append(self.now())
            yield lap
        if count > LAPS:  # the first is left out: it may have memory to claim
            self.skipped += (count - LAPS) * (self.now() - starts[1]) / (LAPS - 1)


@contextmanager
def counted() -> Iterator[tuple[Counter, list[int]]]:
    """Count transforms by their shape, and the iterations of conjugate gradients."""
    shapes: Counter[tuple[int, ...]] = Counter()
    inner: list[int] = []

    def counting(transform: Callable):
        def count(x, *args, **kwargs):
            result = transform(x, *args, **kwargs)
            real = result if np.isrealobj(result) else x
            shapes[real.shape[-3:]] += math.prod(real.shape[:-3])
            return result

        return count

    def conclude(iterations: int, *rest):
        inner.append(iterations)
        return convergence(iterations, *rest)

    convergence = solvers.Convergence
    with ExitStack() as patches:
        # An inverse transform of real data ends with one along its last axis.
        for name in ("rfftn", "irfft", "irfftn", "dctn", "idctn"):
            counting_one = counting(getattr(scipy.fft, name))
            patches.enter_context(mock.patch.object(scipy.fft, name, counting_one))
        # Those by which other modules conclude are their own, so that only the solver's is seen.
        patches.enter_context(mock.patch.object(solvers, "Convergence", conclude))
        yield shapes, inner


def call(stage: str, name: str, subject: Subject) -> Callable[[], object]:
    """Return a method with its arguments, defaults left alone."""
    methods, arguments = STAGES[stage]
    method = methods[name.split(",")[0]]
    needed = [
        p.name
        for p in inspect.signature(method).parameters.values()
        if p.kind is p.KEYWORD_ONLY and p.default is p.empty
    ]
    given = list(arguments(subject))
    if name == EVERYWHERE:
        given[2] = np.ones_like(subject.mask)
    return lambda: method(*given, **{extra: EXTRAS[extra](subject) for extra in needed})


def best(function: Callable[[], object], times: int) -> float:
    """Return the shortest processor time of several, s."""
    spent = []
    for _ in range(times):
        start = process_time()
        function()
        spent.append(process_time() - start)
    return min(spent, default=math.inf)


@contextmanager
def peak() -> Iterator[dict[str, float]]:
    """Measure how far memory rises, MiB."""
    found: dict[str, float] = {}
    ctypes.CDLL(None).malloc_trim(0)  # or what is free already would be used first, unseen
    Path("/proc/self/clear_refs").write_text("5")  # forgets the former peak
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    yield found
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    found["MiB"] = max(highest - pages * os.sysconf("SC_PAGE_SIZE"), 0) / 2**20


def measure_method(stage: str, name: str, subject: Subject, repeats: int) -> dict:
    """Return what a method takes, and what its transforms alone would."""
    call(stage, name, make_subject(WARM_UP))()  # compiles
    method = call(stage, name, subject)
    start = process_time()
    with counted() as (shapes, inner), peak() as memory:
        result = method()
    first = process_time() - start
    # An array is no tuple, and a field fit returns two of them.
    parts = result if isinstance(result, tuple) else (result,)
    outer = parts[-1].iterations if isinstance(parts[-1], solvers.Convergence) else 0
    floor = 0.0
    for shape, count in shapes.items():
        volume = np.ones(shape, np.float32)
        floor += count * best(lambda volume=volume: scipy.fft.rfftn(volume), 5)
    return {
        "fft_grid": "×".join(map(str, max(shapes, key=math.prod, default=()))),
        "iterations": outer,
        "inner": " ".join(map(str, inner)),
        "ffts": shapes.total(),
        "seconds": min(first, best(method, repeats - 1 if first < PATIENCE else 0)),
        "peak_mib": memory["MiB"],
        "floor_seconds": floor or math.nan,
    }


def measure_plain(stage: str, name: str, subject: Subject, steps: Steps) -> dict:
    """Return what the plain transcription takes for as many iterations."""
    double, watch = subject.as_double(), Stopwatch()
    transcription = PLAIN[stage][name]
    transcription(make_subject(WARM_UP).as_double(), steps, Stopwatch().laps)
    with peak() as memory, np.errstate(all="ignore"):
        start = watch.now()
        transcription(double, steps, watch.laps)
        seconds = watch.now() - start
    return {"plain_seconds": seconds, "plain_mib": memory["MiB"]}


def in_child(function: Callable[..., dict], *arguments) -> dict:
    """Return what a function finds in a process of its own, where memory starts afresh."""
    receive, send = get_context("fork").Pipe(duplex=False)
    child = get_context("fork").Process(target=lambda: send.send(function(*arguments)))
    child.start()
    send.close()
    try:
        return receive.recv()
    except EOFError:  # it has said why
        sys.exit(f"{function.__name__} of {arguments[1]} failed")
    finally:
        child.join()


def measure(stage: str, name: str, subject: Subject, repeats: int) -> dict:
    """Return a row of the table."""
    row = in_child(measure_method, stage, name, subject, repeats)
    plain = {"plain_seconds": math.nan, "plain_mib": math.nan}
    if name in PLAIN[stage]:
        inner = tuple(int(n) for n in row["inner"].split())
        steps = Steps(max(row["iterations"], 1), inner, row["ffts"])
        plain = in_child(measure_plain, stage, name, subject, steps)
    return {
        "shape": "×".join(map(str, subject.mask.shape)),
        "stage": stage,
        "method": name,
        **row,
        **plain,
        "to_floor": row["seconds"] / row["floor_seconds"],
        "to_plain": row["seconds"] / plain["plain_seconds"],
    }


def cases(wanted: list[str] | None) -> list[tuple[str, str]]:
    """Return the stages and names of the methods to measure."""
    every = [
        (stage, name)
        for stage, (methods, _) in STAGES.items()
        for name in (*methods, *([EVERYWHERE] if stage == "unwrapping" else ()))
        if name != "none"
    ]
    if wanted is None:
        return every
    if unknown := set(wanted) - {name for _, name in every}:
        sys.exit(f"there is no method {', '.join(sorted(unknown))}")
    return [(stage, name) for stage, name in every if name in wanted]


def machine() -> str:
    """Describe what this runs on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), "?")
    return (
        f"{model}, one of {os.cpu_count()} cores; Python {platform.python_version()}, "
        f"NumPy {np.__version__}, SciPy {scipy.__version__}, Numba {numba.__version__}; "
        f"{date.today():%B %Y}"
    )


def markdown(table: pd.DataFrame) -> str:
    """Return the rows as a table per shape."""
    heads = (
        "stage", "method", "FFT grid", "iterations", "FFTs", "s", "peak MiB", "÷ floor",
        "plain s", "plain MiB", "÷ plain",
    )  # fmt: skip
    columns = (
        ("fft_grid", "{}"), ("steps", "{}"), ("ffts", "{:.0f}"), ("seconds", "{:.2f}"),
        ("peak_mib", "{:.0f}"), ("to_floor", "{:.2f}"), ("plain_seconds", "{:.1f}"),
        ("plain_mib", "{:.0f}"), ("to_plain", "{:.3f}"),
    )  # fmt: skip
    blocks = []
    table = table.assign(steps=[_steps(row) for _, row in table.iterrows()])
    for shape, rows in table.groupby("shape", sort=False):
        lines = [f"### {shape.replace('×', ' × ')}\n", f"| {' | '.join(heads)} |"]
        lines.append("|---|---|---|" + "--:|" * (len(heads) - 3))
        for _, row in rows.iterrows():
            cells = [
                "n/a" if row[key] == "" or row[key] != row[key] else form.format(row[key])
                for key, form in columns
            ]
            lines.append(f"| {' | '.join((row['stage'], f'`{row.method}`', *cells))} |")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _steps(row: pd.Series) -> str:
    """Return iterations, in brackets those of conjugate gradients if they are others."""
    inner = sum(int(n) for n in str(row["inner"]).split())
    outer = row["iterations"]
    return f"{outer} ({inner})" if inner not in (0, outer) else str(outer or "")


def document(text: str) -> None:
    """Put the tables into the docs."""
    page = DOCS.read_text()
    before, after = page.split(BEGIN)[0], page.split(END)[1]
    DOCS.write_text(f"{before}{BEGIN}\n\nMeasured on {machine()}.\n\n{text}\n\n{END}{after}")


def main() -> int:
    """Measure what is missing, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--shape", type=int, nargs=3, action="append", help="default: all three")
    parser.add_argument("--methods", nargs="+", metavar="NAME", help="default: all")
    parser.add_argument("--repeats", type=int, default=3, help="the best of how many times counts")
    parser.add_argument("--out", type=Path, default=Path("speed.tsv"), metavar="FILE")
    parser.add_argument("--docs", action="store_true", help=f"write the tables into {DOCS.name}")
    options = parser.parse_args()

    rows: list[dict] = []
    if options.out.exists():
        rows = pd.read_csv(
            options.out, sep="\t", keep_default_na=False, na_values="nan", dtype={"inner": str}
        ).to_dict("records")
    done = {(row["shape"], row["stage"], row["method"]) for row in rows}
    for shape in map(tuple, options.shape or SHAPES):
        label = "×".join(map(str, shape))
        missing = [c for c in cases(options.methods) if (label, *c) not in done]
        subject = make_subject(shape) if missing else None
        for stage, name in missing:
            rows.append(measure(stage, name, subject, options.repeats))
            print(pd.DataFrame(rows[-1:]).to_string(header=False), file=sys.stderr)
            pd.DataFrame(rows).to_csv(options.out, sep="\t", index=False, na_rep="nan")
    text = markdown(pd.DataFrame(rows))
    print(text)
    if options.docs:
        document(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
