from qsmprep.protocol import ALGORITHMS, Protocol
from qsmprep.reports.methods_text import methods_text


def text_of(*changes):
    protocol = Protocol.read("consensus", ["segmentation.atlas=OASIS", *changes])
    digest = protocol.digest()
    return methods_text(protocol.stages, ALGORITHMS, name="consensus", digest=digest), protocol


def test_every_setting_stands_in_the_text():
    text, protocol = text_of()
    for stage, settings in protocol.stages.items():
        for name, value in settings.items():
            if name != "seed":  # of no meaning to a reader
                assert str(value) in text, (stage, name)
    assert protocol.digest() in text


def test_the_papers_of_the_methods_used_are_cited_and_no_others():
    tkd, _ = text_of("inversion.method=tkd")
    assert "10.1002/mrm.22135" in tkd  # Shmueli 2009
    assert "10.1002/mrm.27073" not in tkd
    wtv, _ = text_of()
    assert "10.1002/mrm.27073" in wtv  # Milovic 2018
    assert "10.1002/mrm.26331" in wtv  # Liu 2017, of the background
