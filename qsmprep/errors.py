"""
What can go wrong, and who can mend it.

* QSMPrepError
  - RequestError         the command line asks for something that cannot be done
  - ProtocolError        the protocol asks for something that does not exist
  - InputError           a file lacks something the protocol needs
  - ResourceError        the machine has too little of something
"""

import json
from pathlib import Path


class QSMPrepError(Exception):
    """Shown to users as one sentence, without a traceback."""


class RequestError(QSMPrepError):
    """The command line asks for something that cannot be done."""


class ProtocolError(QSMPrepError):
    """The protocol asks for something that does not exist."""


class ResourceError(QSMPrepError):
    """The machine has too little memory or space."""


class InputError(QSMPrepError):
    """
    A file lacks something the protocol needs.

    Parameters
    ----------
    path
        The file.
    fact
        What is wrong with it.
    remedy
        What its owner can do about it.
    """

    def __init__(self, path: str | Path, fact: str, remedy: str):
        super().__init__(f"{path}: {fact}; {remedy}")
        self.path, self.fact, self.remedy = str(path), fact, remedy

    def __reduce__(self):
        """Pickle with all three parts, as worker processes need."""
        return type(self), (self.path, self.fact, self.remedy)


def shown(value: object) -> str:
    """Return a value as TOML and JSON write it, or nearly so."""
    return json.dumps(value, default=str)
