"""
Metadata of images by BIDS inheritance.

pybids can do this as well, but it reads all sidecars while it indexes and gives up on the whole
dataset at the first that is not valid JSON. Here one bad sidecar harms only the images it belongs
to.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
import json
from pathlib import Path

from qsmprep.bids.entities import parse_name
from qsmprep.bids.models import Fault


@dataclass(frozen=True)
class _Sidecar:
    path: Path
    entities: dict[str, str]
    suffix: str


class Sidecars:
    """The sidecars of a dataset; each folder is listed and each file is read once at most."""

    def __init__(self, bids_dir: Path):
        self._root = bids_dir
        self._list = cache(_list_sidecars)
        self._read = cache(read_json)

    def metadata(self, image: Path) -> tuple[dict[str, object], list[Fault]]:
        """Return what all sidecars of an image say, the closest having the last word."""
        entities, suffix = parse_name(image)
        folders = [image.parent, *image.parent.parents]
        folders = folders[: folders.index(self._root) + 1]
        merged: dict[str, object] = {}
        faults: list[Fault] = []
        for folder in reversed(folders):
            for sidecar in self._list(folder):
                if sidecar.suffix == suffix and sidecar.entities.items() <= entities.items():
                    content = self._read(sidecar.path)
                    if isinstance(content, Fault):
                        faults.append(content)
                    else:
                        merged |= content
        return merged, faults


def _list_sidecars(folder: Path) -> list[_Sidecar]:
    sidecars = []
    for path in sorted(folder.glob("*.json")):
        try:
            sidecars.append(_Sidecar(path, *parse_name(path)))
        except ValueError:  # dataset_description.json and the like
            continue
    return sorted(sidecars, key=lambda sidecar: len(sidecar.entities))


def read_json(path: Path) -> dict[str, object] | Fault:
    """Return what a JSON file says, or what is wrong with it."""
    remedy = "correct it or write it again"
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        return Fault(path, f"cannot be read ({error.strerror})", "fetch it, or change its rights")
    except UnicodeDecodeError as error:
        return Fault(path, f"is not in UTF-8 ({error.reason})", "save it in UTF-8")
    except (ValueError, RecursionError) as error:
        return Fault(path, f"is not valid JSON ({error})", remedy)
    if not isinstance(content, dict):
        return Fault(path, "holds no JSON object", remedy)
    return content
