"""Model files made to do harm: each is a few opcodes, or an archive, that no honest program writes.

``python tests/crafted.py FOLDER`` writes them, to be tried on another reader.
"""

import io
import pickle as op
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np

MB = 2**20


def text(value: str) -> bytes:
    encoded = value.encode("utf-8", "surrogatepass")
    return op.BINUNICODE + struct.pack("<I", len(encoded)) + encoded


def raw(value: bytes) -> bytes:
    return op.BINBYTES + struct.pack("<I", len(value)) + value


def whole(value: int) -> bytes:
    encoded = value.to_bytes((value.bit_length() + 8) // 8, "little", signed=True)
    if len(encoded) < 256:
        return op.LONG1 + bytes([len(encoded)]) + encoded
    return op.LONG4 + struct.pack("<i", len(encoded)) + encoded


def named(place: str) -> bytes:
    module, name = place.rsplit(".", 1)
    return op.GLOBAL + module.encode() + b"\n" + name.encode() + b"\n"


def many(*values: bytes) -> bytes:
    return op.MARK + b"".join(values) + op.TUPLE


def put(key: int) -> bytes:
    return op.LONG_BINPUT + struct.pack("<I", key)


def get(key: int) -> bytes:
    return op.LONG_BINGET + struct.pack("<I", key)


def dtype(code: str, order: str = "<") -> bytes:
    call = named("numpy.dtype") + many(text(code), op.NEWFALSE, op.NEWTRUE) + op.REDUCE
    none = op.NONE * 3
    return call + many(whole(3), text(order), none, whole(-1), whole(-1), whole(0)) + op.BUILD


RECONSTRUCT = "numpy._core.multiarray._reconstruct"
FROM_BUFFER = "numpy._core.numeric._frombuffer"
UNBUILT = named(RECONSTRUCT) + many(named("numpy.ndarray"), many(whole(0)), raw(b"b")) + op.REDUCE


def state(shape: tuple, code: str, data: bytes, order: str = "<") -> bytes:
    sizes = many(*map(whole, shape))
    return many(whole(1), sizes, dtype(code, order), op.NEWFALSE, data)


def array(shape: tuple, data: bytes, code: str = "f4") -> bytes:
    return UNBUILT + state(shape, code, data) + op.BUILD


def viewed(data: bytes, shape: tuple) -> bytes:
    arguments = many(data, dtype("f4"), many(*map(whole, shape)), text("C"))
    return named(FROM_BUFFER) + arguments + op.REDUCE


def listed(*values: bytes) -> bytes:
    return op.EMPTY_LIST + op.MARK + b"".join(values) + op.APPENDS


WEIGHT, BIAS = array((2, 1), raw(bytes(8))), array((1,), raw(bytes(4)))


def model(weights=None, biases=None, before: bytes = b"", **others: bytes) -> bytes:
    """Return a model whose weights, biases and other values are what these opcodes leave."""
    entries = {"weights": weights or listed(WEIGHT), "biases": biases or listed(BIAS)} | others
    pairs = b"".join(text(key) + value for key, value in entries.items())
    return op.PROTO + b"\4" + before + op.EMPTY_DICT + op.MARK + pairs + op.SETITEMS + op.STOP


def doubled(times: int, value: bytes = op.EMPTY_LIST) -> bytes:
    """Return x = [x, x], so many times over: a few hundred bytes that name 2 ** times values."""
    for key in range(times):
        value = listed(value + put(key), get(key))
    return value


def nested(depth: int) -> bytes:
    return op.EMPTY_LIST * depth + op.NONE + op.APPEND * depth


def hash_zero(n: int) -> int:
    """Return a whole number whose hash in Python is that of 7."""
    return 7 + n * (2**61 - 1)


def npy(header: bytes, data: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header + data


def archive(members: dict, compression=zipfile.ZIP_STORED, comment: bytes = b"") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as packed:
        for name, data in members.items():
            packed.writestr(zipfile.ZipInfo(f"{name}.npy"), data, compression)
        packed.comment = comment
    return file.getvalue()


def of_arrays(**arrays) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


ROW = raw(bytes(4 * MB))
CALL = named("_codecs.encode") + many(get(0), text("latin1")) + op.REDUCE
SECOND_STATE = state((1024, 1024), "f4", ROW, order=">")
ESCAPES = "\x1b]0;owned\a\x1b[2J"
SHAPES = {
    "negative": (-1, -8),
    "huge": (2**40, 2**40),
    "huge and empty": (2**62, 0),
    "of 64 dimensions": (1,) * 64,
}
HUGE = 2**31 - 1
SMALL = {
    "a shape too huge for NumPy, and empty": lambda: model(
        note=array((0, HUGE, HUGE, HUGE), raw(b""))
    ),
    "weights of a huge and empty shape": lambda: model(
        listed(array((0, HUGE, HUGE), raw(b""), code="i1"))
    ),
    "archive: a shape too huge for NumPy, and empty": lambda: archive(
        {"weights_0": npy(header(f"(0, {HUGE}, {HUGE}, {HUGE})"))}
    ),
    "archive: an entry beyond all files": lambda: far(archive({"w": npy_of(np.ones(1, "f4"))})),
    "archive: a header of another length": lambda: archive(
        {"weights_0": npy(header("(1, 1)") + b" \n", bytes(4))}
    ),
    "archive: two entries of the same name": lambda: renamed(
        archive({"w": npy_of(np.ones(1, "f4")), "x": bytes(1000)}), 2
    ),
    "an architecture of six times 600 digits": lambda: model(
        architecture=listed(*[whole(10**600)] * 6)
    ),
    "an array that gets its state twice": lambda: model(
        listed(WEIGHT + state((2, 1), "f4", raw(bytes(8))) + op.BUILD)
    ),
    "a view of an array": lambda: model(listed(WEIGHT + put(0), viewed(get(0), (2, 1)))),
    "a view of a view": lambda: model(
        listed(viewed(raw(bytes(8)), (2, 1)) + put(0), viewed(get(0), (2, 1)))
    ),
    "an array that is named before it has its state": lambda: model(
        listed(UNBUILT + put(0) + get(0) + state((2, 1), "f4", raw(bytes(8))) + op.BUILD)
    ),
    "an array without a state": lambda: model(listed(UNBUILT)),
    "a dtype whose order is changed": lambda: model(
        note=dtype("f4") + put(0) + many(whole(3), text(">"), op.NONE * 3) + op.BUILD
    ),
    "a length that is not there": lambda: (
        op.PROTO + b"\5" + op.BYTEARRAY8 + struct.pack("<Q", 2**40)
    ),
    "a length beyond all numbers": lambda: op.BYTEARRAY8 + b"\xff" * 8,
    "text of a length that is not there": lambda: op.BINUNICODE8 + struct.pack("<Q", 2**40),
    "a state for a function": lambda: model(
        note=named("_codecs.encode") + op.EMPTY_DICT + op.BUILD
    ),
    "a state for NumPy's function": lambda: model(
        note=named(RECONSTRUCT) + op.EMPTY_DICT + text("__name__") + op.NONE + op.SETITEM + op.BUILD
    ),
    "a name of escape sequences": lambda: named(f"os.{ESCAPES}") + op.STOP,
    "a name that is a list": lambda: doubled(26) + text("a") + op.STACK_GLOBAL + op.STOP,
    "a dtype of escape sequences": lambda: model(note=dtype(ESCAPES)),
    "objects as an array": lambda: model(note=array((1,), raw(bytes(8)), code="O8")),
    "weights that hold themselves": lambda: model(weights=doubled(26)),
    "biases that hold themselves": lambda: model(biases=doubled(26)),
    "an architecture that holds itself": lambda: model(architecture=doubled(26)),
    "a note that holds itself": lambda: model(note=doubled(26)),
    "a list within itself": lambda: model(note=op.EMPTY_LIST + put(0) + get(0) + op.APPEND),
    "a list of numbers as a bias": lambda: model(biases=listed(listed(whole(1)))),
    "a far memo key": lambda: op.NONE + put(2**32 - 1) + op.STOP,
    "an architecture of 5,000 digits": lambda: model(architecture=listed(whole(10**5000))),
    "an architecture of 600 digits": lambda: model(architecture=listed(whole(10**600))),
    "an architecture nested 2,000 deep": lambda: model(architecture=nested(2000)),
    "a note nested 40,000 deep": lambda: model(note=nested(40_000), biases=listed(op.NONE)),
    "half a character": lambda: model(note=text("\ud800")),
    "a set": lambda: model(note=op.EMPTY_SET),
    "a class": lambda: model(note=named("numpy.dtype") + op.EMPTY_TUPLE + op.NEWOBJ),
    "a class, with arguments by name": lambda: model(
        note=named("numpy.dtype") + op.EMPTY_TUPLE + op.EMPTY_DICT + op.NEWOBJ_EX
    ),
    "an instance on the stack": lambda: model(
        note=op.MARK + named("numpy.dtype") + text("f4") + op.OBJ
    ),
    "an object from elsewhere, on the stack": lambda: model(note=text("a") + op.BINPERSID),
    "an extension of two bytes": lambda: model(note=op.EXT2 + b"\1\0"),
    "an extension of four bytes": lambda: model(note=op.EXT4 + b"\1\0\0\0"),
    "a buffer from elsewhere": lambda: model(note=op.NEXT_BUFFER + op.READONLY_BUFFER),
    "an instance": lambda: model(note=op.MARK + op.INST + b"os\nsystem\n"),
    "an object from elsewhere": lambda: model(note=op.PERSID + b"a\n"),
    "an extension": lambda: model(note=op.EXT1 + b"\1"),
    "a name as a note": lambda: model(note=named("numpy.ndarray")),
    "a dtype as a note": lambda: model(note=dtype("f4")),
    "bytes as a note": lambda: model(note=raw(b"a")),
    "two values": lambda: op.NONE + op.NONE + op.STOP,
    "a mark that stays": lambda: op.MARK + op.NONE + op.STOP,
    "an array alone": lambda: array((2, 1), raw(bytes(8))) + op.STOP,
    "a note in place of the data set": lambda: model(weights=op.NONE, dataset=WEIGHT),
    **{
        f"a shape that is {name}": lambda shape=shape: model(listed(array(shape, raw(b""))))
        for name, shape in SHAPES.items()
    },
    "archive: objects": lambda: of_arrays(weights_0=np.array([None, {}], object)),
    "archive: a header nested 2,000 deep": lambda: archive(
        {"weights_0": npy(b"{'descr': " + b"(" * 2000 + b")" * 2000 + b"}\n")}
    ),
    "archive: a shape that does not fit": lambda: archive(
        {"weights_0": npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (99999, 99999), }\n")}
    ),
    "archive: a record nested 2,000 deep": lambda: of_record(b"[" * 2000 + b"]" * 2000),
    "archive: a record of 5,000 digits": lambda: of_record(
        b'{"architecture": [' + b"1" * 5000 + b"]}"
    ),
    "archive: an architecture of 4,000 digits": lambda: of_record(
        b'{"architecture": [' + b"1" * 4000 + b"]}"
    ),
    "archive: an architecture nested 500 deep": lambda: of_record(
        b'{"architecture": ' + b"[" * 500 + b"]" * 500 + b"}"
    ),
    "archive: a record that is a list": lambda: of_record(b"[1, 2]"),
    "archive: another entry": lambda: of_arrays(weights_0=np.ones((2, 1)), escapes=np.ones(1)),
    "archive: an entry of escape sequences": lambda: archive({ESCAPES: npy_of(np.ones(1, "f4"))}),
    "archive: a gap": lambda: of_arrays(weights_1=np.ones((2, 1)), biases_1=np.ones(1)),
    "archive: a pickle inside": lambda: archive({"weights_0": op.NONE + op.STOP}),
    "archive: a comment": lambda: archive({"weights_0": npy_of(np.ones(1, "f4"))}, comment=b"a"),
}
LARGE = {
    "a long key looked up 90,000 times": lambda: model(
        before=text("k" * MB) + put(0) + text("k" * MB) + put(1),
        note=op.EMPTY_DICT
        + op.MARK
        + get(0)
        + op.NONE
        + (op.BINGET + b"\1" + op.NONE) * 90_000
        + op.SETITEMS,
    ),
    "text that cannot be decoded, after many copies": lambda: (
        (text("a" * MB) + put(0) + CALL * 50 + op.BINUNICODE8 + struct.pack("<Q", 30 * MB))
        + b"a" * (30 * MB - 1)
        + b"\xff"
    ),
    "weights of single bytes, and no architecture": lambda: model(
        listed(array((5000, 5000), raw(bytes(25_000_000)), code="i1")),
        listed(array((5000,), raw(bytes(20_000)))),
        architecture=listed(op.NONE),
    ),
    "archive: weights of single bytes that do not chain": lambda: of_arrays(
        weights_0=np.ones((5000, 5000), "i1"), biases_0=np.zeros(3, "f4")
    ),
    "archive: an entry that is read at another length": lambda: renamed(
        archive({"w": npy_of(np.ones(1, "f4"))}), 5000, padding=10 * MB
    ),
    "an array that gets its state twice, under a view of it": lambda: model(
        listed(viewed(UNBUILT + put(0) + state((1024, 1024), "f4", ROW) + op.BUILD, (1024, 1024))),
        listed(array((1024,), raw(bytes(4096)))),
        note=get(0) + SECOND_STATE + op.BUILD,
    ),
    "one array named 2,000 times": lambda: model(
        listed(array((512, 512), raw(bytes(MB))) + put(0), get(0) * 1999)
    ),
    "one array noted 2,000 times": lambda: model(
        note=listed(array((512, 512), raw(bytes(MB))) + put(0), get(0) * 1999)
    ),
    "2,000 arrays of the same bytes": lambda: model(
        listed(viewed(raw(bytes(MB)) + put(0), (512, 512)), viewed(get(0), (512, 512)) * 1999)
    ),
    "one text encoded 2,000 times": lambda: model(
        before=text("a" * MB) + put(0), note=listed(CALL * 2000)
    ),
    "65,000 layers of one neuron": lambda: model(
        listed(array((1, 1), raw(bytes(4))) + put(0), get(0) * 15_000),
        listed(array((1,), raw(bytes(4))) + put(1), get(1) * 15_000),
        note=text("a" * 4 * MB),
    ),
    "a name of 5 MB": lambda: named(f"os.{'a' * 5 * MB}") + op.STOP,
    "10,000 times the same row": lambda: model(
        listed(listed(listed(*[op.BININT1 + b"\1"] * 30_000) + put(0), get(0) * 9999))
    ),
    "keys of the same hash": lambda: model(
        note=op.EMPTY_DICT
        + op.MARK
        + b"".join(whole(hash_zero(n)) + op.NONE for n in range(20_000))
        + op.SETITEMS
    ),
    "memo keys of the same hash": lambda: b"".join(
        op.NONE + op.PUT + b"%d\n" % hash_zero(n) for n in range(20_000)
    ),
    "a number of 5 MB": lambda: op.INT + b"1" * 5 * MB + b"\n" + op.STOP,
    "a fraction of 5 MB": lambda: op.FLOAT + b"1" * 5 * MB + b"\n" + op.STOP,
    "an architecture of 90,000 sizes": lambda: model(
        architecture=listed(*[op.BININT1 + b"\1"] * 90_000)
    ),
    "4 million lists": lambda: model(note=listed(op.EMPTY_LIST * 4 * MB)),
    "4 million marks": lambda: op.MARK * 4 * MB,
    "4 million memo entries": lambda: op.NONE + op.MEMOIZE * 4 * MB,
    "text that Python keeps in four bytes": lambda: model(
        note=text("a" * 30 * MB + "\U0001f600"), biases=listed(op.NONE)
    ),
    "lines that Python keeps in four bytes": lambda: model(
        note=op.UNICODE + b"a" * 30 * MB + b"\\U0001f600\n", biases=listed(op.NONE)
    ),
    "many wide texts": lambda: model(
        note=listed(*[text("a" * MB + "\U0001f600")] * 30), biases=listed(op.NONE)
    ),
    "archive: compressed": lambda: archive({"weights_0": bytes(100 * MB)}, zipfile.ZIP_DEFLATED),
    "archive: an entry named 2,000 times": lambda: renamed(archive({"weights_0": bytes(MB)}), 2000),
    "archive: 100,000 entries": lambda: renamed(archive({"weights_0": bytes(8)}), 100_000),
    "archive: a record of 4 MB": lambda: of_record(b'{"a": [' + b"[]," * MB + b"0]}"),
    "archive: a record of 300,000 lists": lambda: of_record(b'{"a": [' + b"[]," * 300_000 + b"0]}"),
}
FILES = SMALL | LARGE


def npy_of(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def of_record(record: bytes) -> bytes:
    arrays = {"weights_0": np.ones((2, 1), "f4"), "biases_0": np.ones(1, "f4")}
    return of_arrays(**arrays, record=np.frombuffer(record, np.uint8))


def header(shape: str) -> bytes:
    return f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n".encode()


def renamed(data: bytes, times: int, padding: int = 0) -> bytes:
    """Return an archive with its first entry so many times over in its directory.

    With padding, the directory says that so much more is kept than the entry has.
    """
    start = data.index(b"PK\1\2")
    stop = min(place for place in (data.find(b"PK\1\2", start + 4), data.index(END)) if place > 0)
    entry = bytearray(data[start:stop])
    kept = int.from_bytes(entry[20:24], "little") + padding
    entry[20:24] = kept.to_bytes(4, "little")
    return data[:start] + bytes(padding) + directory(entry * times, times, start + padding)


def far(data: bytes) -> bytes:
    """Return an archive of one entry that says that it lies at 2 ** 64 - 1."""
    start, extra = data.index(b"PK\1\2"), struct.pack("<HHQ", 1, 8, 2**64 - 1)
    entry = bytearray(data[start : data.index(END)])
    entry[30:32], entry[42:46] = struct.pack("<H", len(extra)), b"\xff" * 4
    return data[:start] + directory(entry + extra, 1, start)


END = b"PK\5\6"


def directory(entries: bytes, count: int, start: int) -> bytes:
    count = min(count, 0xFFFF)
    return bytes(entries) + struct.pack("<4s4xHHIIH", END, count, count, len(entries), start, 0)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for n, (name, made) in enumerate(FILES.items()):
        (folder / f"{n:02}.pkl").write_bytes(made())
        print(f"{n:02}.pkl  {name}")
