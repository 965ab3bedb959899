"""Writers of the formats in which official datasets come, for small stand-ins."""

import io
import pickle

import numpy as np
from PIL import Image


def idx(array):
    """Return the content of an idx file."""
    return b"\0\0\x08" + bytes([array.ndim]) + b"".join(n.to_bytes(4) for n in array.shape) + array.tobytes()


def jpeg(pixels):
    """Return the content of a JPEG file, from pixels (H, W) or (H, W, 3)."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", quality=95)
    return content.getvalue()


class _Python2Pickler(pickle._Pickler):
    """Writes bytes as the strings of Python 2, and NumPy's functions under the names they had then."""

    def save_bytes(self, text):
        code, size = (pickle.SHORT_BINSTRING, 1) if len(text) < 256 else (pickle.BINSTRING, 4)
        self.write(code + len(text).to_bytes(size, "little") + text)
        self.memoize(text)

    def save_array(self, array):
        state = (1, array.shape, array.dtype, False, array.tobytes())
        self.save_reduce(_reconstruct, (np.ndarray, (0,), b"b"), state, obj=array)

    def save_global(self, thing, name=None):
        if thing is _reconstruct:
            self.write(pickle.GLOBAL + b"numpy.core.multiarray\n_reconstruct\n")
            self.memoize(thing)
        else:
            super().save_global(thing, name)

    dispatch = pickle._Pickler.dispatch | {bytes: save_bytes, np.ndarray: save_array}


_reconstruct = np.empty(0).__reduce__()[0]


def python2_pickle(value):
    """Return a pickle as those of CIFAR are, written by Python 2: keys and texts are given as bytes."""
    content = io.BytesIO()
    _Python2Pickler(content, protocol=2).dump(value)
    return content.getvalue()
