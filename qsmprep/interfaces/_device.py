"""Arrays on the device that computes, and back."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

import numpy as np

from qsmprep.errors import RequestError

DEVICES = ("cpu", "cuda")


def check_device(device: str) -> None:
    """
    Refuse a device that this machine does not have, before anything is run.

    Raises
    ------
    RequestError
        If there is no library that computes on it, or none that finds it.
    """
    if device != "cpu":
        _sender(device)


def to_device(array: np.ndarray, device: str):
    """Return an array as the library of the device has it; for the CPU, as it is."""
    return array if device == "cpu" else _sender(device)(array)


def to_host(array) -> np.ndarray:
    """Return an array of any library as NumPy has it."""
    if hasattr(array, "get"):  # CuPy
        return array.get()
    if hasattr(array, "cpu"):  # PyTorch
        return array.cpu().numpy()
    return np.asarray(array)


def _sender(device: str) -> Callable:
    """Return what takes an array to the device: CuPy's if it is there, else PyTorch's."""
    tried = []
    for name, sender in (("cupy", _cupy), ("torch", _torch)):
        try:
            return sender(import_module(name), device)
        except Exception as error:  # noqa: BLE001 - drivers fail in ways of their own
            tried.append(f"{name}: {(str(error) or repr(error)).splitlines()[0]}")
    raise RequestError(
        f"--device {device}: no library finds such a device ({'; '.join(tried)}); install CuPy or "
        "PyTorch for it, or leave the option out"
    )


def _cupy(cupy, device: str) -> Callable:  # noqa: ARG001 - CuPy has one kind of device
    cupy.cuda.Device(0).compute_capability  # noqa: B018 - raises where there is none
    return cupy.asarray


def _torch(torch, device: str) -> Callable:
    torch.zeros(1, device=device)  # raises where there is none
    return lambda array: torch.asarray(np.ascontiguousarray(array), device=device)
