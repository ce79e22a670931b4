"""Fetch spaces of TemplateFlow at 1 mm into TEMPLATEFLOW_HOME, and leave nothing else there."""

from pathlib import Path
import shutil
import sys

from templateflow.api import get
from templateflow.conf import TF_HOME

spaces = sys.argv[1:]
for space in spaces:
    get(space, resolution=1, raise_empty=True)  # raises where a file cannot be fetched

for folder in Path(TF_HOME).iterdir():
    if folder.name.removeprefix("tpl-") not in spaces:
        shutil.rmtree(folder) if folder.is_dir() else folder.unlink()
# Licences and tables of labels come with the package; empty files stand for all others.
for path in sorted(Path(TF_HOME).rglob("*")):
    if path.is_file() and not path.stat().st_size:
        path.unlink()
    elif path.is_file():
        print(path)
