"""The output folder as a dataset of its own: what it says of itself, and what it may be."""

from __future__ import annotations

from collections.abc import Mapping
import json
import os
from pathlib import Path

import qsmprep
from qsmprep.bids.derivatives import write_json
from qsmprep.errors import RequestError
from qsmprep.files import atomic_write_text

BIDS_VERSION = "1.10.0"

BIDSIGNORE = """\
*.html
CITATION.md
status.tsv
logs
group
figures
**/*_xfm.*
**/*_fieldmap.*
**/*_regions.*
**/*_change.*
**/*_lesions.*
**/*_label-lesion_dseg.*
**/*_swi.*
**/*_minIP.*
**/*_desc-qc.json
**/*_qc.json
"""
"""What the standard does not know yet; the validator knows folders without a slash only."""

README = """\
# Quantitative susceptibility maps

Made by qsmprep {version} with the protocol `{name}`, digest `{digest}`. Two outputs with the same
digest and version were made with the same settings.

| file | holds | unit |
|---|---|---|
| `*_Chimap` | magnetic susceptibility χ; the sidecar names the reference | ppm |
| `*_R2starmap`, `*_T2starmap` | relaxation of the magnitude over the echoes | 1/s, s |
| `*_desc-total_fieldmap` | frequency offset | Hz |
| `*_desc-local_fieldmap` | field offset of the tissue alone | ppm |
| `*_desc-brain_mask`, `*_desc-trusted_mask` | brain; where the phase can be trusted | |
| `*_desc-preproc_T1w`, `*_dseg`, `*_probseg` | anatomy and its regions | |
| `*_regions.tsv` | one row per region, map and reference | ppb; see its `units` |
| `*_xfm` | transforms between spaces | |
| `status.tsv` | what became of every acquisition, and why | |

`sub-*.html` show the maps and what to look at in them; `CITATION.md` is the methods text.
"""


def check_output_dir(out_dir: str | Path, bids_dir: str | Path, digest: str) -> None:
    """
    Refuse an output folder that would mix results, or that cannot be written to.

    Raises
    ------
    RequestError
        If the folder is the dataset or a participant of it, is no folder, cannot be written to,
        or holds results of another program or protocol.
    """
    out, root = Path(out_dir).resolve(), Path(bids_dir).resolve()
    if out == root:
        raise RequestError(
            f"{out_dir}: is the dataset itself; give another folder, such as "
            f"{out / 'derivatives/qsmprep'}"
        )
    if out.is_relative_to(root) and out.relative_to(root).parts[0].startswith("sub-"):
        raise RequestError(f"{out_dir}: lies in a participant of the dataset; give another folder")
    existing = next(folder for folder in (out, *out.parents) if folder.exists())
    if not existing.is_dir():
        raise RequestError(f"{out_dir}: {existing} is a file; give another folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise RequestError(f"{out_dir}: {existing} cannot be written to; give another folder")
    _check_description(out / "dataset_description.json", digest)


def _check_description(path: Path, digest: str) -> None:
    if not path.exists():
        return
    try:
        made_by = json.loads(path.read_text(encoding="utf-8"))["GeneratedBy"][0]
        name, protocol = made_by["Name"], made_by.get("Protocol", {})
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        name, protocol = None, {}
    if name != "qsmprep":
        raise RequestError(f"{path.parent}: holds another dataset; give another folder")
    if protocol.get("Digest") != digest:
        raise RequestError(
            f"{path.parent}: holds results of the protocol {protocol.get('Digest')}, this one is "
            f"{digest}; one folder holds one protocol, so give another folder"
        )


def write_output_files(
    out_dir: str | Path,
    *,
    bids_dir: str | Path,
    derivatives: Mapping[str, Path],
    protocol_name: str,
    protocol_digest: str,
) -> None:
    """Write all that describes an output folder as a whole."""
    write_dataset_description(
        out_dir,
        bids_dir=bids_dir,
        derivatives=derivatives,
        protocol_name=protocol_name,
        protocol_digest=protocol_digest,
    )
    write_bidsignore(out_dir)
    write_readme(out_dir, protocol_name=protocol_name, protocol_digest=protocol_digest)


def write_dataset_description(
    out_dir: str | Path,
    *,
    bids_dir: str | Path,
    derivatives: Mapping[str, Path],
    protocol_name: str,
    protocol_digest: str,
) -> Path:
    """Write what made the outputs, with which protocol and from what, and return the path."""
    out, root = Path(out_dir).absolute(), Path(bids_dir).absolute()
    # A folder within the dataset moves with it.
    link = os.path.relpath(root, out) if out.is_relative_to(root) else root.as_uri()
    made_by: dict[str, object] = {
        "Name": "qsmprep",
        "Version": qsmprep.__version__,
        "Protocol": {"Name": protocol_name, "Digest": protocol_digest},
    }
    if image := container():
        made_by["Container"] = image
    return write_json(
        out / "dataset_description.json",
        {
            "Name": "qsmprep: quantitative susceptibility maps",
            "BIDSVersion": BIDS_VERSION,
            "DatasetType": "derivative",
            "GeneratedBy": [made_by],
            "SourceDatasets": [_source(root, link)],
            "DatasetLinks": {"raw": link, **{n: p.as_uri() for n, p in derivatives.items()}},
            "HowToAcknowledge": "Cite what CITATION.md lists.",
        },
    )


def container() -> dict[str, str]:
    """Return the image we run in: the Dockerfile sets QSMPREP_IMAGE, Apptainer the others."""
    for name in ("APPTAINER_CONTAINER", "SINGULARITY_CONTAINER"):
        if value := os.environ.get(name):
            return {"Type": "apptainer", "URI": Path(value).absolute().as_uri()}
    if value := os.environ.get("QSMPREP_IMAGE"):
        return {"Type": "docker", "Tag": value}
    return {}


def _source(root: Path, link: str) -> dict[str, str]:
    try:
        doi = json.loads((root / "dataset_description.json").read_text())["DatasetDOI"]
    except (OSError, ValueError, KeyError, TypeError):
        return {"URL": link}
    return {"URL": link, "DOI": str(doi)}


def write_bidsignore(out_dir: str | Path) -> Path:
    """Write the list of outputs that the standard does not know yet, and return its path."""
    return atomic_write_text(Path(out_dir) / ".bidsignore", BIDSIGNORE)


def write_readme(out_dir: str | Path, *, protocol_name: str, protocol_digest: str) -> Path:
    """Write what a stranger needs to know of the outputs, and return its path."""
    text = README.format(version=qsmprep.__version__, name=protocol_name, digest=protocol_digest)
    return atomic_write_text(Path(out_dir) / "README.md", text)
