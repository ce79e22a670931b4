from qsmprep.protocol import ALGORITHMS, Protocol
from qsmprep.reports.methods_text import methods_text

LABELS = {
    "Name": "OASIS",
    "License": "CC-BY",
    "References": "https://doi.org/10.3389/fnins.2012.00171",
    "Source": "/atlas",
}


def text_of(*changes, labels=LABELS, **done):
    atlas = "OASIS" if labels else "none"
    protocol = Protocol.read("consensus", [f"segmentation.atlas={atlas}", *changes])
    told = {"name": "consensus", "digest": protocol.digest(), "labels": labels}
    text = methods_text(protocol.stages, ALGORITHMS, **told, **done)
    return text, protocol


def test_every_setting_stands_in_the_text():
    text, protocol = text_of(lesions=True)
    for stage, settings in protocol.stages.items():
        for name, value in settings.items():
            if name != "seed":  # of no meaning to a reader
                assert str(value) in text, (stage, name)
    assert protocol.digest() in text


def test_thresholds_of_lesions_are_told_where_there_are_any_as_an_aid():
    assert "esions" not in text_of()[0]
    text, _ = text_of("lesions.rim=1.75", lesions=True)
    assert "rim 1.75" in text
    assert "a human reading is required" in text


def test_the_space_of_all_sessions_is_told_where_they_were_brought_together():
    assert "2012.02.084" in text_of(longitudinal=True)[0]
    assert "essions" not in text_of()[0]


def test_the_papers_of_the_methods_used_are_cited_and_no_others():
    tkd, _ = text_of("inversion.method=tkd")
    assert "10.1002/mrm.22135" in tkd  # Shmueli 2009
    assert "10.1002/mrm.27073" not in tkd
    wtv, _ = text_of()
    assert "10.1002/mrm.27073" in wtv  # Milovic 2018
    assert "10.1002/mrm.26331" in wtv  # Liu 2017, of the background


def test_the_second_step_for_deep_nuclei_is_told_if_it_was_taken():
    assert "2019.02.016" not in text_of()[0]
    assert (
        "times 300.0/ppm (after Li et al., 2019, doi:10.1016/j.neuroimage.2019.02.016)"
        in (text_of("segmentation.contrast=hybrid", "segmentation.chi_weight=300")[0])
    )


def test_the_atlas_is_cited_with_its_licence():
    text, _ = text_of()
    assert "OASIS, licence CC-BY, from /atlas" in text
    assert "atlas OASIS: https://doi.org/10.3389/fnins.2012.00171" in text


def test_what_was_not_used_is_not_told_of():
    text, _ = text_of("masking.method=precomputed", labels=None)
    assert "Masks of the brain were given" in text
    assert "Regions: none were asked for" in text
    for unused in ("bet", "N4", "SyN", "antspyx", "Template", "fusion"):
        assert unused not in text
