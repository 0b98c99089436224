"""IDX, the file format of MNIST: unsigned bytes with their shape in front."""

import math

import numpy as np
from numpy.typing import NDArray

from vaefill.errors import InputError


def parse_idx(content: bytes) -> NDArray[np.uint8]:
    """Decode an IDX file of unsigned bytes.

    The file is two zero bytes, the type (8: unsigned byte), the number of axes, the length of
    each axis as big-endian uint32, then the values in C order.

    Raises
    ------
    InputError
        When the first bytes are not those of such a file, or its length is not as they say.
    """
    if content[:3] != b"\x00\x00\x08" or len(content) < 4:
        raise InputError(f"not an IDX file of unsigned bytes (starts with {content[:4].hex()!r})")
    start = 4 + 4 * content[3]
    shape = [int.from_bytes(content[i : i + 4], "big") for i in range(4, start, 4)]
    if len(content) != start + math.prod(shape):
        raise InputError(
            f"{len(content)} bytes where an IDX file of shape {shape} has another size"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def format_idx(array: NDArray[np.uint8]) -> bytes:
    """Encode an array as `parse_idx` reads it."""
    lengths = np.array(array.shape, ">u4").tobytes()
    return bytes([0, 0, 8, array.ndim]) + lengths + array.tobytes()
