"""The opcodes of a pickle that a model needs, and what follows each in the file.

Python's ``pickletools`` describes them.
"""

import pickle
import struct
from collections.abc import Iterator

from ttfs.formats.contents import MOST_VALUES, FormatError

MOST_STEPS = MOST_VALUES  # opcodes; a layer takes NumPy about 40

# What follows an opcode in the file: a number; bytes, after their length; or lines of text.
NUMBERS = {
    pickle.PROTO: "<B",
    pickle.FRAME: "<Q",
    pickle.BININT: "<i",
    pickle.BININT1: "<B",
    pickle.BININT2: "<H",
    pickle.BINFLOAT: ">d",
    pickle.BINPUT: "<B",
    pickle.LONG_BINPUT: "<I",
    pickle.BINGET: "<B",
    pickle.LONG_BINGET: "<I",
}
LENGTHS = {
    pickle.LONG1: "<B",
    pickle.SHORT_BINUNICODE: "<B",
    pickle.BINUNICODE: "<I",
    pickle.BINUNICODE8: "<Q",
    pickle.SHORT_BINBYTES: "<B",
    pickle.BINBYTES: "<I",
    pickle.BINBYTES8: "<Q",
    pickle.BYTEARRAY8: "<Q",
}
LINES = {
    pickle.INT: 1,
    pickle.LONG: 1,
    pickle.FLOAT: 1,
    pickle.UNICODE: 1,
    pickle.PUT: 1,
    pickle.GET: 1,
    pickle.GLOBAL: 2,
}


def opcodes(data: bytes) -> Iterator[tuple[bytes, object]]:
    """Yield each opcode up to STOP, with what follows it: a number, a view of the data, or None."""
    view, place = memoryview(data), 0
    for _ in range(MOST_STEPS):
        opcode, argument = data[place : place + 1], None
        place += 1
        layout = NUMBERS.get(opcode) or LENGTHS.get(opcode)
        if layout:
            if place + struct.calcsize(layout) > len(data):
                raise FormatError("it is cut off")
            (argument,) = struct.unpack_from(layout, data, place)
            place += struct.calcsize(layout)
        if opcode in LENGTHS:
            if place + argument > len(data):
                raise FormatError("it is cut off")
            argument, place = view[place : place + argument], place + argument
        if opcode in LINES:
            start = place
            for _ in range(LINES[opcode]):
                place = data.find(b"\n", place) + 1
                if place == 0:
                    raise FormatError("it is cut off")
            argument = view[start : place - 1]
        if opcode == pickle.STOP:
            return
        if not opcode:
            raise FormatError("it is cut off")
        yield opcode, argument
    raise FormatError(f"it takes more than {MOST_STEPS:,} steps; keep long records elsewhere")
