"""Whether sessions that are compared were acquired alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from qsmprep.bids.models import Acquisition


def differences(acquisitions: Sequence[Acquisition]) -> tuple[str, ...]:
    """
    Return in sentences what differs between sessions besides what is looked for.

    Susceptibility depends on echo times and voxels through what each reconstruction makes of them:
    a change may be one of the scanner.

    Parameters
    ----------
    acquisitions
        One of each session.
    """
    return tuple(_differences(acquisitions))


def _differences(acquisitions: Sequence[Acquisition]) -> Iterator[str]:
    for what, describe in (
        ("echo times", _echo_times),
        ("field strengths", _field_strength),
        ("voxel sizes", _voxel_size),
    ):
        found: dict[str, list[str]] = {}
        for one in acquisitions:
            found.setdefault(describe(one), []).append(f"ses-{one.session}")
        if len(found) > 1:
            told = [f"{value} in {', '.join(sessions)}" for value, sessions in found.items()]
            yield f"{what} differ: {'; '.join(told)}"
    shared: dict[str, list[str]] = {}
    for one in acquisitions:
        if one.t1w:
            shared.setdefault(one.t1w.path.name, []).append(f"ses-{one.session}")
    for name, sessions in shared.items():
        if len(sessions) > 1:
            yield (
                f"{name} stands for {', '.join(sessions)}: it cannot show what changed in the T1w"
            )


def _echo_times(acquisition: Acquisition) -> str:
    return ", ".join(f"{1e3 * time:.4g}" for time in acquisition.echo_times) + " ms"


def _field_strength(acquisition: Acquisition) -> str:
    return f"{acquisition.b0:.2g} T"


def _voxel_size(acquisition: Acquisition) -> str:
    from qsmprep.bids.headers import read_header  # help needs no nibabel

    header, _ = read_header(acquisition.files[0], n_volumes=None)
    if header is None:
        return "unreadable"
    return "×".join(f"{edge:.3g}" for edge in header.voxel_size) + " mm"
