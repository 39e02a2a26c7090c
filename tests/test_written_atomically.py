"""A file is there as it was, or whole: nobody ever sees half of one."""

import os

import pytest

from ttfs.storage import check_writable, written_atomically


def test_the_old_file_stays_whole_until_the_new_one_is(tmp_path):
    path = tmp_path / "results.json"
    path.write_text("old")
    with written_atomically(path) as temporary:
        temporary.write_text("ne")
        assert path.read_text() == "old"
        assert temporary.parent == tmp_path and temporary.name.startswith(".results-")
        assert temporary.suffix == ".json"
        temporary.write_text("new")
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


def test_a_file_is_replaced_in_one_step_and_never_written_to(tmp_path, monkeypatch):
    path, moved = tmp_path / "results.json", []
    path.write_text("old")
    before = path.stat().st_ino
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda *names: (moved.append(names), replace(*names)))
    with written_atomically(path) as temporary:
        temporary.write_text("new")
    assert moved == [(temporary, path)] and path.stat().st_ino != before


def test_a_reader_of_the_old_file_goes_on_reading_it(tmp_path):
    path = tmp_path / "results.json"
    path.write_text("old")
    with path.open() as reader:
        with written_atomically(path) as temporary:
            temporary.write_text("new")
        assert reader.read() == "old"


@pytest.mark.parametrize("existed", [True, False])
def test_what_fails_midway_leaves_the_folder_as_it_was(tmp_path, existed):
    path = tmp_path / "results.json"
    if existed:
        path.write_text("old")
    with pytest.raises(RuntimeError), written_atomically(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == [path] * existed
    assert not existed or path.read_text() == "old"


def test_a_folder_that_can_be_written_to_is_made_and_left_empty(tmp_path):
    check_writable(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []
