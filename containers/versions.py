"""Print the releases of Python and of all libraries here, in order."""

from importlib.metadata import distributions
import platform

here = {f"{d.name.lower()} {d.version}" for d in distributions()}
print(*sorted(here | {f"python {platform.python_version()}"}), sep="\n")
