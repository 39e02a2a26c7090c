"""A model's dict as NumPy's archive of arrays, .npz: nothing in such a file can ever run.

It holds ``weights_0``, ``biases_0``, ``weights_1`` ..., and ``record``: what else the dict has, as
the bytes of a JSON object. They lie in it uncompressed, as NumPy's ``savez`` writes them, so that a
file needs no more memory than it has bytes.
"""

import io
import json
import re
import struct
import zipfile

import numpy as np

from ttfs.formats.contents import (
    FormatError,
    FromTorchError,
    array_of,
    check_plain,
    number_dtype,
    shown,
)

START_OF_ARCHIVE = b"PK\3\4"
END = struct.Struct(
    "<4s8xI4xH"
)  # its last 22 bytes: b"PK\5\6", the directory's length, a comment's
LONGEST_DIRECTORY = 2**18  # bytes; NumPy writes 60 per array
LONGEST_RECORD = 2**20  # bytes
ARRAY = re.compile(  # NumPy's header; the array's values follow
    rb"\x93NUMPY(?:\x01\0..|[\x02\x03]\0....)\{'descr': '([^']{1,20})', "
    rb"'fortran_order': (True|False), 'shape': \(([\d, ]{0,100})\), \} *\n",
    re.DOTALL,
)


def archived(contents: dict) -> bytes:
    """Return a model's dict as an archive; FormatError if JSON cannot have what it records."""
    lists = {key: contents[key] for key in ("weights", "biases")}
    arrays = {f"{key}_{n}": array for key in lists for n, array in enumerate(lists[key])}
    try:
        record = json.dumps({key: contents[key] for key in contents if key not in lists})
    except TypeError as error:
        raise FormatError(f"an .npz has no place for it: {error}") from error
    file = io.BytesIO()
    np.savez(file, **arrays, record=np.frombuffer(record.encode(), np.uint8))
    return file.getvalue()


def unarchived(data: bytes) -> dict:
    """Return the model's dict in an archive; FormatError if it is none, or is compressed."""
    arrays = {name.removesuffix(".npy"): _array(member) for name, member in _members(data)}
    contents = _recorded(arrays.pop("record", np.frombuffer(b"{}", np.uint8)))
    for key in ("weights", "biases"):
        contents[key] = []
        while (name := f"{key}_{len(contents[key])}") in arrays:
            contents[key].append(arrays.pop(name))
    if arrays:
        raise FormatError(
            f"it holds {shown(min(arrays))}; an .npz model has weights_0, biases_0, weights_1 ..., "
            "and record"
        )
    return contents


def _members(data: bytes):
    """Yield the names and bytes of what lies in an archive, no more in all than its own bytes."""
    if b"/data.pkl" in data[-LONGEST_DIRECTORY:]:
        raise FromTorchError("it is one of torch's own files")
    signature, length, comment = END.unpack(data[-END.size :].rjust(END.size))
    if (
        signature != b"PK\5\6"
        or comment
        or length > LONGEST_DIRECTORY
        or b"PK\6\7" in data[-42:-38]
    ):
        raise FormatError("it is cut off, or no archive of NumPy's")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            files = archive.infolist()
            if any(file.compress_type != zipfile.ZIP_STORED for file in files):
                raise FormatError("it is compressed, which numpy.savez does not do")
            if sum(file.file_size for file in files) > len(data):
                raise FormatError("it holds more than a file of its size can")
            for file in files:
                yield file.filename, archive.read(file)
    except FormatError:
        raise
    # What zipfile makes of a damaged archive.
    except (zipfile.BadZipFile, ValueError, RuntimeError, EOFError, struct.error) as error:
        raise FormatError("it is damaged, or no archive of NumPy's") from error


def _array(member: bytes) -> np.ndarray:
    """Return the array in NumPy's own format for one."""
    header = ARRAY.match(member)
    if not header:
        raise FormatError("it holds something else than arrays of numbers")
    dtype = number_dtype(str(header[1], "latin1"))
    shape = tuple(map(int, re.findall(rb"\d+", header[3])))
    return array_of(memoryview(member)[header.end() :], dtype, shape, header[2] == b"True")


def _recorded(text: np.ndarray) -> dict:
    """Return the dict in the bytes of a JSON object."""
    try:
        record = json.loads(text.tobytes()) if text.nbytes <= LONGEST_RECORD else None
    except (ValueError, RecursionError) as error:
        raise FormatError("its record is no JSON object") from error
    if not isinstance(record, dict):
        raise FormatError(f"its record is no JSON object of at most {LONGEST_RECORD:,} bytes")
    check_plain(record, most_bytes=0)
    return record
