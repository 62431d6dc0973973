"""What layers are read from, and how layers of one name share the time that they took together."""

import json

import pytest

from labutils.trt import inspect


def layer(name, kind="Convolution"):
    return {"Name": name, "LayerType": kind, "Inputs": [], "Outputs": []}


TWINS = inspect.layers({"Layers": [layer("a"), layer("twin"), layer("b", "Pad"), layer("twin")]})
TIMES = {"a": 1.0, "twin": 6.0, "b": 3.0}


# Times


def test_layers_of_one_name_share_their_time():
    assert TWINS.spread(TIMES) == [1.0, 3.0, 3.0, 3.0]
    rows = TWINS.table(TIMES)
    assert [row["ms"] for row in rows] == [1.0, 3.0, 3.0, 3.0]
    assert [row["%"] for row in rows] == [10.0, 30.0, 30.0, 30.0]
    drawn = inspect.picture(TWINS, TIMES, by="kind")
    assert [bar.get_width() for bar in drawn.axes[0].patches] == [1.0, 3.0, 3.0, 3.0]
    assert "Convolution 70 % of the time, Pad 30 % of the time" in drawn.alt


def test_a_layer_without_a_time_has_none():
    rows = TWINS.table({"a": 1.0, "another": 3.0})
    assert [(row["ms"], row["%"]) for row in rows] == [(1.0, 25.0), *[(None, None)] * 3]
    assert "ms" not in TWINS.table()[0]


# What is no inspector's JSON


@pytest.mark.parametrize("text", ["[1, 2]", f" [{'1, ' * 500}1]", f"[{'not JSON ' * 500}"])
def test_a_list_is_json_but_not_an_inspectors(text):
    with pytest.raises(inspect.InspectError, match='no list "Layers"|holds no JSON') as caught:
        inspect.layers(text)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200


@pytest.mark.parametrize("text", ["x" * 300, "not\nJSON " * 100, "a\0b"])
def test_a_text_that_is_neither_json_nor_a_path_is_refused_in_one_line(text):
    with pytest.raises(inspect.InspectError, match="is no JSON, and no file that can be") as caught:
        inspect.layers(text)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200


def test_a_folder_is_not_called_missing(tmp_path):
    for folder in (tmp_path, str(tmp_path)):
        with pytest.raises(inspect.InspectError, match="is a folder: give the file in it"):
            inspect.layers(folder)
    with pytest.raises(inspect.InspectError, match="none.json: no such file"):
        inspect.layers(tmp_path / ("long" * 20) / "none.json")
    (tmp_path / "file").write_text(json.dumps({"Layers": []}))
    with pytest.raises(inspect.InspectError, match="no file that can be read: Not a directory"):
        inspect.layers(tmp_path / "file" / "layers.json")
    assert inspect.layers(tmp_path / "file").rows == []
