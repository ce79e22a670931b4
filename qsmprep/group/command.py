"""The command line of the group level: its options, and those that are not for it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
import re

from qsmprep.bids.longitudinal import SPACE
from qsmprep.errors import RequestError

METHODS = ("combat", "combat-gam", "longitudinal-combat", "travelling", "scanner")
"""Ways to take out differences between scanners."""

OF_PARTICIPANTS = {
    "bids_filter_file": "--bids-filter-file",
    "bids_database_dir": "--bids-database-dir",
    "protocol": "--protocol",
    "changes": "--set",
    "atlas": "--atlas",
    "reports_only": "--reports-only",
    "boilerplate_only": "--boilerplate-only",
    "clean_workdir": "--clean-workdir",
    "discard_workdir": "--discard-workdir",
    "longitudinal": "--longitudinal",
    "stop_on_first_crash": "--stop-on-first-crash",
    "write_graph": "--write-graph",
    "use_plugin": "--use-plugin",
    "device": "--device",
}
"""Options that say what the participant level does, by the names of what they set."""

OF_GROUP = {
    "allow_protocols": "--allow-protocols",
    "space": "--space",
    "harmonise": "--harmonise",
    "models": "--model",
}
"""Options that say what the group level does."""


def add_options(group) -> None:
    """Add the options of the group level to a part of the parser."""
    group.add_argument(
        "--allow-protocols", "--allow_protocols", action="store_true",
        help="join results of several protocols, with the digest of each in a column",
    )  # fmt: skip
    group.add_argument(
        "--space", choices=[SPACE], default="",
        help=f"take regions in this space: {SPACE} for those of --longitudinal",
    )  # fmt: skip
    group.add_argument(
        "--harmonise", choices=METHODS, metavar="METHOD",
        help=f"take out differences between scanners: {', '.join(METHODS)}",
    )  # fmt: skip
    group.add_argument(
        "--model", dest="models", nargs="+", action="extend", default=[], type=Path,
        metavar="FILE", help="fit the models of a TOML file; several files, and several times",
    )  # fmt: skip


def check_options(options: argparse.Namespace) -> None:
    """
    Refuse options of the other level, which would be given in vain.

    Raises
    ------
    RequestError
        If there are any; all are named.
    """
    at_group = options.analysis_level == "group"
    others = OF_PARTICIPANTS if at_group else OF_GROUP
    if given := [option for name, option in others.items() if getattr(options, name)]:
        level = "participant" if at_group else "group"
        raise RequestError(
            f"{', '.join(given)}: for the {level} level, and {options.analysis_level} was asked "
            f"for; leave {'it' if len(given) == 1 else 'them'} out"
        )


def read_sites(given: Sequence[str]) -> dict[str, Path]:
    """
    Return the output folders of ``-d SITE=FOLDER`` by their names.

    Raises
    ------
    RequestError
        If one is not written so, or a name is there twice.
    """
    sites: dict[str, Path] = {}
    for text in given:
        name, _, folder = text.partition("=")
        if not folder or not re.fullmatch(r"[\w.+-]+", name) or name in sites:
            raise RequestError(
                f"-d {text}: write it as SITE=FOLDER, each SITE once, in letters, digits, "
                "points, dashes and underscores"
            )
        sites[name] = Path(folder).absolute()
    return sites


def run(options: argparse.Namespace) -> int:
    """Run the group level as the command line asks, and return its exit status."""
    sites = read_sites(options.derivatives)

    from qsmprep.scratch import room_to_write

    with room_to_write(options.output_dir.absolute()):
        from qsmprep.group.run import run_group

        return run_group(
            options.output_dir.absolute(),
            bids_dir=options.bids_dir.absolute(),
            participants=options.participant_label,
            sessions=options.session_label,
            sites=sites,
            allow_protocols=options.allow_protocols,
            space=options.space,
            harmonise=options.harmonise,
            models=[path.absolute() for path in options.models],
            nprocs=options.nprocs,
            dry_run=options.dry_run,
        )
