"""From the work folder to the output folder."""

from __future__ import annotations

import gzip
from pathlib import Path
import shutil

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    DynamicTraitedSpec,
    File,
    InputMultiObject,
    OutputMultiObject,
    SimpleInterface,
    TraitedSpec,
    isdefined,
    traits,
)
from nipype.interfaces.io import add_traits

from qsmprep.bids.derivatives import sidecar_path, write_json
from qsmprep.bids.lesion_columns import TABLES
from qsmprep.bids.outputs import output_metadata, output_path, output_table
from qsmprep.bids.template import BUNDLED
from qsmprep.files import atomic_write_text, replacing
from qsmprep.interfaces.change import CHANGE_COLUMNS
from qsmprep.interfaces.regions import columns

GZIP_LEVEL = 4
"""Float maps are mostly noise: more effort makes them hardly smaller, and much slower."""


class _SaveDerivativesInputSpec(DynamicTraitedSpec, BaseInterfaceInputSpec):
    out_dir = traits.Str(mandatory=True, desc="output folder")
    kind = traits.Enum(*output_table(), mandatory=True, desc="what the outputs are of")
    stem = traits.Str(mandatory=True, desc="name of the outputs without suffix")
    suffix = traits.Str("T1w", usedefault=True, desc="suffix of the input")
    atlas = traits.Str("", usedefault=True, desc="name of the atlas")
    template = traits.Str(BUNDLED, usedefault=True, desc="name of the template")
    template_image = traits.Str("", usedefault=True, desc="BIDS URI of a template of one's own")
    participant_image = traits.Str("", usedefault=True, desc="BIDS URI of a participant's mean")
    lookup = traits.List(traits.Any, desc="index, name and hemisphere of its regions")
    protocol = traits.Dict(mandatory=True, desc="settings of all stages")
    digest = traits.Str(mandatory=True, desc="digest of the protocol")
    sources = traits.List(traits.Str, desc="BIDS URIs of the input")
    known = traits.Dict(usedefault=True, desc="facts known beforehand")
    facts = InputMultiObject(traits.Dict, desc="facts found on the way")


class _SaveDerivativesOutputSpec(TraitedSpec):
    saved = OutputMultiObject(File(exists=True), desc="files in the output folder")


class SaveDerivatives(SimpleInterface):
    """Save what is connected under its BIDS name, each with its sidecar."""

    input_spec = _SaveDerivativesInputSpec
    output_spec = _SaveDerivativesOutputSpec
    _always_run = True  # or a deleted output would not come back from a full work folder

    def __init__(self, kind: str, **inputs):
        super().__init__(kind=kind, **inputs)
        self.ports = list(output_table()[kind])
        add_traits(self.inputs, self.ports)

    def _run_interface(self, runtime):
        facts = dict(self.inputs.known)
        for found in self.inputs.facts if isdefined(self.inputs.facts) else []:
            facts |= found
        self._results["saved"] = [
            self._save(port, Path(getattr(self.inputs, port)), facts)
            for port in self.ports
            if isdefined(getattr(self.inputs, port))
        ]
        return runtime

    def _save(self, port: str, source: Path, facts: dict) -> str:
        extension = "".join(source.suffixes[-2:]) if source.suffix == ".gz" else source.suffix
        extension = ".nii.gz" if extension == ".nii" else extension
        target = Path(self.inputs.out_dir) / output_path(
            self.inputs.kind,
            port,
            self.inputs.stem,
            atlas=self.inputs.atlas,
            template=self.inputs.template,
            suffix=self.inputs.suffix,
            extension=extension,
        )
        if extension != ".json":
            metadata = output_metadata(
                self.inputs.kind,
                port,
                protocol=self.inputs.protocol,
                digest=self.inputs.digest,
                sources=self.inputs.sources,
                facts=facts,
                template=self.inputs.template_image,
                participant=self.inputs.participant_image,
            )
            if port == "probseg":
                metadata["LabelMap"] = [f"{name} {side}" for _, name, side in self.inputs.lookup]
            if port == "regions":
                legacy = bool(self.inputs.protocol["regions"]["legacy"])
                described = columns(legacy=legacy)
                metadata |= {name: {"Description": text} for name, text in described.items()}
            described = TABLES.get((self.inputs.kind, port), {})
            described = CHANGE_COLUMNS if port == "change" else described
            metadata |= {name: {"Description": text} for name, text in described.items()}
            write_json(sidecar_path(target), metadata)
        if port == "dseg":
            self._save_lookup(target)
        if not (target.exists() and target.stat().st_mtime > source.stat().st_mtime):
            _copy(source, target)
        return str(target)

    def _save_lookup(self, target: Path) -> None:
        lines = ["index\tname\themisphere"]
        lines += ["\t".join(map(str, region)) for region in self.inputs.lookup]
        atomic_write_text(
            target.with_name(target.name.replace(".nii.gz", ".tsv")), "\n".join(lines) + "\n"
        )


def _copy(source: Path, target: Path) -> None:
    """Copy in one step; what is to end on .gz and is not compressed yet, is compressed."""
    with replacing(target) as temporary:
        if target.suffix == ".gz" and source.suffix != ".gz":
            # Without name and time in its header, equal maps are equal files.
            with (
                source.open("rb") as plain,
                temporary.open("wb") as raw,
                gzip.GzipFile("", "wb", GZIP_LEVEL, raw, mtime=0) as packed,
            ):
                shutil.copyfileobj(plain, packed)
        else:
            shutil.copyfile(source, temporary)
