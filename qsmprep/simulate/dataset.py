"""Writes simulated heads as BIDS datasets, with the truth as a derivative."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from qsmprep import __version__
from qsmprep.errors import RequestError
from qsmprep.simulate.acquisition import (
    FLIP_DEG,
    STILL,
    Acquisition,
    SessionSpec,
    acquire,
    moved_head,
    noise_seed,
)
from qsmprep.simulate.anatomy import FIRST_OUTSIDE
from qsmprep.simulate.codings import CODINGS, Coded, encode
from qsmprep.simulate.head import Head, check_changes, make_head
from qsmprep.simulate.lesion_files import (
    start_lesions,
    write_flair,
    write_lesion_truth,
    write_mask,
)
from qsmprep.simulate.lesions import CHANGE, Lesions, Planted, check_lesions, plant
from qsmprep.simulate.truth import lookup_table, save, start_truth, write_json, write_truth

T1W_NOISE = 15.0
"""Noise of a T1w image in which white matter is near 950."""

README = """Simulated multi-echo gradient-echo images

Digital heads made by qsmprep-simulate {version}: the cortex is that of the MNI152 template bundled
with nilearn; deep nuclei, ventricles, veins, skull, sinuses and the air of the ears are smooth
shapes; every participant is a smooth deformation of it. No person was scanned.

Phase is that of the field of the whole head after a second-order shim, with receive phase and
noise; the true susceptibilities, labels and fields lie in `derivatives/truth`.
"""


@dataclass(frozen=True)
class ParticipantSpec:
    """
    One participant.

    Parameters
    ----------
    label
        Participant label, without ``sub-``.
    seed
        Picks the anatomy.
    sessions
        What is acquired, in order; several acquisitions may share a session label.
    lesions
        Lesions, or none. With them there are a FLAIR image and masks.
    """

    label: str
    seed: int
    sessions: tuple[SessionSpec, ...] = (SessionSpec(),)
    lesions: Lesions = ()


def write_dataset(
    out_dir: Path, participants: Sequence[ParticipantSpec], *, resolution: float = 1.0
) -> list[Path]:
    """
    Write a BIDS dataset of simulated heads with known truth.

    Parameters
    ----------
    out_dir
        Folder of the dataset, new or empty.
    participants
        Who is simulated, and how they are scanned.
    resolution
        Edge of a voxel of the head inside the simulation, and of the T1w images, mm.

    Returns
    -------
    paths
        The image files that were written.
    """
    out_dir = Path(out_dir)
    _check(out_dir, participants, resolution)
    _write_top_level(out_dir, participants)
    truth_dir = out_dir / "derivatives" / "truth"
    with_lesions = any(participant.lesions for participant in participants)
    start_truth(truth_dir, ["*_lesions.tsv"] if with_lesions else [])
    lesions_dir = out_dir / "derivatives" / "lesions"
    if with_lesions:
        start_lesions(lesions_dir)
    written = []
    for participant in participants:
        for session, head, acquisition, planted in _scan(participant, resolution):
            whose = _prefix(participant, replace(session, acq=None))
            stem = Path(*whose.split("_"), "anat")
            t1w = out_dir / stem / f"{whose}_T1w.nii.gz"
            if not t1w.exists():
                seen = moved_head(head, session.t1w_motion)
                _write_t1w(t1w, seen, session, seed=participant.seed)
                written.append(t1w)
                if participant.lesions:
                    flair = t1w.with_name(f"{whose}_FLAIR.nii.gz")
                    own = session.flair_motion not in (STILL, session.t1w_motion)
                    seen = moved_head(head, session.flair_motion) if own else seen
                    write_flair(flair, seen, session, seed=participant.seed)
                    space = "FLAIR" if own else "T1w"
                    write_mask(lesions_dir / stem / whose, seen, space)
                    written.append(flair)
            prefix = _prefix(participant, session)
            written += _write_echoes(out_dir / stem / prefix, acquisition, session)
            settings = asdict(session) | {"seed": participant.seed, "resolution": resolution}
            written += write_truth(truth_dir / stem / prefix, acquisition, head, settings)
            if participant.lesions:
                written += write_lesion_truth(truth_dir / stem / prefix, acquisition, planted)
    return written


def write_atlas(out_dir: Path, *, resolution: float = 1.0) -> None:
    """
    Write the undeformed head as an atlas with a single template.

    Parameters
    ----------
    out_dir
        Folder of the atlas.
    resolution
        Edge of a voxel, mm.
    """
    out_dir = Path(out_dir)
    head = make_head(seed=None, resolution=resolution)
    box = _box(head.brain, head.affine, 6.0)
    affine = _moved(head.affine, box)
    labels = np.where(head.labels < FIRST_OUTSIDE, head.labels, 0)
    stem = out_dir / "tpl-simulated" / "anat" / "tpl-simulated"
    t1w = np.where(head.brain, head.t1w, 0)
    save(np.rint(t1w[box]).astype("i2"), affine, f"{stem}_T1w.nii.gz")
    write_json(Path(f"{stem}_T1w.json"), {"SkullStripped": True})
    chi = np.where(head.brain, head.chi, 0).astype("f4")
    save(chi[box], affine, f"{stem}_Chimap.nii.gz")
    write_json(Path(f"{stem}_Chimap.json"), {"Units": "ppm", "SkullStripped": True})
    save(labels[box].astype("i2"), affine, f"{stem}_dseg.nii.gz")
    lookup_table().to_csv(out_dir / "atlas-simulated_dseg.tsv", sep="\t", index=False)
    write_json(
        out_dir / "dataset_description.json",
        _description(
            "qsmprep simulator",
            "derivative",
            License="CC0 for the labels; the T1w template is ICBM's, as nilearn bundles it",
        ),
    )


def _prefix(participant: ParticipantSpec, session: SessionSpec) -> str:
    """First entities of the file names."""
    entities = {"sub": participant.label, "ses": session.label, "acq": session.acq}
    return "_".join(f"{key}-{value}" for key, value in entities.items() if value)


def _check(out_dir: Path, participants: Sequence[ParticipantSpec], resolution: float) -> None:
    if out_dir.exists() and any(out_dir.iterdir()):
        raise RequestError(f"{out_dir} is not empty; name a new folder")
    if not 0.5 <= resolution <= 6:
        raise RequestError(f"a head cannot be drawn on {resolution:g} mm; choose 0.5 to 6 mm")
    labels = [participant.label for participant in participants]
    if len(set(labels)) < len(labels):
        raise RequestError("participants must differ in their labels")
    for participant in participants:
        names = [(session.label, session.acq) for session in participant.sessions]
        if len(set(names)) < len(names):
            raise RequestError(
                f"acquisitions of sub-{participant.label} must differ in session or acq"
            )
        for word in [participant.label, *(w for pair in names for w in pair if w)]:
            if not word.isalnum():
                raise RequestError(f"label {word} must be letters and digits only")
        check_lesions(participant.lesions)
        for session in participant.sessions:
            _check_session(session, lesions=bool(participant.lesions))


def _check_session(session: SessionSpec, *, lesions: bool) -> None:
    check_changes(_of_regions(session) if lesions else session.changes)
    if not all(0 < te < 1 for te in session.echo_times):
        raise RequestError(f"echo times {session.echo_times} must be in seconds, below 1")
    if session.coding not in CODINGS:
        raise RequestError(f"no phase coding {session.coding}; choose from {', '.join(CODINGS)}")
    if session.layout not in ("per-echo", "4D"):
        raise RequestError(f"no layout {session.layout}; choose from per-echo, 4D")


def _of_regions(session: SessionSpec) -> dict[str, float]:
    """Return the changes that are not those of lesions."""
    return {name: ppb for name, ppb in session.changes.items() if name != CHANGE}


def _scan(
    participant: ParticipantSpec, resolution: float
) -> Iterator[tuple[SessionSpec, Head, Acquisition, tuple[Planted, ...]]]:
    """Yield what each acquisition sees; those that differ in storage only share their signal."""
    head, state = None, None
    planted: tuple[Planted, ...] = ()
    acquisition, settings = None, None
    for session in participant.sessions:
        now = (session.changes, session.label if participant.lesions else None)
        if head is None or now != state:
            state = now
            changes = _of_regions(session)
            head = make_head(seed=participant.seed, resolution=resolution, changes=changes)
            if participant.lesions:
                head, planted = plant(
                    head,
                    participant.lesions,
                    seed=participant.seed,
                    session=session.label,
                    change=session.changes.get(CHANGE, 0.0),
                )
        physics = replace(session, coding="", acq=None, layout="", suffix="", skull=True)
        if acquisition is None or physics != settings:
            settings = physics
            acquisition = acquire(head, session, seed=participant.seed)
        yield session, head, acquisition, planted


def _description(name: str, kind: str, **more) -> dict:
    return {
        "Name": name,
        "BIDSVersion": "1.10.0",
        "DatasetType": kind,
        "GeneratedBy": [{"Name": "qsmprep-simulate", "Version": __version__}],
        **more,
    }


def _write_top_level(out_dir: Path, participants: Sequence[ParticipantSpec]) -> None:
    out_dir.mkdir(parents=True, exist_ok=True)
    write_json(
        out_dir / "dataset_description.json",
        _description("Simulated heads", "raw", License="CC0", Authors=["qsmprep-simulate"]),
    )
    (out_dir / "README").write_text(README.format(version=__version__))
    if patterns := [*_not_bids(participants)]:
        (out_dir / ".bidsignore").write_text("\n".join(patterns) + "\n")
    rows = ["participant_id\tage\tsex"]
    for participant in participants:
        rng = np.random.default_rng(participant.seed)
        rows.append(f"sub-{participant.label}\t{rng.integers(55, 81)}\t{rng.choice(['F', 'M'])}")
    (out_dir / "participants.tsv").write_text("\n".join(rows) + "\n")
    write_json(
        out_dir / "participants.json",
        {
            "age": {"Description": "Age, drawn at random", "Units": "year"},
            "sex": {"Description": "Sex, drawn at random", "Levels": {"F": "female", "M": "male"}},
        },
    )


def _not_bids(participants: Sequence[ParticipantSpec]) -> Iterator[str]:
    """Yield patterns of files that converters write and the standard does not know."""
    for participant in participants:
        for session in participant.sessions:
            if session.layout == "4D":
                yield f"{_prefix(participant, session)}_part-*_{session.suffix}.*"
            elif session.suffix not in ("MEGRE", "T2starw"):
                yield f"{_prefix(participant, session)}_echo-*_{session.suffix}.*"


def _box(where, affine, margin_mm: float) -> tuple[slice, ...]:
    """Smallest box of voxels around a mask, with a margin."""
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    voxels = np.argwhere(where)
    low = np.maximum(voxels.min(axis=0) - np.ceil(margin_mm / edges), 0).astype(int)
    high = (voxels.max(axis=0) + np.ceil(margin_mm / edges)).astype(int) + 1
    return tuple(slice(a, b) for a, b in zip(low, high, strict=True))


def _moved(affine, box: tuple[slice, ...]):
    """Affine of a volume that is cut to a box."""
    cut = affine.copy()
    cut[:3, 3] += affine[:3, :3] @ [s.start for s in box]
    return cut


def _write_t1w(path: Path, head: Head, session: SessionSpec, *, seed: int) -> None:
    rng = np.random.default_rng(noise_seed(seed, session, "T1w"))
    noise = T1W_NOISE * rng.standard_normal((2, *head.t1w.shape), dtype="f4")
    t1w, affine = np.hypot(head.t1w + noise[0], noise[1]), head.affine
    if not session.skull:
        box = _box(head.brain, affine, 8.0)
        t1w, affine = np.where(head.brain, t1w, 0)[box], _moved(affine, box)
    save(np.rint(t1w).astype("i2"), affine, path)
    write_json(
        path.with_name(path.name.replace(".nii.gz", ".json")),
        {
            "MagneticFieldStrength": session.b0,
            "RepetitionTime": 2.3,
            "EchoTime": 0.003,
            "InversionTime": 0.9,
            "FlipAngle": 9,
            "Manufacturer": "Simulated",
            "ManufacturersModelName": "Simulated",
            "SkullStripped": not session.skull,
        },
    )


def _write_echoes(prefix: Path, acquisition: Acquisition, session: SessionSpec) -> list[Path]:
    """Write all echoes of an acquisition; `prefix` is the folder with the first entities."""
    written = []
    for part, coded in encode(acquisition.signal, session.coding).items():
        ending = f"part-{part}_{session.suffix}.nii.gz"
        if session.layout == "4D":
            times: dict = {"EchoTime": list(session.echo_times)}
            files = [(ending, np.moveaxis(coded.values, 0, -1), times)]
        else:
            files = [
                (f"echo-{i}_{ending}", volume, {"EchoTime": te, "EchoNumber": i})
                for i, (te, volume) in enumerate(
                    zip(session.echo_times, coded.values, strict=True), start=1
                )
            ]
        for name, volume, times in files:
            path = prefix.with_name(f"{prefix.name}_{name}")
            save(volume, acquisition.affine, path, scaling=coded.scaling)
            _write_sidecar(path, session, coded, times)
            written.append(path)
    return written


def _write_sidecar(path: Path, session: SessionSpec, coded: Coded, times: dict) -> None:
    sidecar = {
        **times,
        "MagneticFieldStrength": session.b0,
        "RepetitionTime": session.repetition_time,
        "FlipAngle": FLIP_DEG,
        "MRAcquisitionType": "3D",
        "Manufacturer": "GE" if session.coding.startswith("real-imag") else "Siemens",
        "ManufacturersModelName": "Simulated",
    }
    if coded.units:
        sidecar["Units"] = coded.units
    write_json(path.with_name(path.name.replace(".nii.gz", ".json")), sidecar)
