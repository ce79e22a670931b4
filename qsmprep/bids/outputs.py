"""Which outputs there are, what they are called and what their sidecars say."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
import json
from pathlib import Path

import qsmprep
from qsmprep.bids.derivatives import derivative_path

NAMING = ("desc", "space", "label", "from", "to")
NOT_METADATA = {*NAMING, "suffix", "extension", "seg", "stages", "facts", "needs"}

SESSIONS_FACTS = ("Sessions", "LeftOut")
"""Facts that sidecars of what several sessions share tell."""

LABELS_FACTS = ("Atlas", "DeepNuclei", "Segmentations")
"""Facts that sidecars of labels tell, too."""


@cache
def output_table() -> dict[str, dict[str, dict]]:
    """Return ``io_spec.json``: outputs of each kind of input, by the ports of the graph."""
    return json.loads(files("qsmprep.data").joinpath("io_spec.json").read_text("utf-8"))


def output_path(
    kind: str, port: str, stem: str, *, atlas: str, template: str, suffix: str, extension: str
) -> Path:
    """
    Return where an output goes, below the output folder.

    Parameters
    ----------
    kind
        ``acquisition``, ``anatomy``, ``lesions``, ``flair``, or of several sessions
        ``participant``, ``through_time``, ``series`` or ``lesion_series``.
    port
        Name of the output in the graph.
    stem
        Name of all outputs of this acquisition or anatomy.
    atlas
        Name of the atlas, for outputs that depend on one.
    template
        Name of the template, by which outputs and transforms call its space.
    suffix
        Suffix of the acquisition, by which transforms call its space.
    extension
        Of the file, with its dot.
    """
    spec = output_table()[kind][port]
    spaces = {"suffix": suffix, "template": template}
    names = {name: spec[name].format(**spaces) for name in NAMING if name in spec}
    if "from" in names:
        names["from_"] = names.pop("from")
    if spec.get("seg"):
        names["seg"] = atlas
    return derivative_path(stem, suffix=spec["suffix"], extension=extension, **names)


def output_metadata(
    kind: str,
    port: str,
    *,
    protocol: Mapping[str, Mapping[str, object]],
    digest: str,
    sources: list[str],
    facts: Mapping[str, object],
    template: str = "",
    participant: str = "",
) -> dict[str, object]:
    """
    Return the sidecar of an output: what it is, what made it, from what and how.

    Parameters
    ----------
    kind, port
        As in `output_path`.
    protocol
        Settings of all stages; those of the stages on the way to this output are kept.
    digest
        Of the whole protocol.
    sources
        BIDS URIs.
    facts
        What was found on the way; kept where the table says so.
    template
        BIDS URI of the template, if the name of its space is not known to BIDS.
    participant
        BIDS URI of the mean of a participant's sessions.
    """
    spec = output_table()[kind][port]
    # BIDS wants to know which image a space is that it does not know by name.
    images = {"T1w": sources[0], "{template}": template, "participant": participant}
    reference = images.get(spec.get("space", ""), "")
    # Labels that were refined by susceptibility depend on what the table depends on.
    depends = "regions" if port == "dseg" and "DeepNuclei" in facts else port
    stages = output_table()[kind][depends].get("stages", [])
    return {
        **{name: value for name, value in spec.items() if name not in NOT_METADATA},
        "Sources": sources,
        **({"SpatialReference": reference} if reference else {}),
        **(facts if spec.get("facts") else {}),
        **{name: facts[name] for name in LABELS_FACTS if spec.get("seg") and name in facts},
        **{name: facts[name] for name in SESSIONS_FACTS if name in facts},
        **({"Notes": facts["Notes"]} if kind == "series" and facts.get("Notes") else {}),
        "GeneratedBy": {
            "Name": "qsmprep",
            "Version": qsmprep.__version__,
            "ProtocolDigest": digest,
            "Parameters": {stage: protocol[stage] for stage in stages},
        },
    }


def expected_outputs(
    kind: str,
    stem: str,
    *,
    atlas: str,
    template: str,
    suffix: str,
    echoes: int,
    labelled: bool = True,
) -> list[Path]:
    """
    Return the outputs that a complete run leaves, below the output folder.

    Parameters
    ----------
    kind, stem, atlas, template, suffix
        As in `output_path`; without an atlas there are no regions, and nothing from the T1w.
    echoes
        Number of echoes; a single one has no relaxation.
    labelled
        Whether the labels are made here, not elsewhere.
    """
    paths = []
    for port, spec in output_table()[kind].items():
        needs = spec.get("needs", "").split()
        if "atlas" in needs and not atlas:
            continue
        if "echoes" in needs and echoes < 2:
            continue
        if "labelling" in needs and not labelled:
            continue
        extension = spec.get("extension", ".nii.gz")
        names = {"atlas": atlas, "template": template, "suffix": suffix}
        paths.append(output_path(kind, port, stem, **names, extension=extension))
    return paths
