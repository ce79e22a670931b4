"""The command ``qsmprep-simulate cohort``: tables of a study with known truth."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
import sys

from qsmprep.errors import QSMPrepError
from qsmprep.simulate.cohorts.dataset import write_cohort
from qsmprep.simulate.cohorts.studies import STUDIES


def parser() -> argparse.ArgumentParser:
    """Options of the command."""
    options = argparse.ArgumentParser(prog="qsmprep-simulate cohort", description=__doc__)
    options.add_argument("study", choices=STUDIES, help="which study it is like")
    options.add_argument("out", type=Path, metavar="OUT", help="folder, new or empty")
    options.add_argument("--seed", type=int, default=1, help="of all that is drawn")
    return options


def main(argv: Sequence[str]) -> int:
    """Write a dataset and outputs of its participants; return the exit status."""
    arguments = parser().parse_args(argv)
    try:
        cohort = STUDIES[arguments.study](arguments.seed)
        for path in write_cohort(arguments.out, cohort):
            print(path)
    except QSMPrepError as error:
        print(f"qsmprep-simulate: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"qsmprep-simulate: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    return 0
