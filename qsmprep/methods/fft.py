"""Fourier transforms that follow the array they are given."""

from array_api_compat import array_namespace, is_numpy_array
import scipy.fft


def fast_shape(shape, margin=(0, 0, 0)) -> tuple[int, ...]:
    """Return the next shape, `margin` voxels larger or more, that transforms quickly."""
    return tuple(
        scipy.fft.next_fast_len(n + m, real=True) for n, m in zip(shape, margin, strict=True)
    )


def rfftn(x):
    """Transform a real volume; SciPy serves NumPy arrays (single precision stays single)."""
    return scipy.fft.rfftn(x) if is_numpy_array(x) else array_namespace(x).fft.rfftn(x)


def irfftn(x, shape):
    """Return to a real volume of the given shape."""
    if is_numpy_array(x):
        # Two axes in place, then the third, takes half the time of scipy.fft.irfftn.
        spectrum = scipy.fft.ifftn(x.copy(), axes=(0, 1), overwrite_x=True)
        return scipy.fft.irfft(spectrum, n=shape[2], axis=2, overwrite_x=True)
    return array_namespace(x).fft.irfftn(x, s=shape, axes=(0, 1, 2))
