"""The limits of what a model file may hold, at each limit and just beyond it."""

import io
import zipfile

import numpy as np
import pytest

from ttfs import InputError
from ttfs.formats import contents, opcodes, pickles
from ttfs.formats.contents import FormatError, array_of, check_plain, number_dtype, shown
from ttfs.formats.layers import _setting, _shape
from ttfs.formats.npz import _array, _recorded, archived, unarchived
from ttfs.formats.pickles import _Machine, unpickled


def nested(depth):
    """Return lists in lists, so many in all."""
    value = []
    for _ in range(depth - 1):
        value = [value]
    return value


EIGHT_BYTES = np.zeros(2, "f4")
LIMITS = {  # what is within a limit, what is beyond it, and what is said of that
    "values": ([0] * 9, [0] * 10, "more than 10 values"),
    "values of dicts": ({"a": {"b": 1}}, {"a": dict.fromkeys("bcdefghijk")}, "more than 10 values"),
    "arrays, however often one is named": ([EIGHT_BYTES] * 3, [EIGHT_BYTES] * 4, "more arrays"),
    "bytes of arrays": ([np.zeros(24, "i1")], [np.zeros(25, "i1")], "more arrays"),
    "bytes of all arrays": ([np.zeros(12, "i1")] * 2, [np.zeros(13, "i1")] * 2, "more arrays"),
    "lists in lists": (nested(5), nested(6), "nested more than 5 deep"),
    "characters of a key": ({"k" * 200: 1}, {"k" * 201: 1}, "keys must be short strings"),
}


@pytest.mark.parametrize("name", LIMITS)
def test_contents_are_taken_to_each_limit_and_no_further(monkeypatch, name):
    for limit, value in {"MOST_VALUES": 10, "MOST_ARRAYS": 3, "MOST_NESTED": 5}.items():
        monkeypatch.setattr(contents, limit, value)
    within, beyond, words = LIMITS[name]
    check_plain(within, most_bytes=24)
    with pytest.raises(FormatError, match=words):
        check_plain(beyond, most_bytes=24)


@pytest.mark.parametrize(("value", "kind"), [({1}, "set"), (memoryview(b"a"), "bytes")])
def test_what_no_model_holds_is_named(value, kind):
    with pytest.raises(FormatError, match=f"it holds '{kind}', which is no number, text or array"):
        check_plain([value], most_bytes=24)


@pytest.mark.parametrize("code", ["<f4", ">f8", "|b1", "i2", "u8", "=f2", "<c16", "c8", "|i1"])
def test_numbers_have_a_dtype(code):
    assert number_dtype(code) == np.dtype(code)


@pytest.mark.parametrize(
    "code", ["O", "|O", "<f16", "<U3", "f4,f4", "|V8", "<m8", "<i3", "f4 ", ""]
)
def test_what_is_no_number_has_none(code):
    with pytest.raises(FormatError, match="not of numbers"):
        number_dtype(code)


@pytest.mark.parametrize("shape", [(6,), (2, 3), (1,) * 7 + (6,), (6, 1)])
@pytest.mark.parametrize("is_fortran", [False, True])
def test_an_array_has_its_shape_its_order_and_its_own_bytes(shape, is_fortran):
    data = bytearray(range(6))
    found = array_of(data, np.dtype("u1"), shape, is_fortran)
    expected = np.arange(6, dtype="u1").reshape(shape, order="F" if is_fortran else "C")
    data[0] = 9
    assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    "shape", [(5,), (7,), (-6,), (-2, -3), (True, 6), (6.0,), (1,) * 8 + (6,), (2**31, 0), ("6",)]
)
def test_an_array_of_another_shape_is_refused(shape):
    with pytest.raises(FormatError, match="shape"):
        array_of(bytes(0 if 0 in shape else 6), np.dtype("u1"), shape, False)


def test_an_empty_array_may_be_long_but_not_beyond_numpys_limit():
    assert array_of(b"", np.dtype("u1"), (0, 2**23, 2**24), False).shape == (0, 2**23, 2**24)
    with pytest.raises(FormatError, match="usable shape"):
        array_of(b"", np.dtype("u1"), (0, 2**24, 2**24), False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\n", r"'a\n'"),
        ("\u2713", r"'\u2713'"),
        ("a" * 48, f"'{'a' * 48}'"),
        ("a" * 49, f"'{'a' * 45}...'"),
        ("a" * 900, f"'{'a' * 45}...'"),
    ],
)
def test_a_text_is_shown_in_at_most_50_printable_characters(text, expected):
    assert shown(text) == expected and len(shown(text)) <= 50


OPCODES = {
    b"N.": [(b"N", None)],
    b"J\xff\xff\xff\xff.": [(b"J", -1)],
    b"K\x07M\x01\x02.": [(b"K", 7), (b"M", 513)],
    b"G\x3f\xf8\0\0\0\0\0\0.": [(b"G", 1.5)],
    b"\x8c\x02ab.": [(b"\x8c", b"ab")],
    b"X\x01\0\0\0aN.": [(b"X", b"a"), (b"N", None)],
    b"I12\nN.": [(b"I", b"12"), (b"N", None)],
    b"cos\nsystem\n.": [(b"c", b"os\nsystem")],
}


@pytest.mark.parametrize("data", OPCODES)
def test_opcodes_come_with_what_follows_them_and_end_at_stop(data):
    assert list(opcodes.opcodes(data)) == list(opcodes.opcodes(data + b"N")) == OPCODES[data]
    for length in range(len(data)):
        with pytest.raises(FormatError, match="cut off"):
            list(opcodes.opcodes(data[:length]))


def test_a_pickle_takes_no_more_steps_than_a_model(monkeypatch):
    monkeypatch.setattr(opcodes, "MOST_STEPS", 3)
    assert len(list(opcodes.opcodes(b"NN."))) == 2
    with pytest.raises(FormatError, match="more than 3 steps"):
        list(opcodes.opcodes(b"NNN."))


PLAIN = {
    b"I01\n.": True,
    b"I00\n.": False,
    b"I1\n.": 1,
    b"F1.5\n.": 1.5,
    b"L12L\n.": 12,
    b"I" + b"1" * 100 + b"\n.": int("1" * 100),
    b"Nq\x02.": None,
    b"]q\0K\x07a.": [7],
    b"}(\x8c\x01aK\x01\x8c\x01bK\x02u.": {"a": 1, "b": 2},
}


@pytest.mark.parametrize("data", PLAIN)
def test_a_pickle_of_plain_values_is_read(data):
    found = unpickled(data)
    assert found == PLAIN[data] and type(found) is type(PLAIN[data])


@pytest.mark.parametrize(
    "data",
    [
        b"I" + b"1" * 101 + b"\n.",  # too long a number
        b"Nq\x03.",  # a memo with a hole
        b"q\0.",  # nothing to remember
        b"h\0.",  # nothing remembered
        b"NN.",  # two values
        b"(N.",  # an open mark
        b".",  # no value
        b"}(\x8c\x01au.",  # a key without a value
        b"}K\x01Ns.",  # a key that is no text
        b"Na.",  # nothing to append to
        b"t.",  # no mark
    ],
)
def test_a_pickle_that_is_damaged_is_refused(data):
    with pytest.raises(FormatError):
        unpickled(data)


@pytest.mark.parametrize(("text", "room"), [("abc", 3), ("\xe9", 2), ("\u2713", 18), ("", 0)])
def test_a_text_is_paid_for_before_it_is_made(text, room):
    encoded = memoryview(text.encode())
    machine = _Machine(room)
    assert machine.text(encoded, "utf-8") == text and machine.room == 0
    with pytest.raises(FormatError, match="more of its bytes"):
        _Machine(room - 1).text(encoded, "utf-8")


def test_a_text_is_decoded_across_its_pieces_and_to_its_end(monkeypatch):
    monkeypatch.setattr(pickles, "PIECE", 2)
    encoded = "a\u2713\xe9b".encode()
    assert _Machine(100).text(memoryview(encoded), "utf-8") == "a\u2713\xe9b"
    for data in (encoded[:3], encoded[:2], b"\xff"):
        with pytest.raises(FormatError, match="cannot be decoded"):
            _Machine(100).text(memoryview(data), "utf-8")


SETTINGS = {  # by name: what it may be, and what it may not
    "stride": ([1, 9999, [2, 3], [4]], [0, 10_000, [1, 0], [1, 1, 1], True, "same", None, 1.0]),
    "padding": ([0, [0, 1], "same", "valid"], [-1, [0, -1], "circular", None, False]),
    "kernel_size": ([1, [1, 2]], [0, -1, "2", {}]),
    "start_dim": ([1, 3], [0, -1]),
    "end_dim": ([-1, 0, 2], [-2]),
    "ceil_mode": ([True, False], [0, 1, "same", None]),
    "count_include_pad": ([True, False], [1, None]),
    "divisor_override": ([None, 1, 7], [0, "same", False]),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_of_a_layer_are_what_their_names_say(name):
    good, bad = SETTINGS[name]
    for value in good:
        assert _setting(name, value) == (tuple(value) if isinstance(value, list) else value)
    for value in bad:
        with pytest.raises(InputError, match=f"{name} is "):
            _setting(name, value)


def test_a_shape_has_one_to_three_sizes_and_no_more_neurons_than_a_layer_may():
    for shape in ([1], (784,), [1, 28, 28], [2**24], [2**12, 2**12]):
        assert _shape(shape) == tuple(shape)
    for shape in ([], [1] * 4, [0], [-1, -1], [True], [1.0], "1", None, [2**24 + 1], [2**23, 3]):
        with pytest.raises(InputError, match="no shape of inputs|neurons are more than"):
            _shape(shape)


@pytest.mark.parametrize("text", ["[1]", "1", "{", "[" * 100_000, '{"a": ' + " " * 2**20 + "1}"])
def test_a_record_is_a_json_object_and_not_too_long(text):
    assert _recorded(np.frombuffer(b'{"a": 1}', "u1")) == {"a": 1}
    with pytest.raises(FormatError, match="its record"):
        _recorded(np.frombuffer(text.encode(), "u1"))


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_an_array_is_read_under_each_of_numpys_headers(version):
    file, values = io.BytesIO(), np.arange(6, dtype="f4").reshape(2, 3)
    np.lib.format.write_array(file, values, version)
    assert np.array_equal(_array(file.getvalue()), values)


def test_an_archive_with_a_second_directory_is_refused(monkeypatch):
    model = {"weights": [np.ones((2, 1))], "biases": [np.ones(1)]}
    assert unarchived(archived(model)).keys() == model.keys()
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 0)  # Python then writes a longer one too
    with pytest.raises(FormatError, match="no archive of NumPy's"):
        unarchived(archived(model))
