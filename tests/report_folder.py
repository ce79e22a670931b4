"""An output folder of one acquisition, made without computing it, and a reader of pages."""

from html.parser import HTMLParser
import json
import re
import shutil

import nibabel as nb
import numpy as np
import pandas as pd

from qsmprep.bids.windows import read_windows
from qsmprep.methods.verdicts import judge_all
from qsmprep.reports.participant import write_participant_page
from qsmprep.reports.pictures import FIGURES, FRAMES

STEM = "sub-01_ses-1"

QUALITY = {
    "acquisition": ({"echo_count": 2, "first_echo_ms": 6.0}, {"readout": "there are two echoes"}),
    "maps": ({"chi_sd_ppb": 70.0, "trusted_fraction": 0.9, "inversion_iterations": 87}, {}),
    "regions": ({"pallidum_minus_thalamus_ppb": 90.0}, {}),
}
"""Figures of each file: two that ask for a look, some that pass, one unknown, one not judged."""


def regions(participant="sub-01", session="ses-1", shift=0.0, names=("pallidum", "precuneus")):
    common = {
        "participant_id": participant, "session_id": session, "acquisition": "n/a", "run": "n/a",
        "atlas": "OASIS", "index": "n/a", "n_voxels": 400, "volume_mm3": 1600.0,
        "coverage": 0.97, "median": 1.0, "mad": 1.0, "p05": 0.0, "p95": 2.0, "sem": 0.5,
    }  # fmt: skip
    rows = []
    for name in names:
        for side, mean in (("L", 101.5), ("R", 111.5), ("B", 106.5)):
            row = common | {"name": name, "hemisphere": side, "std": 21.0, "flag": ""}
            for reference, offset in (("whole-brain", 0.0), ("csf", 12.0)):
                chi = {"map": "Chimap", "reference": reference, "units": "ppb"}
                rows.append(row | chi | {"mean": mean + shift - offset})
            rate = {"map": "R2starmap", "reference": "n/a", "units": "1/s", "mean": 37.5}
            rows.append(row | rate | {"std": 4.5, "flag": "low-coverage"})
    return pd.DataFrame(rows)


def status(session, what, reason, acquisition="n/a", suffix="MEGRE"):
    return {
        "participant_id": "sub-01", "session_id": session, "acquisition": acquisition,
        "run": "n/a", "suffix": suffix, "status": what, "reason": reason,
    }  # fmt: skip


DONE = [status("ses-1", "done", "n/a")]


def make_folder(tmp_path, drawn):
    """Fill a folder with one complete acquisition of sub-01, every picture the one given."""
    anat, shown = (tmp_path / "sub-01" / part for part in ("ses-1/anat", "figures"))
    for folder in (anat, shown, tmp_path / "logs"):
        folder.mkdir(parents=True)
    for what in [kind.what for kind in FIGURES] + [*FRAMES]:
        shutil.copy(drawn, shown / f"{STEM}_desc-{what}_figure.png")
    regions().to_csv(anat / f"{STEM}_seg-OASIS_regions.tsv", sep="\t", index=False)
    sidecar = {
        "Units": "ppm",
        "Reference": {
            "name": "csf", "mean_ppm": 0.0121, "sd_ppm": 0.034, "n_voxels": 900,
            "against": "whole-brain",
        },
        "Sources": ["bids:raw:sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz"],
        "EchoTimes": [0.006, 0.0145],
        "MagneticFieldStrength": 3,
        "PhaseCoding": "integers -4096..4095",
        "PhaseSign": {
            "inverted": True, "decided by": "auto", "skewness": -0.41, "contrast_ppm": -0.052,
            "sign": -1, "agree": True,
        },
        "InversionConvergence": {"iterations": 87, "residual": 9e-4, "converged": True},
        "Scanner": {"RepetitionTime": 0.029, "Manufacturer": "Siemens"},
        "Notes": ["T1w of another session"],
        "GeneratedBy": {
            "ProtocolDigest": "abc123",
            "Parameters": {
                "phase": {"sign": "auto"}, "inversion": {"method": "tkd", "threshold": 0.19},
            }
        },
    }  # fmt: skip
    (anat / f"{STEM}_Chimap.json").write_text(json.dumps(sidecar))
    (anat / f"{STEM}_space-MNI_Chimap.json").write_text("{}")
    image = nb.Nifti1Image(np.zeros((10, 12, 8), "f4"), np.diag([1.0, 1.0, 2.5, 1.0]))
    nb.save(image, anat / f"{STEM}_Chimap.nii.gz")
    for about, (values, missing) in QUALITY.items():
        said = judge_all(values, read_windows(about), missing)
        name = "desc-qc.json" if about == "maps" else f"desc-{about}_qc.json"
        (anat / f"{STEM}_{name}").write_text(json.dumps(said))
    (tmp_path / "logs/protocol.toml").write_text('[inversion]\nmethod = "tkd"\nthreshold = 0.19\n')
    (tmp_path / "CITATION.md").write_text(
        "# Methods\n\n- Inverted by `tkd`.\n\n# References\n\n- tkd: https://doi.org/10.1/x\n"
    )
    made_by = {
        "Name": "qsmprep",
        "Version": "9.8.7",
        "Protocol": {"Name": "x", "Digest": "abc123"},
    }
    (tmp_path / "dataset_description.json").write_text(json.dumps({"GeneratedBy": [made_by]}))
    return tmp_path


def participant_page(out, rows, command="qsmprep in out participant"):
    return write_participant_page(out, "01", status=rows, command=command).read_text()


def assert_loads_nothing(page):
    assert not re.findall(r"<(?:script|link|iframe|object|embed)\b", page)
    assert not re.findall(r"\bon\w+\s*=\s*\"", page)
    sources = re.findall(r"(?:src|srcset|poster)\s*=\s*\"([^\"]{0,20})", page)
    assert all(source.startswith("data:image/") for source in sources)
    assert not re.findall(r"url\(|@import|https?://", page)


class Page(HTMLParser):
    """What a page holds, read as a browser or a screen reader would; broken HTML is an error."""

    EMPTY = frozenset(["meta", "link", "img", "input", "br", "hr", "rect", "path"])
    HEADINGS = ("h1", "h2", "h3", "h4")

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.images, self.links, self.labels = [], [], [], [], []
        self.tables, self.heads = [], []
        self.headings = []  # level, name, and the text up to the next one
        self.feed(text)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        for name, value, found in (
            ("id", attributes.get("id"), self.ids),
            ("img", attributes if tag == "img" else None, self.images),
            ("a", attributes.get("href"), self.links),
            ("label", attributes.get("for"), self.labels),
            ("th", attributes if tag == "th" else None, self.heads),
            ("table", {"caption": "", "rows": []} if tag == "table" else None, self.tables),
        ):
            if value is not None:
                assert name == tag or name == "id"
                found.append(value)
        if self.headings:
            self.headings[-1][2] += " "
        if tag in self.HEADINGS:
            self.headings.append([int(tag[1]), "", ""])
        if tag == "tr":
            self.tables[-1]["rows"].append([])
        if tag in ("td", "th"):
            self.tables[-1]["rows"][-1].append("")
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.EMPTY:
            assert self.open, f"</{tag}> closes nothing"
            assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data):
        if "style" in self.open or not self.headings:
            return
        self.headings[-1][1 if set(self.HEADINGS) & set(self.open) else 2] += data
        if "caption" in self.open:
            self.tables[-1]["caption"] += data
        elif {"td", "th"} & set(self.open):
            self.tables[-1]["rows"][-1][-1] += data

    @property
    def text(self):
        return _flat(" ".join(f"{name} {text}" for _, name, text in self.headings))

    def section(self, heading):
        """Return the text below a heading, with that of the headings below it."""
        at = next(i for i, found in enumerate(self.headings) if found[1].strip() == heading)
        level, _, text = self.headings[at]
        for below, name, more in self.headings[at + 1 :]:
            if below <= level:
                break
            text += f" {name} {more}"
        return _flat(text)

    def table(self, caption):
        """Return the cells of the table whose caption begins so."""
        found = next(t for t in self.tables if t["caption"].startswith(caption))
        return [[_flat(cell) for cell in row] for row in found["rows"]]


def _flat(text):
    return " ".join(text.split())
