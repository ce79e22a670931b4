"""Compiled loops."""

from __future__ import annotations

import os
from pathlib import Path

import numba

# Numba refuses to import a cached function where it finds no place to write its cache, as in a
# read-only container; there, loops are compiled anew in each process, which takes seconds.
_CACHE = "NUMBA_CACHE_DIR" in os.environ or os.access(Path(__file__).parent, os.W_OK)


def compiled(function):
    """Compile a function of NumPy arrays, and keep the result between runs where possible."""
    return numba.njit(cache=_CACHE, nogil=True)(function)


def compiled_sums(function):
    """
    Compile as `compiled` does, free to add up in any order.

    Sums over short runs of memory are several times faster so; they differ by rounding between
    kinds of processors, not between runs.
    """
    return numba.njit(cache=_CACHE, nogil=True, fastmath={"reassoc", "contract"})(function)
