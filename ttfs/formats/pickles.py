"""A model's dict from a pickle, without an unpickler: no name in the file is ever looked up.

A pickle is a program for a machine with a stack and a memo. A model needs the opcodes below and six
names of NumPy's, which are understood here and never imported. All else is refused, and so is what
takes more steps or bytes than a model in a file of that size. Python's ``pickletools`` describes
the opcodes.
"""

import pickle
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ttfs.formats.contents import (
    FormatError,
    FromTorchError,
    array_of,
    check_keys,
    check_plain,
    number_dtype,
    shown,
)

MOST_STEPS = 100_000  # opcodes; a layer takes NumPy about 40
LONGEST_NUMBER = 100  # characters, of a number in digits

# What follows an opcode in the file: a number; bytes, after their length; or a line of text.
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
LINES = {pickle.INT, pickle.LONG, pickle.FLOAT, pickle.UNICODE, pickle.PUT, pickle.GET}
LINES |= {pickle.GLOBAL}  # this one takes two

NAMES = {  # NumPy 1 has them in numpy.core, NumPy 2 in numpy._core
    "numpy.dtype",
    "numpy.ndarray",
    "numpy.multiarray._reconstruct",
    "numpy.multiarray.scalar",
    "numpy.numeric._frombuffer",
    "_codecs.encode",  # bytes, in protocols that have none of their own
}


def unpickled(data: bytes):
    """Return what is pickled in ``data``: built-ins, and arrays of numbers that own their bytes.

    It takes at most ``MOST_STEPS`` steps and three times the memory of ``data``; raises
    FormatError.
    """
    machine = _Machine(room=3 * len(data) + 2**16)
    for opcode, argument in _opcodes(data):
        machine.execute(opcode, argument)
    if machine.below or len(machine.stack) != 1:
        raise FormatError("it is damaged: what it holds is not one value")
    check_plain(machine.stack[0], most_bytes=2 * len(data))
    return machine.stack[0]


@dataclass(frozen=True)
class NumpyName:
    """A name in the file, one of ``NAMES``."""

    place: str


@dataclass
class Unbuilt:
    """What NumPy builds by a call and then a state, which comes once: an array, or a dtype."""

    code: str | None = None  # of a dtype
    value: np.ndarray | np.dtype | None = None

    def finished(self) -> np.ndarray | np.dtype:
        """Return what was built; FormatError if it has no state yet."""
        if self.value is None:
            raise FormatError("it is damaged: an array lacks its state")
        return self.value


def _opcodes(data: bytes) -> Iterator[tuple[bytes, object]]:
    """Yield each opcode with what follows it: a number, a view of bytes or of a line, or None."""
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
        if opcode in LENGTHS or opcode in LINES:
            end = place + argument if opcode in LENGTHS else data.find(b"\n", place)
            if opcode == pickle.GLOBAL and end >= 0:
                end = data.find(b"\n", end + 1)
            if not 0 <= end <= len(data):
                raise FormatError("it is cut off")
            argument, place = view[place:end], end + (opcode in LINES)
        yield opcode, argument
        if opcode == pickle.STOP:
            return
    raise FormatError(f"it takes more than {MOST_STEPS:,} steps, which no model does")


class _Machine:
    """The pickle machine: executes opcodes, and makes no more than ``room`` bytes of values."""

    def __init__(self, room: int) -> None:
        self.room, self.n_steps = room, 0
        self.stack, self.below = [], []  # what lies above the last mark, and below each mark
        self.memo = {}

    def execute(self, opcode: bytes, argument) -> None:
        """Execute one opcode."""
        self.n_steps += 1
        match opcode:
            case pickle.PROTO | pickle.FRAME | pickle.STOP:
                pass
            case pickle.NONE | pickle.NEWTRUE | pickle.NEWFALSE:
                self.push({pickle.NEWTRUE: True, pickle.NEWFALSE: False}.get(opcode))
            case pickle.BININT | pickle.BININT1 | pickle.BININT2 | pickle.BINFLOAT:
                self.push(argument)
            case pickle.LONG1:
                self.push(int.from_bytes(argument, "little", signed=True))
            case pickle.INT | pickle.LONG | pickle.FLOAT:
                self.push(_number(opcode, argument))
            case pickle.UNICODE:
                self.push(self.text(argument, "raw-unicode-escape", rb"\\U|\\u(?!00)"))
            case pickle.BINUNICODE | pickle.SHORT_BINUNICODE | pickle.BINUNICODE8:
                self.push(self.text(argument, "utf-8", rb"[\xc4-\xff]"))
            case pickle.BINBYTES | pickle.SHORT_BINBYTES | pickle.BINBYTES8 | pickle.BYTEARRAY8:
                self.push(argument)
            case pickle.EMPTY_TUPLE | pickle.EMPTY_LIST | pickle.EMPTY_DICT:
                self.push({pickle.EMPTY_LIST: list, pickle.EMPTY_DICT: dict}.get(opcode, tuple)())
            case pickle.MARK:
                self.below.append(self.stack)
                self.stack = []
            case pickle.TUPLE | pickle.LIST | pickle.DICT:
                values = self.above_mark()
                self.push({pickle.LIST: list, pickle.DICT: _dict}.get(opcode, tuple)(values))
            case pickle.TUPLE1 | pickle.TUPLE2 | pickle.TUPLE3:
                length = 1 + [pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3].index(opcode)
                self.push(tuple(self.popped(length)))
            case pickle.APPEND | pickle.APPENDS:
                values = self.popped(1) if opcode == pickle.APPEND else self.above_mark()
                self.top(list).extend(values)
            case pickle.SETITEM | pickle.SETITEMS:
                values = self.popped(2) if opcode == pickle.SETITEM else self.above_mark()
                self.top(dict).update(_dict(values))
            case pickle.MEMOIZE:
                self.memoize(len(self.memo))
            case pickle.BINPUT | pickle.LONG_BINPUT:
                self.memoize(argument)
            case pickle.PUT:
                self.memoize(_number(opcode, argument))
            case pickle.BINGET | pickle.LONG_BINGET:
                self.push(self.recalled(argument))
            case pickle.GET:
                self.push(self.recalled(_number(opcode, argument)))
            case pickle.GLOBAL:
                module, _, name = str(argument[:200], "utf-8", "replace").partition("\n")
                self.push(_named(module, name))
            case pickle.STACK_GLOBAL:
                self.push(_named(*self.popped(2)))
            case pickle.REDUCE:
                self.push(self.called(*self.popped(2)))
            case pickle.BUILD:
                (state,) = self.popped(1)
                self.push(self.built(self.top(Unbuilt), state))
                del self.stack[-2]
            case b"":
                raise FormatError("it is cut off")
            case _:
                raise FormatError(f"it has the opcode {opcode}, which is refused as unsafe")

    def push(self, value) -> None:
        """Put a value on the stack."""
        self.stack.append(value)

    def popped(self, n: int) -> list:
        """Return the n values on top, and take them off."""
        if len(self.stack) < n:
            raise FormatError("it is damaged: its stack is empty")
        values = self.stack[-n:]
        del self.stack[-n:]
        return values

    def above_mark(self) -> list:
        """Return the values above the last mark, and take them and the mark off."""
        if not self.below:
            raise FormatError("it is damaged: a mark is missing")
        values, self.stack = self.stack, self.below.pop()
        return values

    def top(self, kind: type):
        """Return the value on top, which must be of this kind."""
        if not self.stack or not isinstance(self.stack[-1], kind):
            raise FormatError("it is damaged, or changes what is built already")
        return self.stack[-1]

    def memoize(self, key: int) -> None:
        """Keep the value on top under a key, a number no larger than that of the steps so far."""
        if not 0 <= key <= self.n_steps:
            raise FormatError("it is damaged: its memo has holes")
        self.memo[key] = self.top(object)

    def recalled(self, key: int):
        """Return what the memo has under a key; of what was built since then, the built value."""
        if key not in self.memo:
            raise FormatError("it is damaged: its memo lacks a value")
        value = self.memo[key]
        return value.finished() if isinstance(value, Unbuilt) else value

    def spend(self, n_bytes: int) -> None:
        """Take memory for a value out of ``room``, before the value is made."""
        self.room -= n_bytes
        if self.room < 0:
            raise FormatError("it makes more of its bytes than a model does")

    def text(self, encoded: memoryview, encoding: str, wide: bytes) -> str:
        """Return the text; where ``wide`` matches, it takes up to six bytes per byte to decode."""
        self.spend(len(encoded) * (6 if re.search(wide, encoded) else 1))
        try:
            return str(encoded, encoding)
        except UnicodeDecodeError as error:
            raise FormatError("it is damaged: its text cannot be decoded") from error

    def array(self, data, dtype: np.dtype, shape: tuple, is_fortran: bool) -> np.ndarray:
        """Return an array that owns its bytes, if there is room for it."""
        if not isinstance(data, bytes | memoryview):
            raise FormatError("it holds an array that was not pickled by NumPy")
        self.spend(len(data))
        return array_of(data, dtype, shape, is_fortran)

    def called(self, function, arguments):
        """Return what NumPy's own pickles mean by a call.

        Each pattern asks for a type before it compares: arrays do not compare as other values do.
        """
        match function, arguments:
            case NumpyName("numpy.dtype"), (str(code), *_):
                number_dtype(code)
                return Unbuilt(code)
            case (
                NumpyName("numpy.multiarray._reconstruct"),
                (NumpyName("numpy.ndarray"), (int(0),), bytes() | memoryview() as code),
            ) if code == b"b":  # what every array starts as
                return Unbuilt()
            case NumpyName("numpy.multiarray.scalar"), (np.dtype() as dtype, data):
                return self.array(data, dtype, (), False).item()
            case (
                NumpyName("numpy.numeric._frombuffer"),
                (data, np.dtype() as dtype, tuple(shape), str("C" | "F") as order),
            ):
                return self.array(data, dtype, shape, order == "F")
            case NumpyName("_codecs.encode"), (str(text), str("latin1")):
                self.spend(len(text))
                if not re.search("[^\0-\xff]", text):
                    return text.encode("latin1")
        raise FormatError("it makes a call that no array needs, which is refused as unsafe")

    def built(self, unbuilt: Unbuilt, state):
        """Return an array or a dtype, from the state that NumPy pickled."""
        match unbuilt.code, state:
            case None, (int(1), tuple(shape), np.dtype() as dtype, bool(is_fortran), data):
                unbuilt.value = self.array(data, dtype, shape, is_fortran)
            case str(code), (int(3), str("<" | ">" | "|") as order, None, None, None, *_):
                unbuilt.value = number_dtype(code).newbyteorder(order)
        return unbuilt.finished()


def _number(opcode: bytes, line: memoryview) -> bool | int | float:
    """Return the number in a line of text."""
    text = bytes(line[: LONGEST_NUMBER + 1])
    if opcode == pickle.INT and text in (b"00", b"01"):
        return text == b"01"
    try:
        if len(text) > LONGEST_NUMBER:
            raise ValueError
        return float(text) if opcode == pickle.FLOAT else int(text.removesuffix(b"L"))
    except ValueError:
        raise FormatError("it is damaged: a number cannot be read") from None


def _dict(values: list) -> dict:
    """Return a dict of keys and values in turn."""
    keys, values = values[::2], values[1::2]
    check_keys(keys)
    if len(keys) != len(values):
        raise FormatError("it is damaged: a key lacks its value")
    return dict(zip(keys, values, strict=True))


def _named(module, name) -> NumpyName:
    """Return a name that a model may hold."""
    if not isinstance(module, str) or not isinstance(name, str):
        raise FormatError("it is damaged: a name is no text")
    module, name = module[:200], name[:200]  # longer than any of NumPy's
    place = re.sub(r"^numpy\._?core\.", "numpy.", f"{module}.{name}")
    if name == "OrderedDict" or place.startswith("torch."):
        raise FromTorchError("it is one of torch's own files")
    if place not in NAMES:
        raise FormatError(f"it asks for {shown(f'{module}.{name}')}, which is refused as unsafe")
    return NumpyName(place)
