"""What can be found wrong before a single voxel is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
import filecmp
from itertools import combinations, pairwise
import math
from pathlib import Path

from qsmprep.bids.headers import Header, grid_difference, read_header
from qsmprep.bids.models import Fault
from qsmprep.units import GAMMA_HZ_PER_T

PAIRS = (("mag", "phase"), ("real", "imag"))
"""Parts that make a complex image, preferred first."""

B0_RANGE_T = (0.1, 12.0)
"""Field strengths of scanners for humans."""

B0_TOLERANCE_T = 0.05
"""By how much the files of one acquisition may differ: 2.89 and 2.9 are the same magnet."""

ECHO_TIME_TOLERANCE_S = 1e-5
"""By how much the parts of one echo may differ: converters round."""

LARGEST = 1e9
"""No echo time, field strength or frequency is as large, in whatever unit."""

_SAMPLE_BYTES = 4096

Parts = dict[str, tuple["Image", ...]]


@dataclass(frozen=True)
class Image:
    """An image file with what its name and its sidecars say."""

    path: Path
    entities: Mapping[str, str]
    suffix: str
    metadata: Mapping[str, object]


@dataclass(frozen=True)
class Echoes:
    """The files of an acquisition in order, and what the physics needs to know about them."""

    parts: Parts
    echo_times: tuple[float, ...]
    b0: float
    notes: tuple[str, ...]


def check_echoes(images: Sequence[Image]) -> tuple[Echoes | None, list[Fault]]:
    """Return the images of one acquisition in order, or None and all that is wrong with them."""
    parts, notes, faults = sort_parts(images)
    if not parts:
        return None, faults
    used = [image for part in parts.values() for image in part]
    echo_times, time_faults = read_echo_times(list(zip(*parts.values(), strict=True)))
    b0, b0_notes, b0_faults = read_field_strength(used)
    faults += time_faults + b0_faults
    n_volumes = len(echo_times) if len(used) == len(parts) else 1
    faults += check_grids([image.path for image in used], n_volumes if echo_times else None)
    if not faults:
        faults += find_copies(used)
    if faults:
        return None, faults
    return Echoes(parts, echo_times, b0, (*notes, *b0_notes)), []


def sort_parts(images: Sequence[Image]) -> tuple[Parts, list[str], list[Fault]]:
    """Return the files of either pair of parts in the order of the echoes, and notes."""
    found, faults = _by_part_and_echo(images)
    if faults:
        return {}, [], faults
    pair = next((pair for pair in PAIRS if found.keys() >= set(pair)), None)
    if pair is None:
        return {}, [], [_incomplete(found, images[0].path)]
    chosen = {part: found[part] for part in pair}
    if faults := list(_missing_echoes(chosen)):
        return {}, [], faults
    parts = {part: tuple(slot[echo] for echo in sorted(slot)) for part, slot in chosen.items()}
    unused = " and ".join(f"part-{part}" for part in found if part not in pair)
    notes = [f"{unused} beside part-{pair[0]} and part-{pair[1]}: not used"] if unused else []
    return parts, notes, []


def _by_part_and_echo(
    images: Sequence[Image],
) -> tuple[dict[str, dict[int, Image]], list[Fault]]:
    found: dict[str, dict[int, Image]] = {}
    faults = []
    for image in images:
        # BIDS: an image of a part that is not named is a magnitude.
        part, echo = image.entities.get("part", "mag"), image.entities.get("echo", "1")
        slot = found.setdefault(part, {})
        if not echo.isdecimal():
            faults.append(Fault(image.path, f"echo-{echo} is not a number", "rename it"))
        elif other := slot.get(int(echo)):
            fact = f"is a second file for echo {int(echo)} beside {other.path.name}"
            faults.append(Fault(image.path, fact, "keep one of the two"))
        else:
            slot[int(echo)] = image
    return found, faults


def _incomplete(found: Mapping[str, Mapping[int, Image]], path: Path) -> Fault:
    if "phase" in found:
        return Fault(path, "phase without magnitude", "add the part-mag images")
    if "real" in found:
        return Fault(path, "real part without imaginary part", "add the part-imag images")
    if "imag" in found:
        return Fault(path, "imaginary part without real part", "add the part-real images")
    return Fault(
        path, "no phase", "add the part-phase images: magnitudes alone hold no susceptibility"
    )


def _missing_echoes(chosen: Mapping[str, Mapping[int, Image]]) -> Iterator[Fault]:
    last = max(max(slot) for slot in chosen.values())
    for part, slot in chosen.items():
        missing = sorted(set(range(1, last + 1)) - slot.keys())
        if missing:
            numbers = ", ".join(map(str, missing))
            fact = f"echo {numbers} of part-{part} is missing beside this file"
            yield Fault(slot[min(slot)].path, fact, "add it, or renumber the echoes from 1")


def read_echo_times(
    echoes: Sequence[Sequence[Image]],
) -> tuple[tuple[float, ...], list[Fault]]:
    """Return the echo times, s, of echoes given as their files, or faults."""
    times: list[float] = []
    faults: list[Fault] = []
    for images in echoes:
        stated = [
            (image.path, image.metadata["EchoTime"])
            for image in images
            if "EchoTime" in image.metadata
        ]
        if not stated:
            fact, remedy = "no EchoTime in its sidecar", "add it there, in seconds"
            faults.append(Fault(images[-1].path, fact, remedy))
            continue
        values = [_numbers(value) for _, value in stated]
        if not all(values):
            path, value = next(s for s, numbers in zip(stated, values, strict=True) if not numbers)
            fact = f"EchoTime {_brief(value)} is not a number, nor a list of numbers"
            faults.append(Fault(path, fact, "give it in seconds"))
        elif not all(_same(values[0], other) for other in values):
            fact = f"its EchoTime differs from that of {stated[0][0].name}"
            faults.append(Fault(stated[-1][0], fact, "correct the sidecar that is wrong"))
        elif len(echoes) > 1 and len(values[0]) > 1:
            fact = f"{len(values[0])} values of EchoTime for one echo"
            faults.append(
                Fault(stated[0][0], fact, "give one value, or one 4D file of all echoes")
            )
        else:
            times += values[0]
    if not faults:
        faults += _implausible_times(times, echoes[0][-1].path)
    return (() if faults else tuple(times)), faults


def _numbers(value: object) -> tuple[float, ...]:
    values = [_number(item) for item in (value if isinstance(value, list) else [value])]
    return tuple(number for number in values if number is not None) if None not in values else ()


def _number(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    # JSON has numbers of any length, and Python's reads NaN.
    return float(value) if abs(value) < LARGEST else None


def _brief(value: object) -> str:
    return text if len(text := repr(value)) < 40 else f"{text[:36]}..."


def _same(one: Sequence[float], other: Sequence[float]) -> bool:
    return len(one) == len(other) and all(
        abs(a - b) <= ECHO_TIME_TOLERANCE_S for a, b in zip(one, other, strict=True)
    )


def _implausible_times(times: Sequence[float], path: Path) -> Iterator[Fault]:
    listed = ", ".join(f"{time:g}" for time in times)
    if not all(math.isfinite(time) and time > 0 for time in times):
        yield Fault(path, f"EchoTime {listed} is not positive", "correct the sidecar")
    elif max(times) > 1:
        yield Fault(
            path,
            f"EchoTime {listed} looks like milliseconds, BIDS wants seconds",
            "divide by 1000 in the sidecar",
        )
    elif any(after - before <= ECHO_TIME_TOLERANCE_S for before, after in pairwise(times)):
        yield Fault(
            path,
            f"EchoTime {listed} s does not increase from echo to echo",
            "correct the sidecars",
        )


def read_field_strength(images: Sequence[Image]) -> tuple[float, list[str], list[Fault]]:
    """Return the field strength, T, that the sidecars of an acquisition agree on, and notes."""
    notes = []
    name = "MagneticFieldStrength"
    stated = [(i.path, i.metadata[name]) for i in images if name in i.metadata]
    if not stated:
        stated = [(i.path, _b0_of_frequency(i.metadata.get("ImagingFrequency"))) for i in images]
        stated = [(path, b0) for path, b0 in stated if b0 is not None]
        notes = ["the field strength was taken from ImagingFrequency"]
    if not stated:
        fault = Fault(images[-1].path, f"no {name} in its sidecar", "add it there, in tesla")
        return math.nan, [], [fault]
    values = []
    for path, value in stated:
        b0 = _number(value)
        if b0 is None or not B0_RANGE_T[0] <= b0 <= B0_RANGE_T[1]:
            fact = f"{name} is {_brief(value)}{_guess_unit(b0)}"
            return math.nan, [], [Fault(path, fact, "give it in tesla")]
        values.append(b0)
        if abs(b0 - values[0]) > B0_TOLERANCE_T:
            fact = f"its field strength, {b0:g} T, differs from that of {stated[0][0].name}"
            return math.nan, [], [Fault(path, fact, "correct the sidecar that is wrong")]
    return values[0], notes, []


def _b0_of_frequency(value: object) -> float | None:
    """Return the field, T, of an imaging frequency in MHz, if it is one."""
    frequency = _number(value)
    b0 = None if frequency is None else frequency * 1e6 / GAMMA_HZ_PER_T
    return b0 if b0 is not None and B0_RANGE_T[0] <= b0 <= B0_RANGE_T[1] else None


def _guess_unit(value: float | None) -> str:
    if value is None or not B0_RANGE_T[1] < value < 2e5:
        return ""
    units = ((1e3, "a frequency in MHz"), (1e3 * B0_RANGE_T[1], "millitesla"), (2e5, "gauss"))
    return ", which looks like " + next(unit for limit, unit in units if value < limit)


def check_grids(paths: Sequence[Path], n_volumes: int | None) -> list[Fault]:
    """Return what is wrong with headers: each for itself, and each against the first."""
    faults: list[Fault] = []
    headers: list[Header] = []
    for path in paths:
        header, problems = read_header(path, n_volumes)
        faults += problems
        if header is not None:
            headers.append(header)
    for header in headers[1:]:
        difference = grid_difference(headers[0], header)
        if difference:
            remedy = "convert both again from the same series, without resampling"
            faults.append(Fault(header.path, difference, remedy))
    return faults


def find_copies(images: Sequence[Image]) -> list[Fault]:
    """Return a fault for each file that has, byte by byte, the content of another."""
    samples: dict[tuple[int, bytes], list[Path]] = {}
    for image in images:
        samples.setdefault(_sample(image.path), []).append(image.path)
    faults: dict[Path, Fault] = {}
    for alike in samples.values():
        for original, copy in combinations(alike, 2):
            if copy not in faults and filecmp.cmp(original, copy, shallow=False):
                fact = f"is a copy of {original.name}"
                faults[copy] = Fault(copy, fact, "convert the series again")
    return list(faults.values())


def _sample(path: Path) -> tuple[int, bytes]:
    """Return size and some bytes of a file, which tell nearly all pairs of files apart."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(size // 2)  # begins with a header and with air
        return size, file.read(_SAMPLE_BYTES)
