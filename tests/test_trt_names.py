"""The table of names that tutorials use, and the script that looks them up."""

import importlib.util
import json
from types import SimpleNamespace

import pytest

from labutils import DATA
from labutils.trt import names


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("names_script", DATA / "make_tensorrt_names.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def api(version, **types):
    """One recorded version: types by name, with the names of their members."""
    module = {
        name: {"kind": "class", "members": {member: {} for member in members}}
        for name, members in types.items()
    }
    return {"version": version, "module": module}


def rows():
    return {row["tutorials write"]: row for row in names.table().rows}


def test_the_table_says_what_the_bindings_have():
    found = rows()
    assert len(found) == len(names.table()) == 28
    batch = found["builder.max_batch_size = 8"]
    assert [batch[v] for v in ("8.6", "10", "11")] == ["yes", "no", "no"]
    shape = found["engine.get_binding_shape(1).volume()"]
    assert shape["8.6"] == "only `ICudaEngine.get_binding_shape`" and shape["11"] == "no"
    assert shape["looked for"] == "ICudaEngine.get_binding_shape, Dims.volume"
    assert found["trt.DeviceType.GPU"]["11"] == "yes"
    invented = found["engine.precision_tuning = True"]
    assert {invented[v] for v in ("8.6", "10", "11")} == {"no"}
    assert all(row["what does the job"] and row["looked for"] for row in found.values())


def test_the_table_is_readable_as_html_and_as_text():
    html = names.table()._repr_html_()
    assert html.count("<tr>") == 29 and "8.6.1, 10.16.1, 11.0.0, 11.4.0" in html
    assert ">builder.max_batch_size = 8</code>" in html and ">partly<" in html
    assert "DeviceType.GPU" in repr(names.table())


def test_the_script_finds_names_where_they_are(script, tmp_path):
    for recorded in (
        api("8.6.1", Builder=["max_batch_size"], ICudaEngine=["get_binding_shape"], Dims=[]),
        api("10.1.0", Builder=[], Dims=["volume"], IPlugin=["enqueue"]),
    ):
        path = tmp_path / f"api-{recorded['version']}.json"
        path.write_text(json.dumps(recorded))
    made = script.make(tmp_path)
    assert made["versions"] == ["8.6.1", "10.1.0"]  # in the order of their numbers
    claims = {claim["claim"]: claim for claim in made["claims"]}
    assert claims["engine.get_binding_shape(1).volume()"]["needs_all"]
    batch = claims["builder.max_batch_size = 8"]["places"]
    assert batch["8.6.1"]["Builder.max_batch_size"]["there"]
    assert not batch["10.1.0"]["Builder.max_batch_size"]["there"]
    enqueue = claims["context.enqueue(...)"]["places"]["10.1.0"]["IExecutionContext.enqueue"]
    assert enqueue == {"there": False, "elsewhere": ["IPlugin"]}
    with pytest.raises(SystemExit, match="no api-VERSION.json"):
        script.make(tmp_path / "empty")


def test_the_committed_file_asks_what_the_script_asks(script):
    recorded = json.loads((DATA / "tensorrt_names.json").read_text())
    asked = {claim: places.split() for claim, places, _ in script.CLAIMS}
    for claim in recorded["claims"]:
        assert list(claim["places"]["8.6.1"]) == asked.pop(claim["claim"])
    assert asked == {}


def test_the_installed_tensorrt_can_be_asked():
    module = SimpleNamespace(Builder=SimpleNamespace(max_batch_size=1), register_layer=1)
    found = {row["looked for"]: row["there"] for row in names.installed(module)}
    assert found["Builder.max_batch_size"] and found["tensorrt.register_layer"]
    assert not found["DeviceType.GPU"] and not found["IPluginRegistry.register_plugin"]
