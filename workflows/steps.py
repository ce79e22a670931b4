"""Which steps a job has: kind and part of the graph of each, as `cost` knows what they need."""

from __future__ import annotations

from collections.abc import Iterable

from qsmprep.bids.longitudinal import Longitudinal, Series
from qsmprep.bids.models import GivenLesions
from qsmprep.protocol import Protocol


def steps_of_maps(protocol: Protocol, echoes: int) -> Iterable[tuple[str, str]]:
    """Return kind and part of each step from echoes to susceptibility."""
    method = {name: str(stage.get("method", "")) for name, stage in protocol.stages.items()}
    yield from (
        (kind, "")
        for kind in (
            "ReadEchoes", "PhaseQuality", "TrustPhase", "FindFringes", "JudgeSign", "Reference",
            "CheckAcquisition", "MeasureQuality", "DrawMaps", "MakeSWI",
            f"FindBrain.{method['masking']}",
            f"Unwrap.{method['unwrapping']}",
            f"FitField.{method['field']}",
            f"RemoveBackground.{method['background']}",
            f"Invert.{method['inversion']}",
        )
    )  # fmt: skip
    if echoes > 1:
        yield from (
            (kind, "")
            for kind in (
                "CorrectBipolar",
                f"RemoveOffset.{method['offset']}",
                f"FitR2star.{method['relaxometry']}",
            )
        )
    if protocol.trust.two_pass:
        yield f"RemoveBackground.{method['background']}", ""
        yield f"Invert.{method['inversion']}", ""


def steps_of_anatomy(protocol: Protocol, heads: int) -> list[tuple[str, str]]:
    """Return kind and part of each step from a T1w to its labels."""
    kinds = ["TemplateFiles", "N4", "BrainMask", "SyN", "Tissues", *["ApplyTransforms"] * 3]
    steps = [(kind, "anatomy_wf") for kind in kinds] + [("AlignAtlas", "place")] * heads
    if heads:
        steps.append((f"FuseLabels.{protocol.segmentation.fusion}", "segmentation_wf"))
    return steps


def steps_of_regions(protocol: Protocol) -> list[tuple[str, str]]:
    """Return kind and part of each step that brings T1w, echoes and template together."""
    steps = [
        ("RigidToMagnitude", "coregistration_wf"),
        *[("ApplyTransforms", "coregistration_wf")] * 6,
        *[("CarryMap", "template_wf")] * 2,
        *[(kind, "") for kind in ("Reference", "RegionTable", "DrawRegions")],
        *[("ApplyTransforms", "regions_quality_wf")] * 2,
        ("MeasureRegions", "regions_quality_wf"),
    ]
    if protocol.segmentation.contrast == "hybrid":
        steps.append((f"RefineDeepNuclei.{protocol.segmentation.fusion}", ""))
    return steps


def steps_of_lesions(given: GivenLesions) -> list[tuple[str, str]]:
    """Return kind and part of each step from lesions that were drawn to their table."""
    drawn = given.images.values()
    veins = int(given.veins is not None and given.veins.space != "GRE")
    steps = [(kind, "lesions_wf") for kind in ("NumberLesions", "MeasureLesions")]
    steps += [("TakeLabels", "lesions_wf")] * (len(drawn) - 1)
    if given.flair:
        steps += [("FindBrain.bet", "flair_wf"), ("RigidToMagnitude", "flair_wf"),
                  ("ApplyTransforms", "lesions_wf")]  # fmt: skip
    labels = sum(image.space != "GRE" for image in drawn) - veins
    steps += [("CarryShare", "lesions_wf")] * veins + [("CarryLabels", "lesions_wf")] * labels
    return [*steps, ("DrawLesions", "")]


def steps_through_time(
    longitudinal: Longitudinal, protocol: Protocol, heads: int
) -> list[tuple[str, str]]:
    """Return kind and part of each step that brings the sessions of a participant together."""
    steps = [("ParticipantTemplate", "participant_template_wf")] * len(longitudinal.anatomies)
    steps += steps_of_anatomy(protocol, heads)
    if longitudinal.labelled:
        steps.append(("FuseSessions", "segmentation_wf"))
    for series in longitudinal.series:
        for acquisition in series.acquisitions:
            maps = 3 if len(acquisition.echo_times) > 1 else 2
            steps += [("CarryMap", "participant_space_wf")] * maps
            steps.append(("Reference", "participant_references_wf"))
            steps += [("RegionTable", f"participant_{of}_wf") for of in ("regions", "cores")]
        r2star = any(len(acquisition.echo_times) > 1 for acquisition in series.acquisitions)
        steps += [(kind, "common") for kind in ("CommonMask", *["MeanMap"] * (1 + r2star))]
        if series.lesions:
            steps += _steps_of_lesion_series(series.lesions)
    return steps


def _steps_of_lesion_series(series: Series) -> list[tuple[str, str]]:
    steps = [
        (kind, "") for kind in ("CommonMask", "MatchLesions", "TabulateSeries", "DrawLesions")
    ]
    for acquisition in series.acquisitions:
        maps = 2 if len(acquisition.echo_times) > 1 else 1
        steps += [("CarryMap", "baseline_space_wf")] * maps
        if acquisition.lesions and acquisition.lesions.veins:
            steps.append(("CarryShare", ""))
        steps += [("CarryLabels", ""), ("ApplyTransforms", ""), ("MeasureLesions", "")]
    r2star = any(len(acquisition.echo_times) > 1 for acquisition in series.acquisitions)
    return [*steps, *[("MeanMap", "")] * (1 + r2star)]
