"""Print the releases of Python and of all libraries here, in order."""

from importlib.metadata import distributions
import platform

print("python", platform.python_version())
print(*sorted({f"{d.name.lower()} {d.version}" for d in distributions()}), sep="\n")
