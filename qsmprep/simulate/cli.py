"""The command ``qsmprep-simulate``: BIDS datasets of digital heads with known truth."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
import sys
from typing import Any

from qsmprep import __version__
from qsmprep.errors import QSMPrepError, RequestError
from qsmprep.simulate.acquisition import SessionSpec
from qsmprep.simulate.codings import CODINGS
from qsmprep.simulate.dataset import ParticipantSpec, write_atlas, write_dataset
from qsmprep.simulate.lesions import CHANGE, SOLID_AND_SHELL, LesionMask

PRESETS = {
    "single": "participants and sessions alike, each with an anatomy of its own",
    "demo": "two participants, one seen again with 10 ppb more in the putamen; three codings",
    "codings": "one acquisition stored in four codings of phase",
    "lesions": "one participant with a solid and a rim lesion, seen again with 10 ppb more",
}
OWNERS = {"participants": "single", "sessions": "single", "change": "lesions"}
"""Options that belong to one preset."""

DEMO_VOXEL = (2.0, 2.0, 2.0)
DEMO_TE = (0.005, 0.012, 0.019, 0.026)


def demo(seed: int) -> list[ParticipantSpec]:
    """Two participants in three codings; the first is seen again, with more iron."""
    first = SessionSpec(
        label="01",
        voxel_size=DEMO_VOXEL,
        tilt=(12.0, -5.0, 3.0),
        motion=(3.0, -2.0, 4.0, 2.5, -3.0, 1.5),
        echo_times=DEMO_TE,
    )
    again = replace(
        first,
        label="02",
        tilt=(6.0, 4.0, -2.0),
        motion=(-2.0, 1.0, -3.0, -1.0, 2.0, 3.0),
        coding="real-imag-inverted",
        changes={"putamen": 10.0},
    )
    other = replace(first, label=None, tilt=(-8.0, 3.0, 4.0), coding="sint4096", skull=False)
    return [
        ParticipantSpec("01", seed, (first, again)),
        ParticipantSpec("02", seed + 1, (other,)),
    ]


def codings(seed: int) -> list[ParticipantSpec]:
    """One head, and one signal with one noise, stored in four ways."""
    session = SessionSpec(voxel_size=DEMO_VOXEL, tilt=(12.0, -5.0, 3.0), echo_times=DEMO_TE)
    names = {
        "radians": "radians",
        "sint4096": "sint4096",
        "uint4096": "uint4096",
        "realimag": "real-imag-inverted",
    }
    sessions = (replace(session, acq=acq, coding=coding) for acq, coding in names.items())
    return [ParticipantSpec("01", seed, tuple(sessions))]


def lesions(seed: int, change: float = 10.0) -> list[ParticipantSpec]:
    """One participant with lesions, whose head lies differently in every image."""
    first = SessionSpec(
        label="01",
        voxel_size=(1.0, 1.0, 1.0),
        tilt=(12.0, -5.0, 3.0),
        flair_motion=(1.5, -2.0, 1.0, 2.0, -1.5, 2.5),
        echo_times=DEMO_TE,
    )
    again = replace(
        first,
        label="02",
        motion=(-2.0, 1.0, -3.0, -1.0, 2.0, 3.0),
        t1w_motion=(3.0, 2.0, -4.0, 2.5, -3.0, 1.5),
        flair_motion=(-1.0, 2.5, -2.0, -2.0, 1.0, -1.5),
        changes={CHANGE: change},
    )
    return [ParticipantSpec("01", seed, (first, again), SOLID_AND_SHELL)]


def single(seed: int, participants: int = 1, sessions: int = 1) -> list[ParticipantSpec]:
    """Return participants that differ in their anatomy only, each seen some times."""
    labels: Sequence[str | None] = [None]
    if sessions > 1:
        labels = [f"{i + 1:02d}" for i in range(sessions)]
    return [
        ParticipantSpec(f"{i + 1:02d}", seed + i, tuple(SessionSpec(label) for label in labels))
        for i in range(participants)
    ]


def _count(text: str) -> int:
    if (count := int(text)) < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return count


def parser() -> argparse.ArgumentParser:
    """Options of the command."""
    options = argparse.ArgumentParser(prog="qsmprep-simulate", description=__doc__)
    add = options.add_argument
    add("out", type=Path, metavar="OUT", help="folder of the dataset, new or empty")
    add(
        "--preset",
        choices=PRESETS,
        default="single",
        help="; ".join(f"{name}: {what}" for name, what in PRESETS.items()),
    )
    add("--participants", type=_count, metavar="N", help="how many (preset single)")
    add("--sessions", type=_count, metavar="N", help="how many for each (preset single)")
    add("--change", type=float, metavar="PPB", help="of lesions between sessions (preset lesions)")
    add("--seed", type=int, default=1, help="anatomy of the first participant")
    add("--resolution", type=float, metavar="MM", help="grid of the head, of T1w and atlas")
    add("--voxel-size", type=float, nargs=3, metavar=("X", "Y", "Z"), help="mm")
    add("--tilt", type=float, nargs=3, metavar=("X", "Y", "Z"), help="of the slab, degrees")
    add("--echo-times", type=float, nargs="+", metavar="TE", help="s")
    add("--b0", type=float, help="T")
    add("--snr", type=float, help="of the first echo in the brain")
    add("--coding", choices=CODINGS, help="how phase is stored")
    add(
        "--lesions",
        nargs="?",
        const=SOLID_AND_SHELL,
        type=lambda text: LesionMask(Path(text)),
        metavar="MASK",
        help="plant a solid and a rim lesion, or those of a mask in MNI space",
    )
    add("--atlas", type=Path, metavar="DIR", help="default: OUT/derivatives/atlas-simulated")
    add("--version", action="version", version=f"qsmprep {__version__}")
    return options


def plan(arguments: argparse.Namespace) -> list[ParticipantSpec]:
    """Participants of the preset, with the settings that were given."""
    own = {name: value for name in OWNERS if (value := getattr(arguments, name)) is not None}
    for name in own:
        if arguments.preset != OWNERS[name]:
            raise RequestError(
                f"--{name} goes with --preset {OWNERS[name]}; {arguments.preset} has its own"
            )
    if arguments.coding and arguments.preset == "codings":
        raise RequestError("--coding does not go with --preset codings, which has its own")
    makers = {"single": single, "demo": demo, "codings": codings, "lesions": lesions}
    participants = makers[arguments.preset](arguments.seed, **own)
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name in ("voxel_size", "tilt", "echo_times", "b0", "snr", "coding")
        if (value := getattr(arguments, name)) is not None
    }
    if arguments.lesions:
        participants = [replace(p, lesions=arguments.lesions) for p in participants]
    return [
        replace(p, sessions=tuple(replace(session, **given) for session in p.sessions))
        for p in participants
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Write a dataset and the atlas that goes with it; return the exit status."""
    given = list(sys.argv[1:] if argv is None else argv)
    if given[:1] == ["cohort"]:
        from qsmprep.simulate.cohorts.cli import main as simulate_cohort

        return simulate_cohort(given[1:])
    arguments = parser().parse_args(given)
    fine = arguments.preset in ("single", "lesions")
    resolution = arguments.resolution or (1.0 if fine else 1.5)
    atlas = arguments.atlas or arguments.out / "derivatives" / "atlas-simulated"
    try:
        written = write_dataset(arguments.out, plan(arguments), resolution=resolution)
        write_atlas(atlas, resolution=resolution)
    except QSMPrepError as error:
        print(f"qsmprep-simulate: {error}", file=sys.stderr)
        return 2
    for path in written:
        print(path)
    print(atlas)
    return 0
