"""All measurements by one command: which there are, on which GPU, and what becomes of each."""

import json
import os
import runpy
import time
from types import SimpleNamespace

import pytest

from labutils import environment
from labutils.engines import runs
from labutils.records import Measurement
from labutils.remeasure import STEPS, Step, __main__, run, select
from labutils.remeasure import steps as listed

# What a step of these tests runs; it notes its GPU, and what it is told by its arguments.
WORK = """
import json, os, signal, subprocess, sys, time
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
save = given["--save"]
name = given["--name"]
begun = time.time()
if "--child" in given:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"],
                             start_new_session=True)  # as the kernel of a notebook
    open(f"{save}/child", "w").write(str(child.pid))
if given.get("--deaf"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(f"{save}/{name}-begun", "w").close()
time.sleep(float(given.get("--sleep", "0")))
row = {"gpu": os.environ["CUDA_VISIBLE_DEVICES"], "seconds": given["--seconds"],
       "begun": begun, "ended": time.time(), "record": os.environ["LABUTILS_RECORD"],
       "timings": os.environ["LABUTILS_TIMING_CACHE"]}
open(f"{save}/{name}.json", "w").write(json.dumps(row))
print("a line\\nthe last line")
sys.exit(int(given.get("--status", "0")))
"""


@pytest.fixture
def work(tmp_path, monkeypatch):
    """`work(name, **arguments)` is a step; `work.run(steps, …)` gives {name: Done} of all."""
    (tmp_path / "work_of_a_step.py").write_text(WORK)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(environment, "has", lambda need: True)

    def step(name, *, gpus=1, seconds=30.0, **arguments):
        given = [part for key, value in arguments.items() for part in (f"--{key}", str(value))]
        words = ("--name", name, *given)
        return Step(name, "work_of_a_step", words, seconds, gpus=gpus)

    def all_of(steps, *, gpus=("0",), seconds=300.0, **options):
        options = {"logs": tmp_path / "logs", "poll": 0.02} | options
        done = list(run(steps, tmp_path / "records", gpus=gpus, seconds=seconds, **options))
        return {one.step.name: one for one in done}

    step.run = all_of
    step.row = lambda name: json.loads((tmp_path / "records" / f"{name}.json").read_text())
    step.folder = tmp_path
    return step


def test_steps_run_one_after_the_other_on_one_gpu(work):
    done = work.run([work("first"), work("second")], gpus=["3"])
    assert [one.outcome for one in done.values()] == ["done", "done"] and list(done) == [
        "first",
        "second",
    ]
    first, second = work.row("first"), work.row("second")
    assert first["gpu"] == second["gpu"] == "3" and second["begun"] >= first["ended"]
    assert first["record"] == str(work.folder / "records")
    assert "the last line" in done["first"].log.read_text()


@pytest.mark.parametrize("named", [None, "mine.cache"])
def test_steps_share_the_timings_of_their_builds(work, monkeypatch, named):
    path = work.folder / (named or "logs/timing.cache")
    monkeypatch.delenv("LABUTILS_TIMING_CACHE", raising=False)
    if named:
        monkeypatch.setenv("LABUTILS_TIMING_CACHE", str(path))
    work.run([work("first"), work("second")])
    assert work.row("first")["timings"] == work.row("second")["timings"] == str(path)


def test_two_gpus_take_two_steps_at_once_and_a_wide_step_takes_both(work):
    steps = [work("wide", gpus=2), work("a", sleep=0.6), work("b", sleep=0.6)]
    done = work.run(steps, gpus=["4", "7"])
    assert {one.outcome for one in done.values()} == {"done"}
    wide, a, b = map(work.row, ("wide", "a", "b"))
    assert wide["gpu"] == "4,7" and {a["gpu"], b["gpu"]} == {"4", "7"}
    assert min(a["begun"], b["begun"]) >= wide["ended"]
    assert a["begun"] < b["ended"] and b["begun"] < a["ended"]


def test_a_failure_is_told_and_the_next_step_begins(work):
    done = work.run([work("bad", status=3), work("good")])
    assert done["bad"].outcome == "failed" and done["bad"].why == "status 3: the last line"
    assert done["good"].outcome == "done"


def test_a_step_that_takes_too_long_is_stopped_with_what_it_started(work, monkeypatch):
    monkeypatch.setattr("labutils.remeasure.lanes._GRACE", 0.5)
    long = work("long", seconds=1.0, sleep=60, child=1)
    done = work.run([long, work("next")])
    assert done["long"].outcome == "stopped" and done["next"].outcome == "done"
    child = int((work.folder / "records" / "child").read_text())
    assert gone(child)


def test_a_step_that_will_not_end_is_ended(work, monkeypatch):
    monkeypatch.setattr("labutils.remeasure.lanes._GRACE", 0.5)
    monkeypatch.setattr("labutils.remeasure.lanes._STOP", 0.5)
    done = work.run([work("deaf", seconds=1.5, sleep=60, deaf=1)])
    assert done["deaf"].outcome == "stopped"


def test_nothing_begins_when_the_time_is_nearly_over(work):
    done = work.run([work("late")], seconds=10)
    assert done["late"].outcome == "not begun" and done["late"].why == "no time was left"
    assert not (work.folder / "records" / "late-begun").exists()


def test_a_step_is_told_how_long_it_may_take(work):
    work.run([work("short", seconds=20), work("cut", seconds=900)], seconds=200)
    assert work.row("short")["seconds"] == "20"
    assert 100 < float(work.row("cut")["seconds"]) < 200


def test_what_can_not_run_here_is_left_out_with_its_reason(work, monkeypatch):
    monkeypatch.setattr(environment, "has", lambda need: need != "tensorrt")
    done = work.run([work("wide", gpus=2), *select(["gates"])])
    assert done["wide"].why == "needs 2 GPUs" and done["gates"].why == "needs tensorrt"


def test_a_caller_that_goes_away_leaves_nothing_running(work):
    steps = [work("quick"), work("slow", sleep=60, child=1)]
    told = run(
        steps, work.folder / "records", gpus=["0", "1"], seconds=300, logs=work.folder / "logs",
        poll=0.02,
    )  # fmt: skip
    assert next(told).step.name == "quick"
    wait_for(work.folder / "records" / "slow-begun")
    told.close()
    assert gone(int((work.folder / "records" / "child").read_text()))


def wait_for(path, seconds=20):
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"{path.name} never came"
        time.sleep(0.02)


def gone(pid, seconds=10):
    """Whether a process has ended: it may still be a name that waits for its parent."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with open(f"/proc/{pid}/stat") as file:
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except FileNotFoundError:
            return True
        time.sleep(0.02)
    return False


# The list itself


def programs():
    return [step for step in STEPS if step.makes and step.module.startswith("labutils.")]


@pytest.mark.filterwarnings("ignore:.* found in sys.modules:RuntimeWarning")
@pytest.mark.parametrize("step", programs(), ids=lambda step: step.name)
def test_the_command_of_a_step_measures_what_it_says(step, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(runs, "measure_all", lambda made, folder: asked.extend(made) or 0)
    monkeypatch.setattr(
        type(step.makes), "measure",
        lambda self, *args, save=None, **given: asked.append((self, given)) or Fine(),
    )  # fmt: skip
    monkeypatch.setattr("os.environ", dict(os.environ))
    _, _, module, *words = step.command(tmp_path, 100, tmp_path)
    monkeypatch.setattr("sys.argv", [module, *words])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(module, run_name="__main__")
    assert not ended.value.code
    made, given = asked[0]
    assert made.name == step.makes.name and len(asked) == 1
    assert {key: given.get(key) for key, _ in step.given} == dict(step.given)


class Fine(dict):
    path = None

    def __missing__(self, key):
        return {"exit_status": 0, "baseline": {"1": 1}}.get(key, 0)


def test_names_choose_steps_and_their_order():
    assert [s.name for s in select(["gates", "engines melgan"])] == ["gates", "engines melgan"]
    assert len(select(["engines"])) == 4 and select([]) == list(STEPS)
    with pytest.raises(ValueError, match="no step 'enginess'; there are: notebook, baseline"):
        select(["enginess"])


def test_names_are_of_one_step_each():
    names = [step.name for step in STEPS]
    assert len(set(names)) == len(names)


def test_a_notebook_step_runs_the_notebook_and_keeps_the_saved_one(tmp_path):
    (step,) = select(["notebook 07"])
    command = step.command(tmp_path, 100, tmp_path / "logs")
    source, target = command[command.index("True") + 1 :][:2]
    assert command[1:3] == ["-m", "papermill"] and "--seconds" not in command
    assert source.endswith("07_dynamic_shapes_and_batching.ipynb")
    assert target == str(tmp_path / "logs" / "07_dynamic_shapes_and_batching.ipynb")


def test_the_list_tells_what_is_missing(capsys, monkeypatch):
    monkeypatch.setattr(listed.Step, "state", lambda self: "fresh" if self.makes else "notebook")
    assert __main__.main(["--list", "--missing"]) == 0
    text = capsys.readouterr().out
    assert "notebook 05" in text and "gates" not in text
    assert __main__.main(["--list", "gates"]) == 0
    assert "400 s" in capsys.readouterr().out


@pytest.mark.parametrize(
    "facts, rows, told",
    [
        ({"available": False}, [], "missing"),
        ({}, [{"median_ms": 1.0}, {"error": "BuildError: no tactic"}], "fresh"),
        ({}, [{"median_ms": 1.0}, {"error": "not measured: time"}], "in part"),
        ({}, [{"error": "TimeoutError: not built within 9 s"}], "in part"),
        ({"broken_off": True}, [{"median_ms": 1.0}], "in part"),
        ({}, [{"median_ms": 1.0, "complete": False}], "in part"),
        ({}, [{"median_ms": 1.0, "complete": True}], "fresh"),
        ({"stale": True}, [{"error": "not measured: time"}], "stale"),
    ],
)
def test_a_record_is_whole_or_in_part(facts, rows, told):
    shown = Measurement("x", "recorded", {"vocoder": "x", "rows": rows}, **facts)
    made = SimpleNamespace(recorded=lambda **given: shown)
    assert listed.Step("x", "m", (), 1.0, made).state() == told


def test_bad_arguments_are_refused_in_one_line(capsys):
    for words, said in (
        (["--save", "x", "nothing"], "no step"),
        (["gates"], "--save data/records"),
    ):
        with pytest.raises(SystemExit):
            __main__.main(words)
        assert said in capsys.readouterr().err


def test_without_a_gpu_every_step_says_why_it_was_left_out(tmp_path, capsys):
    if environment.has("cuda"):
        pytest.skip("there is a GPU here")
    words = ["--save", str(tmp_path), "--logs", str(tmp_path / "logs"), "copies", "gates"]
    assert __main__.main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and all("not begun" in line and "needs" in line for line in lines)
    rows = [json.loads(line) for line in (tmp_path / "logs" / "done.jsonl").open()]
    assert [row["step"] for row in rows] == ["copies", "gates"]
