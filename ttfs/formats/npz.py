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
from collections.abc import Iterator

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
# The last 22 bytes: a mark, the size of the directory and that of a comment.
END = struct.Struct("<4s 8x I 4x H")
MARK_OF_END, MARK_OF_ZIP64 = b"PK\5\6", b"PK\6\7"  # the second lies 20 bytes before the first
LONGEST_DIRECTORY = 2**18  # bytes; NumPy writes 60 per array
LONGEST_RECORD = 2**20  # bytes
ARRAY = re.compile(  # NumPy's header: version, its length, and a dict; the array's values follow
    rb"\x93NUMPY(?:\x01\0(..)|[\x02\x03]\0(....))\{'descr': '([^']{1,20})', "
    rb"'fortran_order': (True|False), 'shape': \(([\d, ]{0,100})\), \} *\n",
    re.DOTALL,
)


def archived(contents: dict) -> bytes:
    """Return a model's dict as an archive; FormatError if JSON cannot have what it records."""
    lists = {key: contents[key] for key in ("weights", "biases")}
    arrays = {f"{key}_{n}": array for key in lists for n, array in enumerate(lists[key])}
    try:
        record = json.dumps({key: contents[key] for key in contents if key not in lists})
    except (TypeError, ValueError) as error:  # an array; a number of thousands of digits
        raise FormatError(f"an .npz has no place for it: {error}") from error
    file = io.BytesIO()
    np.savez(file, **arrays, record=np.frombuffer(record.encode(), np.uint8))
    return file.getvalue()


def unarchived(data: bytes) -> dict:
    """Return the model's dict in an archive; FormatError if it is none, or is compressed."""
    arrays = {name.removesuffix(".npy"): _array(member) for name, member in _members(data)}
    contents = _recorded(arrays.pop("record")) if "record" in arrays else {}
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


def _members(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the names and bytes of what lies in an archive, no more in all than its own bytes."""
    if b"/data.pkl" in data[:300]:  # the name of the first entry
        raise FromTorchError("it is one of torch's own files")
    mark, length, comment = END.unpack(data[-END.size :].rjust(END.size))
    is_zip64 = data[-END.size - 20 :].startswith(MARK_OF_ZIP64)
    if mark != MARK_OF_END or comment or is_zip64 or length > LONGEST_DIRECTORY:
        raise FormatError("it is cut off, or no archive of NumPy's")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            files = archive.infolist()
            if any(file.compress_type != zipfile.ZIP_STORED for file in files):
                raise FormatError("it is compressed, which numpy.savez does not do")
            if any(file.compress_size != file.file_size for file in files):
                raise FormatError("it is damaged, or no archive of NumPy's")
            if sum(file.file_size for file in files) > len(data):
                raise FormatError("it holds more than a file of its size can")
            if len({file.filename for file in files}) < len(files):
                raise FormatError("it holds two arrays of the same name")
            for file in files:
                yield file.filename, archive.read(file)
    except FormatError:
        raise
    except Exception as error:  # a damaged archive makes zipfile raise nearly anything
        raise FormatError("it is damaged, or no archive of NumPy's") from error


def _array(member: bytes) -> np.ndarray:
    """Return the array in NumPy's own format for one."""
    header = ARRAY.match(member)
    if not header:
        raise FormatError("it holds something else than arrays of numbers")
    short, long, code, is_fortran, sizes = header.groups()
    length, start = short or long, header.end()
    if start != header.end(1 if short else 2) + int.from_bytes(length, "little"):
        raise FormatError("it holds an array whose header has another length than it says")
    shape = tuple(map(int, re.findall(rb"\d+", sizes)))
    dtype = number_dtype(str(code, "latin1"))
    return array_of(memoryview(member)[start:], dtype, shape, is_fortran == b"True")


def _recorded(text: np.ndarray) -> dict:
    """Return the dict in the bytes of a JSON object."""
    if text.nbytes > LONGEST_RECORD:
        raise FormatError(f"its record has more than {LONGEST_RECORD:,} bytes")
    try:
        record = json.loads(text.tobytes())
    except (ValueError, RecursionError) as error:
        raise FormatError("its record is no JSON object") from error
    if not isinstance(record, dict):
        raise FormatError("its record is no JSON object")
    check_plain(record, most_bytes=0)
    return record
