"""What a page says, read the way a browser does."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "img", "input", "br", "hr"}


@dataclass
class Element:
    """An element with its attributes, its text, and what is in it."""

    tag: str
    attributes: dict = field(default_factory=dict)
    children: list = field(default_factory=list)
    pieces: list = field(default_factory=list)

    @property
    def text(self):
        return " ".join("".join(self.pieces).split())

    def all(self, tag, **attributes):
        """Return all elements within, at any depth."""
        found = []
        for child in self.children:
            given = {key: child.attributes.get(key) for key in attributes}
            found += [child] if child.tag == tag and given == attributes else []
            found += child.all(tag, **attributes)
        return found

    def rows(self):
        """Return the text of all cells of a table, its header first."""
        return [[cell.text for cell in row.all("th") + row.all("td")] for row in self.all("tr")]


class Page(HTMLParser):
    """Read a page strictly: what is opened is closed, in order."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.root = Element("root")
        self.open = [self.root]
        self.feed(text)
        self.close()
        assert self.open == [self.root], f"not closed: {self.open[-1].tag}"

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"an attribute twice in {tag}"
        element = Element(tag, dict(attrs))
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.open[-1].children.append(Element(tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open[-1].tag == tag, f"{tag} closes {self.open[-1].tag}"
        self.open.pop()

    def handle_data(self, data):
        if self.open[-1].tag not in ("style", "script"):
            for element in self.open:
                element.pieces.append(data)

    def all(self, tag, **attributes):
        return self.root.all(tag, **attributes)

    def part(self, identifier):
        """Return the element with an id."""
        return next(e for e in self.root.all("section") if e.attributes.get("id") == identifier)
