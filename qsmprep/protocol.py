"""What is computed: the settings that change voxels, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from hashlib import sha256
from importlib.resources import files
from inspect import Parameter, signature
import json
from pathlib import Path
import tomllib
from typing import Literal, get_args, get_type_hints

from qsmprep.errors import ProtocolError, shown
from qsmprep.methods.background import BACKGROUND_REMOVALS
from qsmprep.methods.echoes import OFFSETS
from qsmprep.methods.field import FIELD_FITS
from qsmprep.methods.inversion import INVERSIONS
from qsmprep.methods.lesions import LesionRules
from qsmprep.methods.masking import BRAIN_MASKS
from qsmprep.methods.regions import Rules
from qsmprep.methods.relaxometry import RELAXOMETRY
from qsmprep.methods.unwrapping import UNWRAPPERS

Value = str | float | int | bool

ALGORITHMS: dict[str, Mapping[str, Callable]] = {
    "masking": BRAIN_MASKS,
    "offset": OFFSETS,
    "unwrapping": UNWRAPPERS,
    "field": FIELD_FITS,
    "relaxometry": RELAXOMETRY,
    "background": BACKGROUND_REMOVALS,
    "inversion": INVERSIONS,
}
"""The stages that have a choice of algorithms, in the order of the flow."""

DEFAULT = "consensus"


@dataclass(frozen=True)
class Stage:
    """One algorithm with all of its parameters, defaults included."""

    method: str
    params: dict[str, Value]

    @classmethod
    def read(cls, stage: str, table: Mapping[str, Value]) -> Stage:
        """Check a table of a protocol against the signature of the algorithm it names."""
        algorithms = ALGORITHMS[stage]
        method = table.get("method", next(iter(algorithms)))
        if not isinstance(method, str) or method not in algorithms:
            raise ProtocolError(
                f"[{stage}] method = {shown(method)}: choose {' or '.join(algorithms)}"
            )
        defaults = parameters(algorithms[method])
        given = {name: value for name, value in table.items() if name != "method"}
        for name in given.keys() - defaults.keys():
            takes = ", ".join(defaults) or "no parameters"
            raise ProtocolError(f"[{stage}] {name}: {method} takes {takes}")
        checked = {n: _like(f"[{stage}] {n}", v, defaults[n]) for n, v in given.items()}
        return cls(method, defaults | checked)


def parameters(algorithm: Callable) -> dict[str, Value]:
    """Return the parameters of an algorithm that a protocol sets, with their defaults."""
    return {
        name: parameter.default
        for name, parameter in signature(algorithm).parameters.items()
        if parameter.kind is Parameter.KEYWORD_ONLY and parameter.default is not Parameter.empty
    }


def needed_arrays(algorithm: Callable) -> list[str]:
    """Return the arrays an algorithm needs besides those that all of its stage take."""
    return [
        name
        for name, parameter in signature(algorithm).parameters.items()
        if parameter.kind is Parameter.KEYWORD_ONLY and parameter.default is Parameter.empty
    ]


@dataclass(frozen=True)
class Phase:
    """
    Which way the phase turns.

    Parameters
    ----------
    sign
        ``auto`` lets the tissue decide, ``as-is`` and ``inverted`` overrule it.
    """

    sign: Literal["auto", "as-is", "inverted"] = "auto"


@dataclass(frozen=True)
class Trust:
    """
    Which part of the brain the maps are made in.

    Parameters
    ----------
    phase_quality
        Whether voxels of incoherent phase at the surface of the brain are left out.
    two_pass
        Whether susceptibility is computed twice, without the incoherent parts inside the brain
        and with them, and the second fills what the first lacks (Stewart et al., 2022,
        doi:10.1002/mrm.29048); it takes twice the time.
    """

    phase_quality: bool = True
    two_pass: bool = False


@dataclass(frozen=True)
class Referencing:
    """
    What zero means in the susceptibility map; tables hold all references anyway.

    Parameters
    ----------
    method
        The region whose mean is subtracted: ``whole-brain``, ``csf`` (the ventricles),
        ``white-matter``, ``label`` (a region of the atlas) or ``none``.
    region
        Name of the region, for ``label``.
    hemisphere
        Side of the region: ``L``, ``R``, or ``B`` for both, as in tables.
    """

    method: Literal["whole-brain", "csf", "white-matter", "none", "label"] = "whole-brain"
    region: str = ""
    hemisphere: Literal["B", "L", "R"] = "B"

    def __post_init__(self):
        if self.method == "label" and not self.region:
            raise ProtocolError(
                '[referencing] method = "label": name the region, such as region = "thalamus"'
            )
        if self.method != "label" and (self.region or self.hemisphere != "B"):
            raise ProtocolError(
                f'[referencing] region and hemisphere are for method = "label", not {self.method}'
                "; drop them"
            )

    @property
    def name(self) -> str:
        """What tables and sidecars call the reference."""
        if self.method != "label":
            return self.method
        side = "" if self.hemisphere == "B" else f"-{self.hemisphere}"
        return f"label-{self.region}{side}"

    def labels(self, regions: Sequence[tuple[int, str, str]]) -> list[int]:
        """Return the indices of the region, among rows of index, name and hemisphere."""
        return [
            index
            for index, name, side in regions
            if self.region and name == self.region and self.hemisphere in ("B", side)
        ]


@dataclass(frozen=True)
class SWI:
    """
    How veins are made dark.

    Parameters
    ----------
    echo_time
        Of the phase that weights the nearest echo, s; 0 takes 0.06 s T over the field strength:
        40 ms at 1.5 T as in the paper, 20 at 3, 8.6 at 7.
    width
        Standard deviation of the Gaussian whose mean is taken off the field, mm; larger keeps
        more of the nuclei, and of the air.
    power
        How often the phase weights the magnitude; the paper's.
    thickness
        Slab of the projection, mm.
    """

    echo_time: float = 0.0
    width: float = 4.0
    power: int = 4
    thickness: float = 8.0


@dataclass(frozen=True)
class Normalisation:
    """
    Where the T1w leads to: the template, and the echoes.

    Parameters
    ----------
    template
        Name of the template, or its folder ``tpl-X``.
    spacing
        Edge of a voxel in the nonlinear registration of the T1w to it, mm.
    seed
        Seed of the sampling in registrations of the T1w to template and echoes.
    """

    template: str = "MNI152NLin2009aSym"
    spacing: float = 2.0
    seed: int = 1


@dataclass(frozen=True)
class Segmentation:
    """
    Which labels, and how they get there.

    Parameters
    ----------
    atlas
        Folder of the atlas, or name of one (``CerebrA`` and others of TemplateFlow,
        ``desikan-killiany``, ``simulated``); empty takes the first that is found, ``none`` makes
        maps without regions, ``precomputed`` takes labels made elsewhere.
    route
        Where an atlas of several heads meets the T1w: on the ``template``, to which each head is
        aligned once for all participants, or ``pairwise``, every head with every T1w. An atlas of
        one head is aligned to the T1w.
    fusion
        How several heads agree: ``joint`` label fusion, or the ``majority``.
    contrast
        What deep nuclei are found by: ``t1w``, as all other regions, or ``hybrid``, in a second
        step on T1w less susceptibility, if the heads of the atlas have a Chimap.
    chi_weight
        Weight of susceptibility against a T1w of 0 to 255 in the hybrid image, 1/ppm.
    lookup
        What labels made elsewhere mean: ``freesurfer``, ``synthseg``, ``mricloud``, ``cerebra``
        or a table; empty takes the table beside them.
    spacing
        Edge of a voxel in nonlinear registrations of the atlas, mm.
    seed
        Seed of the sampling in registrations of the atlas.
    """

    atlas: str = ""
    route: Literal["template", "pairwise"] = "template"
    fusion: Literal["joint", "majority"] = "joint"
    contrast: Literal["t1w", "hybrid"] = "t1w"
    chi_weight: float = 400.0
    lookup: str = ""
    spacing: float = 2.0
    seed: int = 1


SETTINGS = {
    "phase": Phase,
    "trust": Trust,
    "referencing": Referencing,
    "swi": SWI,
    "normalisation": Normalisation,
    "segmentation": Segmentation,
    "regions": Rules,
    "lesions": LesionRules,
}
"""The stages that have settings but no choice of algorithms."""


@dataclass(frozen=True)
class Protocol:
    """The settings shared by every site of a study; one field per stage."""

    name: str
    phase: Phase
    masking: Stage
    trust: Trust
    offset: Stage
    unwrapping: Stage
    field: Stage
    relaxometry: Stage
    background: Stage
    inversion: Stage
    referencing: Referencing
    swi: SWI
    normalisation: Normalisation
    segmentation: Segmentation
    regions: Rules
    lesions: LesionRules

    @classmethod
    def read(cls, source: str | Path = DEFAULT, changes: Sequence[str] = ()) -> Protocol:
        """
        Read and check a protocol; what it leaves out takes the default of its algorithm.

        Parameters
        ----------
        source
            Name of a protocol that comes with qsmprep, or a TOML file.
        changes
            Single settings that overrule it, ``stage.name=value``.

        Raises
        ------
        ProtocolError
            If something in it does not exist or is of the wrong kind.
        """
        name, tables = _read_tables(source)
        for change in changes:
            _apply(change, tables)
        stages = [field.name for field in fields(cls) if field.name != "name"]
        for stage, table in tables.items():
            if stage not in stages or not isinstance(table, dict):
                raise ProtocolError(f"[{stage}]: no such stage; there are {', '.join(stages)}")
        read = {stage: Stage.read(stage, tables.get(stage, {})) for stage in ALGORITHMS}
        plain = {stage: _read_settings(stage, tables.get(stage, {})) for stage in SETTINGS}
        return cls(name=name, **read, **plain)  # type: ignore[arg-type]

    def with_template(self, name: str) -> Protocol:
        """Return the same protocol with a template known by what it is, not by where it lies."""
        return replace(self, normalisation=replace(self.normalisation, template=name))

    def with_atlas(self, name: str) -> Protocol:
        """Return the same protocol with an atlas known by what it is, not by where it lies."""
        return replace(self, segmentation=replace(self.segmentation, atlas=name))

    @property
    def stages(self) -> dict[str, dict[str, Value]]:
        """All settings as flat tables, one per stage."""
        return {
            stage: {"method": table["method"], **table["params"]} if "params" in table else table
            for stage, table in asdict(self).items()
            if stage != "name"
        }

    def digest(self) -> str:
        """Return a fingerprint that is equal for equal settings, on any machine."""
        return sha256(json.dumps(self.stages, sort_keys=True).encode()).hexdigest()[:12]

    def to_toml(self) -> str:
        """Return the protocol as the file that would give it, nothing left to defaults."""
        lines = [f"# {self.name}, digest {self.digest()}"]
        for stage, table in self.stages.items():
            lines += ["", f"[{stage}]"]
            # A JSON string or number is one in TOML too.
            lines += [f"{name} = {json.dumps(value)}" for name, value in table.items()]
        return "\n".join(lines) + "\n"


def presets() -> list[str]:
    """Return the names of the protocols that come with qsmprep."""
    folder = files("qsmprep.data").joinpath("protocols")
    return sorted(p.name.removesuffix(".toml") for p in folder.iterdir() if ".toml" in p.name)


def _read_tables(source: str | Path) -> tuple[str, dict[str, dict[str, Value]]]:
    own = files("qsmprep.data").joinpath(f"protocols/{source}.toml")
    try:
        text = (own if str(source) in presets() else Path(source)).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise ProtocolError(
            f"{source}: neither a protocol file nor one of {', '.join(presets())}; check it"
        ) from None
    try:
        return Path(source).stem, tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ProtocolError(f"{source}: not readable as TOML ({error}); correct it") from error


def _apply(change: str, tables: dict[str, dict[str, Value]]) -> None:
    """Overrule one setting; another method comes with its own defaults."""
    key, equals, text = change.partition("=")
    stage, dot, name = key.strip().partition(".")
    if not (equals and dot):
        raise ProtocolError(f"--set {change}: write it as stage.name=value")
    try:
        value = tomllib.loads(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()  # a word needs no quotes on a command line
    table = tables.setdefault(stage, {})
    if name == "method" and table.get("method") != value:
        table.clear()
    table[name] = value


def _read_settings(stage: str, table: Mapping[str, Value]) -> object:
    kind = SETTINGS[stage]
    defaults = {field.name: field.default for field in fields(kind)}
    for name in table.keys() - defaults.keys():
        raise ProtocolError(f"[{stage}] {name}: {stage} takes {', '.join(defaults)}")
    for name, hint in get_type_hints(kind).items():
        if (choices := get_args(hint)) and table.get(name, choices[0]) not in choices:
            where = f"[{stage}] {name} = {shown(table[name])}"
            raise ProtocolError(f"{where}: choose {' or '.join(choices)}")
    return kind(**{n: _like(f"[{stage}] {n}", v, defaults[n]) for n, v in table.items()})  # type: ignore[arg-type]


def _like(where: str, value: Value, default: Value) -> Value:
    """Return `value` if it is of the kind of `default`; whole numbers do for any number."""
    if isinstance(default, float):
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300:
            return float(value)
    elif type(value) is type(default):
        return value
    kinds = {bool: "true or false", int: "a whole number", float: "a number", str: "a word"}
    raise ProtocolError(f"{where} = {shown(value)}: {kinds[type(default)]} is needed")
