import pytest

from ttfs.stages.tables import Table, accuracy_and_interval, two_places

TABLE = Table(("network", "lost", "n"), [["a", "0.25", "10,000"], ["longer", "-1.50", "7"]], 1, "T")


def test_printed_table_is_aligned_text_to_the_left_and_numbers_to_the_right():
    assert str(TABLE).splitlines() == [
        "T",
        "",
        "network   lost       n",
        "----------------------",
        "a         0.25  10,000",
        "longer   -1.50       7",
    ]


def test_markdown_has_the_same_cells_and_says_which_columns_are_numbers():
    assert TABLE.markdown().splitlines() == [
        "| network | lost | n |",
        "| --- | ---: | ---: |",
        "| a | 0.25 | 10,000 |",
        "| longer | -1.50 | 7 |",
    ]


@pytest.mark.parametrize(("value", "text"), [(0.004, "0.00"), (-0.004, "0.00"), (-1.5, "-1.50")])
def test_zero_has_no_sign(value, text):
    assert two_places(value) == text


def test_the_rule_below_the_header_is_as_long_as_the_longest_line():
    header, rule, *_ = str(Table(("a", "b"), [["short", "text that is long"]], 2)).splitlines()
    assert len(rule) == len("short  text that is long") > len(header)


def test_an_accuracy_has_its_wilson_interval():
    row = {"snn_correct": 90, "n_test": 100}
    assert accuracy_and_interval(row) == "90.00 % (82.56 to 94.48)"
