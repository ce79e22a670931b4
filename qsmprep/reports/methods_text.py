"""What was done, in words and numbers that a paper needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import version
import platform

import qsmprep
from qsmprep.reports.docstrings import describe

STEPS = {
    "masking": "The brain was found",
    "offset": "The receive phase was removed from all echoes",
    "unwrapping": "Phase was unwrapped",
    "field": "The echoes were joined into one field map",
    "relaxometry": "R2* was fitted to the magnitudes of two echoes or more",
    "background": "The field of sources outside the brain was removed",
    "inversion": "Susceptibility was computed from the local field",
}
"""What each stage did, as the start of a sentence."""

GENERAL = {
    "QSM consensus": "10.1002/mrm.30006",
    "BIDS": "10.1038/sdata.2016.44",
    "nipype": "10.3389/fninf.2011.00013",
}
"""What every run rests on."""

ANATOMICAL = {
    "N4 bias correction": "10.1109/TMI.2010.2046908",
    "symmetric normalisation (ANTs)": "10.1016/j.media.2007.06.004",
}
"""What regions rest on besides."""

LONGITUDINAL = (
    "- Sessions of a participant: their T1w images were aligned rigidly half-way between them and "
    "averaged, so that none is the reference (after Reuter et al., 2012, "
    "doi:10.1016/j.neuroimage.2012.02.084); tissues and regions are those of the average; maps "
    "reach it by one interpolation, cubic for susceptibility; references and regions were "
    "measured in the voxels that all sessions know, without veins of their mean."
)
"""How sessions were brought together."""

LIBRARIES = ("nibabel", "nipype", "numba", "numpy", "pybids", "scipy")
ANATOMICAL_LIBRARIES = ("antspyx", "nilearn", "pandas")


def methods_text(
    stages: Mapping[str, Mapping[str, object]],
    algorithms: Mapping[str, Mapping[str, Callable]],
    *,
    name: str,
    digest: str,
    labels: Mapping[str, str] | None,
    container: str = "",
    lesions: bool = False,
    longitudinal: bool = False,
) -> str:
    """
    Return the methods section as Markdown: every step with its parameters and its paper.

    Parameters
    ----------
    stages
        Settings of all stages.
    algorithms
        What the methods named there are; their documentation names the papers.
    name, digest
        Of the protocol.
    labels
        Where regions come from: ``Name``, and what is known of ``License``, ``References`` and
        ``Source``; None for maps without regions.
    container
        Image it ran in, if any.
    lesions
        Whether lesions were given.
    longitudinal
        Whether sessions of a participant were brought together.
    """
    lines = [
        "# Methods",
        "",
        f"Computed with qsmprep {qsmprep.__version__}, protocol `{name}`, digest `{digest}`. "
        "Every number that was set, default or not, is given.",
        "",
    ]
    lines += [_step(stage, stages[stage], algorithms[stage]) for stage in STEPS]
    lines += [
        f"- Sign of the phase: {stages['phase']['sign']} (`auto`: decided by the "
        "susceptibility of deep tissue; the sidecars tell how).",
        "- Brain joined with the coherence of its phase: "
        f"{stages['trust']['phase_quality']}; two passes: {_passes(stages['trust'])}.",
        f"- Zero of the susceptibility map: {_reference(stages['referencing'])}; "
        f"{'tables give all references. ' if labels else ''}"
        "Susceptibility of a reference may change with disease.",
        "- Susceptibility-weighted image (Haacke et al., 2004, doi:10.1002/mrm.20198)"
        f"{_list(stages['swi'])}.",
        *(_anatomy(stages, labels) if labels else ["- Regions: none were asked for."]),
        *([LONGITUDINAL] if longitudinal else []),
        *([_lesions(stages["lesions"])] if lesions else []),
        "",
        "# References",
        "",
        *(
            f"- {what}: https://doi.org/{doi}"
            for what, doi in _references(stages, algorithms, labels)
        ),
        *(_atlas_paper(labels) if labels else []),
        "",
        "# Software",
        "",
        _software(labels, container),
    ]
    return "\n".join(lines) + "\n"


def _step(stage: str, settings: Mapping[str, object], methods: Mapping[str, Callable]) -> str:
    """Return what one stage did, with the paper of its method and all that was set."""
    others = dict(settings)
    method = str(others.pop("method"))
    if (stage, method) == ("masking", "precomputed"):
        return "- Masks of the brain were given."
    return f"- {STEPS[stage]} by {_cite(method, methods[method])}{_list(others)}."


def _anatomy(stages: Mapping[str, Mapping[str, object]], labels: Mapping[str, str]) -> list[str]:
    """Return what was done with the T1w image and with regions."""
    return [
        f"- Template: {stages['normalisation']['template']}, to which the T1w image was aligned "
        f"at {stages['normalisation']['spacing']} mm by SyN (Avants et al., 2008, "
        "doi:10.1016/j.media.2007.06.004); maps of the echoes were interpolated once.",
        f"- Regions: {_labels(stages['segmentation'])}; the T1w image was aligned "
        "to the magnitude by six degrees of freedom, labels were interpolated once for each.",
        f"- Labels: {_credits(labels)}.",
        "- Voxels that a region's mean rests on: in the brain and of trusted phase; rules"
        f"{_list(stages['regions'])} (mm, ppm; partial volume in cortex only).",
    ]


def _lesions(settings: Mapping[str, object]) -> str:
    """Return by which rules lesions were measured."""
    return (
        f"- Lesions, drawn by others: rules{_list(settings)} (mm, mm³, ppm). Figures of rims are "
        "a research aid, for which a human reading is required."
    )


def _credits(labels: Mapping[str, str]) -> str:
    parts = {"licence": "License", "from": "Source"}
    told = [f"{word} {labels[key]}" for word, key in parts.items() if key in labels]
    return ", ".join([labels["Name"], *told])


def _atlas_paper(labels: Mapping[str, str]) -> list[str]:
    papers = labels.get("References")
    return [f"- atlas {labels['Name']}: {papers}"] if papers else []


def _software(labels: Mapping[str, str] | None, container: str) -> str:
    names = sorted([*LIBRARIES, *(ANATOMICAL_LIBRARIES if labels else ())])
    told = [f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in names)]
    return ", ".join(told) + (f"; container {container}." if container else ".")


def _labels(settings: Mapping[str, object]) -> str:
    if settings["atlas"] == "precomputed":
        return f"labels made elsewhere{_list({'lookup': settings['lookup'] or 'their own'})}"
    to = "the template" if settings["route"] == "template" else "each T1w image"
    agreed = {
        "joint": "joint label fusion (Wang et al., 2013, doi:10.1109/TPAMI.2012.143)",
        "majority": "majority vote (Heckemann et al., 2006, doi:10.1016/j.neuroimage.2006.05.061)",
    }[str(settings["fusion"])]
    return (
        f"atlas {settings['atlas']}, its heads (if several) registered to {to} at "
        f"{settings['spacing']} mm by SyN and joined by {agreed}{_deep(settings)}"
    )


def _deep(settings: Mapping[str, object]) -> str:
    weight = f"{settings['chi_weight']}/ppm"
    if settings["contrast"] != "hybrid":
        return f"; deep nuclei by contrast {settings['contrast']} (chi weight {weight} not used)"
    return (
        "; deep nuclei by contrast hybrid: registered and joined once more on the T1w image, "
        f"scaled to 0 to 255, less susceptibility times {weight} (after Li et al., 2019, "
        "doi:10.1016/j.neuroimage.2019.02.016)"
    )


def _cite(method: str, algorithm: Callable) -> str:
    papers = describe(algorithm).papers
    return f"`{method}` (doi:{papers[0].doi})" if papers else f"`{method}`"


def _passes(settings: Mapping[str, object]) -> str:
    two = settings["two_pass"]
    return f"{two} (Stewart et al., 2022, doi:10.1002/mrm.29048)" if two else str(two)


def _reference(settings: Mapping[str, object]) -> str:
    if settings["method"] != "label":
        return str(settings["method"])
    return f"region {settings['region']}, hemisphere {settings['hemisphere']} (B: both)"


def _list(settings: Mapping[str, object]) -> str:
    pairs = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in settings.items())
    return f" with {pairs}" if pairs else ""


def _references(stages, algorithms, labels) -> list[tuple[str, str]]:
    """Return what to cite: the papers of the methods used, then what every run rests on."""
    found = []
    for stage in STEPS:
        method = stages[stage]["method"]
        found += [(method, paper.doi) for paper in describe(algorithms[stage][method]).papers]
    return [*found, *GENERAL.items(), *(ANATOMICAL.items() if labels else ())]
