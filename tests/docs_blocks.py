"""The code blocks of the documentation, and the commands in them."""

from dataclasses import dataclass
from pathlib import Path
import re
from textwrap import dedent

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs/models").glob("*.md")),
]
_FENCE = re.compile(r"^( *)```([^\n]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A block between fences: its page, the line it begins at, its language and its content."""

    page: str
    line: int
    language: str
    content: str

    def __str__(self):
        return f"{self.page}:{self.line}"


def blocks(language=None):
    """Return all blocks, or those of a language."""
    found = []
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        for match in _FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            name = path.relative_to(ROOT).as_posix()
            found.append(Block(name, line, match[2].strip(), dedent(match[3])))
    return [block for block in found if language in (None, block.language)]


def commands():
    """Return every shell command once, as one line without comments, with its first place."""
    found = {}
    for block in blocks("sh"):
        for line in block.content.replace("\\\n", " ").splitlines():
            command = " ".join(re.sub(r"(^|\s)#.*", "", line).split())
            for part in filter(None, command.split(" && ")):
                found.setdefault(part, str(block))
    return found


def normal(text):
    """Return shell text with all that stands for a path of the user's alike: `_`."""
    text = re.sub(r"(\\\n|\s)+", " ", text)
    text = re.sub(r"[\"']", "", text)
    text = re.sub(r"\$\((?!id )[^)]*\)[^\s:,]*|\$\{?\w+\}?[^\s:,]*", "_", text)
    return re.sub(r"(?<![\w/.=-])[A-Z]{3,}[\w/.-]*|(?<==)[A-Z]{3,}[\w/.-]*", "_", text)
