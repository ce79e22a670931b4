"""Files of models: read, and checked word by word before anything is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from inspect import Parameter, signature
from pathlib import Path
import re
import tomllib
from typing import Any

from qsmprep.errors import RequestError, shown
from qsmprep.group.region_values import column_name

TABLES = ("data", "harmonise", "model")
BASELINE, EACH_SESSION = "first", "session"
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_-]{0,99}")
_ENCODING = "utf-8-sig"  # Windows may put a mark before the text
_NO_DEFAULT = Parameter.empty


@dataclass(frozen=True)
class Measure:
    """
    Which column of the tables of regions a model calls `chi`, or `r2star`.

    Parameters
    ----------
    atlas
        Whose regions; empty where the tables have only one.
    reference
        Region whose mean was subtracted from susceptibility; empty for that of the maps.
    statistic
        Column of ``regions.tsv``, such as ``mean`` or ``median``.
    harmonised
        Whether harmonised values are taken; if not said, wherever there are some.
    """

    atlas: str = ""
    reference: str = ""
    statistic: str = "mean"
    harmonised: bool | None = None


@dataclass(frozen=True)
class ModelSpec:
    """
    One model as it was asked for.

    Parameters
    ----------
    name
        Its folder below ``group/models``.
    kind
        One of `qsmprep.statistics.kinds.KINDS`.
    source
        The file it stands in; tables it names lie beside.
    keys
        Parameters of the function of its kind.
    regions
        Regions it is fitted for in turn; none where it names its regions itself.
    rows
        What a row is: ``participants``, ``acquisitions``, or the name of another table.
    chi_from
        Of which session regional values are, where rows come from another table: the ``first``
        of the participant, or the ``session`` that the row names.
    where
        Which rows are kept, as a condition on columns.
    description
        The question in words.
    text
        The lines of the file.
    """

    name: str
    kind: str
    source: Path
    keys: dict[str, Any] = field(default_factory=dict)
    regions: tuple[str, ...] = ()
    rows: str = "participants"
    chi_from: str = BASELINE
    where: str = ""
    description: str = ""
    text: str = ""
    measure: Measure = Measure()

    @property
    def formula(self) -> str:
        """The formula, if the kind has one."""
        return str(self.keys.get("formula", ""))


@dataclass(frozen=True)
class Plan:
    """
    What the group level is asked to compute.

    Parameters
    ----------
    models
        In the order of their files.
    harmonise
        The table ``[harmonise]``; empty where none is asked for.
    """

    models: tuple[ModelSpec, ...] = ()
    harmonise: Mapping[str, Any] = field(default_factory=dict)


def read_plan(
    paths: Iterable[Path], kinds: Mapping[str, tuple[Callable, str]], method: str = ""
) -> Plan:
    """
    Return what files of models ask for.

    Parameters
    ----------
    paths
        TOML files.
    kinds
        The function of every kind, and what its rows are unless said.
    method
        Of harmonisation, from the command line; it goes before the files'.

    Raises
    ------
    RequestError
        If a file cannot be read, asks for what does not exist, or repeats a name.
    """
    models: dict[str, ModelSpec] = {}
    harmonise: dict[str, Any] = {}
    for path in paths:
        content = _read_toml(path)
        tables = {name: _as_table(path, name, content.get(name, {})) for name in TABLES}
        if tables["harmonise"]:
            if harmonise:
                raise RequestError(f"{path}: [harmonise] stands in another file too; keep one")
            harmonise = dict(tables["harmonise"])
            if isinstance(stored := harmonise.get("parameters"), str):
                harmonise["parameters"] = str(path.parent / stored)  # beside the file that says so
        measure = _read_measure(f"{path}: [data] ", tables["data"])
        for name, table in tables["model"].items():
            where = f"{path}: [model.{name}] "
            if not isinstance(table, dict):
                raise RequestError(f"{path}: [model] {name}: give the model a name, [model.NAME]")
            if not _NAME.fullmatch(name):
                raise RequestError(
                    f"{where}a folder gets this name; use letters, digits, - and _, at most 100"
                )
            if name.lower() in map(str.lower, models):  # one folder on many disks
                raise RequestError(f"{where}there is another model of this name; rename one")
            models[name] = _read_model(where, name, table, path, kinds, measure)
    if method:
        harmonise = {**harmonise, "method": method}
    return Plan(tuple(models.values()), harmonise)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.read_text(_ENCODING))
    except FileNotFoundError as error:
        raise RequestError(f"--model {path}: there is no such file") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise RequestError(f"--model {path}: line {line} is not in UTF-8; save it so") from error
    except (OSError, ValueError) as error:
        raise RequestError(f"--model {path}: cannot be read as TOML ({error})") from error
    _check_words(f"{path}: ", content, TABLES, "table")
    if not content.get("model") and not content.get("harmonise"):
        raise RequestError(f"{path}: asks for nothing; add a table [model.NAME] or [harmonise]")
    return content


def _as_table(path: Path, name: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        header = "model.NAME" if name == "model" else name
        raise RequestError(f"{path}: {name} is no table; write [{header}] above its keys")
    return value


def _read_measure(where: str, table: Mapping[str, Any]) -> Measure:
    return Measure(**_checked(where, table, Measure))


def _read_model(
    where: str,
    name: str,
    table: Mapping[str, Any],
    path: Path,
    kinds: Mapping[str, tuple[Callable, str]],
    measure: Measure,
) -> ModelSpec:
    """Check a table of a model against the signature of the kind it names."""
    kind = table.get("kind")
    if not isinstance(kind, str) or kind not in kinds:
        said = "has no kind" if kind is None else f"kind = {shown(kind)} does not exist"
        raise RequestError(f"{where}{said}; there are {', '.join(kinds)}")
    function, rows = kinds[kind]
    own = {key for key, value in signature(function).parameters.items()
           if value.kind is Parameter.KEYWORD_ONLY}  # fmt: skip
    about_data = {"atlas", "reference", "statistic", "harmonised"} - own
    of_runner = {"kind", "for", "rows", "chi_from", "where", "description"}
    _check_words(where, table, sorted(own | about_data | of_runner), "key")
    keys = _checked(where, {k: v for k, v in table.items() if k in own}, function)
    chosen = _checked(where, {k: v for k, v in table.items() if k in about_data}, Measure)
    words = {"rows": rows, "chi_from": BASELINE, "where": "", "description": ""}
    told = {key: _text(f"{where}{key}", table.get(key, word)) for key, word in words.items()}
    if told["chi_from"] not in (BASELINE, EACH_SESSION):
        raise RequestError(f"{where}chi_from: choose {BASELINE} or {EACH_SESSION}")
    return ModelSpec(
        name=name,
        kind=kind,
        source=path,
        keys=keys,
        regions=_regions(where, table.get("for", [])),
        text=_lines_of(path, name),
        measure=Measure(**{**vars(measure), **chosen}),
        **told,
    )


def _regions(where: str, value: object) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise RequestError(f'{where}for: give names of regions, ["putamen", "caudate"], or "all"')
    called = [column_name(name) for name in names]
    if repeated := [name for name in names if called.count(column_name(name)) > 1]:
        repeated = sorted(set(repeated))
        raise RequestError(f"{where}for: {', '.join(repeated)} stands there more than once")
    return tuple(names)


def _text(where: str, value: object) -> str:
    if not isinstance(value, str):
        raise RequestError(f"{where} = {shown(value)}: give text, in quotes")
    return value


def _check_words(where: str, given: Iterable[str], known: Iterable[str], noun: str) -> None:
    """Name the first word that is not known, and the nearest that is."""
    known = list(known)
    for word in given:
        if word not in known:
            near = get_close_matches(word, known, 1)
            meant = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known)}"
            raise RequestError(f"{where}there is no {noun} {shown(word)}{meant}")


def _checked(where: str, given: Mapping[str, Any], function: Callable) -> dict[str, Any]:
    """Return values that a function takes, in the types it declares."""
    declared = {key: value for key, value in signature(function).parameters.items()
                if value.kind in (Parameter.KEYWORD_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
                and key != "data"}  # fmt: skip
    _check_words(where, given, declared, "key")
    for key, parameter in declared.items():
        required = parameter.kind is Parameter.KEYWORD_ONLY and parameter.default is _NO_DEFAULT
        if required and key not in given:
            raise RequestError(f"{where}lacks the key {key}")
    return {key: _like(f"{where}{key}", value, declared[key]) for key, value in given.items()}


def _like(where: str, value: object, declared: Parameter) -> Any:
    """Return a value of TOML as its parameter wants it, or say what that is."""
    hint = str(declared.annotation)
    kinds = {
        "bool": isinstance(value, bool),
        "int": isinstance(value, int) and not isinstance(value, bool),
        "float": isinstance(value, int | float) and not isinstance(value, bool),
        "str": isinstance(value, str),
        "Sequence": isinstance(value, list),
        "list": isinstance(value, list),
        "tuple": isinstance(value, list),
        "Mapping": isinstance(value, dict),
        "dict": isinstance(value, dict),
    }
    outer = re.sub(r"\[[^\]]*\]+", "", hint)
    wanted = [name for name in kinds if re.search(rf"\b{name}\b", outer)]
    if wanted and not any(kinds[name] for name in wanted):
        words = {"bool": "true or false", "int": "a whole number", "float": "a number",
                 "str": "text, in quotes", "Sequence": "a list", "list": "a list",
                 "tuple": "a list", "Mapping": "a table", "dict": "a table"}  # fmt: skip
        choice = " or ".join(dict.fromkeys(words[name] for name in wanted))
        raise RequestError(f"{where} = {shown(value)}: give {choice}")
    if isinstance(value, list):
        _check_items(where, value, hint)
        return tuple(value)
    return value


def _check_items(where: str, values: list[object], hint: str) -> None:
    """Refuse a list that holds something else than its parameter wants."""
    for kind, types, word in (("str", str, "texts, in quotes"), ("float", int | float, "numbers")):
        if f"Sequence[{kind}]" in hint and not all(
            isinstance(value, types) and not isinstance(value, bool) for value in values
        ):
            raise RequestError(f"{where} = {shown(values)}: give a list of {word}")


def _lines_of(path: Path, name: str) -> str:
    """Return the lines of a model as its author wrote them."""
    lines, inside = [], False
    header = re.compile(rf"\s*\[model\.(\"{re.escape(name)}\"|'{re.escape(name)}'|"
                        rf"{re.escape(name)})(\..*)?\]")  # fmt: skip
    for line in path.read_text(_ENCODING).splitlines():
        if re.match(r"\s*\[[^\[\]\"',]+\]\s*(#.*)?$", line) or header.match(line):
            inside = bool(header.match(line))
        if inside:
            lines.append(line)
    return "\n".join(lines).strip()
