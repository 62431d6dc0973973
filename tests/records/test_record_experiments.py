"""Experiments: what a call measures and notes, how one breaks off, which are refused."""

import json
import os
import sys
import textwrap

import numpy as np
import pytest
from record_parts import make_record, speed

from labutils import environment, records
from labutils.records import Experiment, Noted, RecordError, experiment


def test_a_call_measures_here_and_writes_nothing(folder):
    result = speed(frames=10)
    assert not result.recorded and not result.stale and result.available and result
    assert result.data[0] == {"model": "melgan", "frames": 10, "ms": 4.7361}
    assert result[1]["ms"] == 19.6 and len(result) == 2
    assert result.caption.startswith("measured here, ")
    torch = environment.require("torch").__version__.split("+")[0]
    assert f"torch {torch}" in result.caption and "+" not in result.caption
    assert result.provenance["date"][:10] in result.caption
    assert not folder.exists() and result.path is None


def test_arguments_that_are_no_plain_data_are_refused_by_name():
    with pytest.raises(RecordError, match="argument frames of speed is of type object"):
        speed(frames=object())


@pytest.mark.parametrize("name", ["Speed", "a b", "a--b", "a.b", "", "-a", "a_b", "a/b"])
def test_bad_names_are_refused(name):
    with pytest.raises(ValueError, match="can not be called"):
        Experiment(make_record, name)


def test_bad_needs_and_parameters_are_refused_where_they_are_written():
    def figures():
        return 1

    with pytest.raises(ValueError, match="is not a need"):
        Experiment(figures, "x", needs="2gpus")

    def saving(save):
        return 1

    def any_number(*values):
        return 1

    for function in (saving, any_number):
        with pytest.raises(ValueError, match="parameters"):
            Experiment(function, "x")


def test_an_error_of_the_measurement_is_for_the_reader_to_see():
    @experiment("failing")
    def failing():
        raise ZeroDivisionError("in the experiment")

    with pytest.raises(ZeroDivisionError):
        failing()


def test_a_function_that_yields_leaves_what_it_had_when_it_breaks_off(folder):
    @experiment("long-run")
    def long_run(steps=3, broken=False):
        rows = []
        for step in range(steps):
            rows.append({"step": step})
            yield rows
        if broken:
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        long_run.measure(steps=2, broken=True, save=folder)
    (path,) = folder.glob("long-run--*.json")
    assert records.read_record(path)["data"] == [{"step": 0}, {"step": 1}]
    left = long_run.recorded(steps=2, broken=True)
    assert left.broken_off and "broken off" in left.caption
    done = long_run.measure(save=folder)
    assert done.data == [{"step": 0}, {"step": 1}, {"step": 2}]
    whole = long_run.recorded()
    assert whole.data == done.data and not whole.broken_off and "broken" not in whole.caption
    with pytest.raises(RecordError, match="yielded nothing"):
        long_run.measure(steps=0)


def test_provenance_tells_what_a_reader_must_know(folder):
    @experiment("noted", needs="numpy")
    def noted():
        return Noted({"ms": 1.0}, tactic_sources="none", clips=6)

    record = json.loads(noted.measure(save=folder).path.read_text())
    facts = record["provenance"]
    assert facts["notes"] == {"clips": 6} and facts["seconds"] >= 0
    assert facts["packages"]["numpy"] == np.__version__
    assert facts["python"] == ".".join(map(str, sys.version_info[:3]))
    assert facts["cpu"]["name"] and facts["cpu"]["cores"] >= 1
    for key in ("gpu", "cuda", "tensorrt", "threads", "commit", "dirty"):
        assert key in facts
    assert record["source"]["function"] == noted.source["function"]
    assert str(os.path.expanduser("~")) not in json.dumps(record)


def test_documented_example_of_the_module_is_python():
    lines = [line for line in records.__doc__.splitlines() if line.startswith("    ")]
    compile(textwrap.dedent("\n".join(lines)), "example", "exec")
