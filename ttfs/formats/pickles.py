"""A model's dict from a pickle, without an unpickler: no name in the file is ever looked up.

A pickle is a program for a machine with a stack and a memo. A model needs some of its opcodes and a
few names, which are understood here and never imported. All else is refused, and so is what takes
more steps or bytes than a model in a file of that size.
"""

import codecs
import pickle
import re
from dataclasses import dataclass

import numpy as np

from ttfs.formats.contents import (
    SPARE,
    FormatError,
    FromTorchError,
    array_of,
    check_keys,
    check_plain,
    number_dtype,
    shown,
)
from ttfs.formats.opcodes import opcodes

LONGEST_NUMBER = 100  # characters, of a number in digits
PIECE = 2**20  # bytes of text decoded at a time, to look at it
WIDE = 6  # bytes that Python needs, at the worst, to decode one byte of text beyond Latin-1

NAMES = {  # NumPy 1 has its own in numpy.core, NumPy 2 in numpy._core
    "numpy.dtype",
    "numpy.ndarray",
    "numpy.multiarray._reconstruct",
    "numpy.multiarray.scalar",
    "numpy.numeric._frombuffer",
    "_codecs.encode",  # bytes, in protocols that have none of their own
    "__builtin__.bytes",  # no bytes, in the same protocols
    "collections.OrderedDict",
}


def unpickled(data: bytes):
    """Return what is pickled in ``data``: built-ins, and arrays of numbers that own their bytes.

    It takes a bounded number of steps, and three times the memory of ``data`` beside it. Raises
    FormatError.
    """
    machine = _Machine(room=3 * len(data) + 2**20)
    for opcode, argument in opcodes(data):
        machine.execute(opcode, argument)
    if machine.below or len(machine.stack) != 1:
        raise FormatError("it is damaged: what it holds is not one value")
    check_plain(machine.stack[0], most_bytes=2 * len(data) + SPARE)
    return machine.stack[0]


@dataclass(frozen=True)
class Name:
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
            case pickle.PROTO | pickle.FRAME:
                pass
            case pickle.NONE:
                self.push(None)
            case pickle.NEWTRUE:
                self.push(True)
            case pickle.NEWFALSE:
                self.push(False)
            case pickle.BININT | pickle.BININT1 | pickle.BININT2 | pickle.BINFLOAT:
                self.push(argument)
            case pickle.LONG1:
                self.push(int.from_bytes(argument, "little", signed=True))
            case pickle.INT | pickle.LONG | pickle.FLOAT:
                self.push(_number(opcode, argument))
            case pickle.UNICODE:
                self.push(self.text(argument, "raw-unicode-escape"))
            case pickle.BINUNICODE | pickle.SHORT_BINUNICODE | pickle.BINUNICODE8:
                self.push(self.text(argument, "utf-8"))
            case pickle.BINBYTES | pickle.SHORT_BINBYTES | pickle.BINBYTES8 | pickle.BYTEARRAY8:
                self.push(argument)
            case pickle.MARK:
                self.below.append(self.stack)
                self.stack = []
            case pickle.EMPTY_TUPLE:
                self.push(())
            case pickle.TUPLE1:
                self.push(tuple(self.popped(1)))
            case pickle.TUPLE2:
                self.push(tuple(self.popped(2)))
            case pickle.TUPLE3:
                self.push(tuple(self.popped(3)))
            case pickle.TUPLE:
                self.push(tuple(self.above_mark()))
            case pickle.EMPTY_LIST:
                self.push([])
            case pickle.LIST:
                self.push(self.above_mark())
            case pickle.APPEND:
                values = self.popped(1)
                self.top(list).extend(values)
            case pickle.APPENDS:
                values = self.above_mark()
                self.top(list).extend(values)
            case pickle.EMPTY_DICT:
                self.push({})
            case pickle.DICT:
                self.push(_dict(self.above_mark()))
            case pickle.SETITEM:
                values = self.popped(2)
                self.top(dict).update(_dict(values))
            case pickle.SETITEMS:
                values = self.above_mark()
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
                # Takes what was built off the stack. The memo keeps an Unbuilt, now with its value.
                unbuilt, state = self.popped(2)
                self.push(self.built(unbuilt, state))
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
            raise FormatError("it is damaged: it fills what is no list and no dict")
        return self.stack[-1]

    def memoize(self, key: int) -> None:
        """Keep the value on top under a key, a number no larger than that of the steps so far."""
        if not 0 <= key <= self.n_steps or not self.stack:
            raise FormatError("it is damaged: its memo has holes")
        self.memo[key] = self.stack[-1]

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

    def text(self, encoded: memoryview, encoding: str) -> str:
        """Return the text that was encoded."""
        self.spend(len(encoded) * (WIDE if _is_wide(encoded, encoding) else 1))
        return str(encoded, encoding)

    def array(self, data, dtype: np.dtype, shape: tuple, is_fortran: bool) -> np.ndarray:
        """Return an array that owns its bytes."""
        if not isinstance(data, bytes | memoryview):
            raise FormatError("it holds an array that was not pickled by NumPy")
        self.spend(len(data))
        return array_of(data, dtype, shape, is_fortran)

    def called(self, function, arguments):
        """Return what NumPy's own pickles, and Python's of bytes, mean by a call.

        Each pattern asks for a type before it compares: arrays do not compare as other values do.
        """
        match function, arguments:
            case Name("numpy.dtype"), (str(code), *_):
                number_dtype(code)
                return Unbuilt(code)
            case Name("numpy.multiarray._reconstruct"), (Name("numpy.ndarray"), *_):
                return Unbuilt()  # whatever it starts as: its state says what it is
            case Name("numpy.multiarray.scalar"), (np.dtype() as dtype, data):
                return self.array(data, dtype, (), False).item()
            case (
                Name("numpy.numeric._frombuffer"),
                (data, np.dtype() as dtype, tuple(shape), str("C" | "F") as order),
            ):
                return self.array(data, dtype, shape, order == "F")
            case Name("_codecs.encode"), (str(text), str("latin1")):
                self.spend(len(text))
                if (encoded := _latin1(text)) is not None:
                    return encoded
            case Name("__builtin__.bytes"), ():
                return b""
            case Name("collections.OrderedDict"), ():
                return {}
        raise FormatError("it makes a call that is not understood here, so it is refused as unsafe")

    def built(self, unbuilt, state) -> np.ndarray | np.dtype:
        """Return an array or a dtype, from the state that NumPy pickled."""
        match unbuilt, state:
            case (
                Unbuilt(code=None, value=None),
                (int(1), tuple(shape), np.dtype() as dtype, bool(is_fortran), data),
            ):
                unbuilt.value = self.array(data, dtype, shape, is_fortran)
                return unbuilt.value
            case (
                Unbuilt(code=str(code), value=None),
                (int(3), str("<" | ">" | "|") as order, None, None, None, *_),
            ):
                unbuilt.value = number_dtype(code).newbyteorder(order)
                return unbuilt.value
        raise FormatError("it is damaged, or changes what is built already")


def _is_wide(encoded: memoryview, encoding: str) -> bool:
    """Return whether a text has characters beyond Latin-1; FormatError if it cannot be decoded.

    It is decoded in pieces, which are dropped: an error would keep a copy of all that it met.
    """
    decoder, wide = codecs.getincrementaldecoder(encoding)(), False
    try:
        for start in range(0, len(encoded), PIECE):
            last = start + PIECE >= len(encoded)
            piece = decoder.decode(encoded[start : start + PIECE], last)
            wide = wide or _latin1(piece) is None
    except UnicodeDecodeError:
        raise FormatError("it is damaged: its text cannot be decoded") from None
    return wide


def _latin1(text: str) -> bytes | None:
    """Return a byte for each character; None if one is beyond Latin-1."""
    try:
        return text.encode("latin1")
    except UnicodeEncodeError:
        return None


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


def _named(module, name) -> Name:
    """Return a name that a model may hold."""
    if not isinstance(module, str) or not isinstance(name, str):
        raise FormatError("it is damaged: a name is no text")
    module, name = module[:200], name[:200]  # longer than any of NumPy's
    place = re.sub(r"^numpy\._?core\.", "numpy.", f"{module}.{name}")
    if place.startswith("torch."):
        raise FromTorchError("it is one of torch's own files")
    if place not in NAMES:
        raise FormatError(f"it asks for {shown(f'{module}.{name}')}, which is refused as unsafe")
    return Name(place)
