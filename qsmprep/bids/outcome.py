"""What became of an acquisition, judged by the files that are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from qsmprep.bids.models import Acquisition, Issue, Plan
from qsmprep.bids.outputs import expected_outputs
from qsmprep.bids.status import StatusRow
from qsmprep.bids.template import BUNDLED


def judge(
    acquisition: Acquisition,
    plan: Plan,
    out_dir: Path,
    *,
    atlas: str,
    template: str,
    crashes: Mapping[str, Sequence[str]],
    ending: str = "",
) -> StatusRow:
    """
    Return the row of an acquisition: which outputs it has, and what kept the others away.

    Parameters
    ----------
    acquisition, plan
        The acquisition, and what was found wrong before it was processed.
    out_dir
        Output folder.
    atlas
        Name of the atlas, empty if there is none.
    template
        Name of the template.
    crashes
        Sentences on what went wrong, by the part of the graph it went wrong in.
    ending
        Why the run ended early, if it did.
    """
    expected = expected_of(acquisition, atlas, template)
    missing = [path.name for path in expected if not (out_dir / path).exists()]
    reasons = [
        reason
        for part in (acquisition, acquisition.t1w if atlas else None)
        if part is not None
        for reason in crashes.get(part.name_safe, [])
    ]
    if atlas and acquisition.t1w is None:
        reasons += map(str, issues_of_t1w(plan, acquisition.participant))
    elif missing and not reasons:
        reasons.append(ending or f"{', '.join(missing)} not made")
    if not missing and not reasons:
        return StatusRow.of(acquisition, "done")
    chi = next(path.name for path in expected if path.name.endswith("_Chimap.nii.gz"))
    return StatusRow.of(
        acquisition, "failed" if chi in missing else "partial", " | ".join(reasons)
    )


def expected_of(acquisition: Acquisition, atlas: str, template: str = BUNDLED) -> list[Path]:
    """Return the outputs of an acquisition and its anatomy, below the output folder."""
    paths = expected_outputs(
        "acquisition",
        acquisition.stem,
        atlas=atlas,
        template=template,
        suffix=acquisition.suffix,
        echoes=len(acquisition.echo_times),
    )
    if atlas and acquisition.t1w:
        paths += expected_outputs(
            "anatomy",
            acquisition.t1w.stem,
            atlas=atlas,
            template=template,
            suffix="T1w",
            echoes=1,
            labelled=acquisition.labels_given is None,
        )
        paths += _expected_of_lesions(acquisition)
    return paths


def _expected_of_lesions(acquisition: Acquisition) -> list[Path]:
    given = acquisition.lesions
    if given is None:
        return []
    kinds = ["lesions", *(["flair"] if given.flair else [])]
    expected = partial(expected_outputs, atlas="", template="", suffix="", echoes=2)
    return [path for kind in kinds for path in expected(kind, acquisition.stem)]


def issues_of_t1w(plan: Plan, participant: str) -> list[Issue]:
    """Return why a participant who is processed has no T1w."""
    return [
        issue for issue in plan.warnings if issue.participant == participant and issue.key is None
    ]
