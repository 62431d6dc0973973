"""Results of listening tests: what is said, of whom, and what stays hidden until the end."""

import numpy as np
import pytest
from listening_parts import RATE, make_abx, make_mushra

from labutils import listening
from labutils.listening import (
    AbxListener,
    AbxReport,
    DesignError,
    MushraListener,
    MushraReport,
    post_screen,
)


def answer_abx(test, right):
    """Answer all trials as a person would, `right` of them rightly."""
    while (trial := test.next()) is not None:
        choice = trial.right if trial.number < right else {"A": "B", "B": "A"}[trial.right]
        test.answer(choice)
    return test


def rate(test, **ratings):
    """Rate every page: int8=..., reference=..., low=..., mid=...; a list gives one a page."""
    names = {"low": "anchor 3.5 kHz", "mid": "anchor 7 kHz"}
    stated = {names.get(key, key): value for key, value in ratings.items()}
    known = {"reference": 100, "int8": 70, "anchor 3.5 kHz": 20, "anchor 7 kHz": 50} | stated
    while (page := test.next()) is not None:
        values = {k: v[page.number] if isinstance(v, list) else v for k, v in known.items()}
        test.answer([values[stimulus] for stimulus in page.order])
    return test


def test_twelve_of_sixteen_is_heard_and_eleven_is_not_shown(tmp_path):
    heard = answer_abx(make_abx(tmp_path, listener="a"), 12).result()
    assert heard.heard
    assert "12 of 16 right between a and b: the difference was heard" in heard.summary
    assert "3.8 %" in heard.summary
    missed = answer_abx(make_abx(tmp_path, listener="b"), 11).result()
    assert not missed.heard
    assert "no difference was shown" in missed.summary
    assert "no proof" in missed.summary
    assert AbxReport([missed.sheets[0]], level=0.2).heard
    assert "simulated" not in heard._repr_html_() + repr(heard)


def test_a_result_stays_hidden_until_the_last_trial(tmp_path):
    test = make_abx(tmp_path, names=("FP32", "INT8"))
    for _ in range(15):
        test.answer(test.next().right)
    result = test.result()
    assert result.result is None
    assert not result.heard
    assert result.rows == []
    shown = result._repr_html_() + repr(result)
    assert "15 of 16" in shown
    assert "FP32" not in shown and "right" not in shown
    assert "nobody has finished" not in repr(test.answer("A"))
    assert test.result().result.trials == 16
    rated = make_mushra(tmp_path).result()
    assert rated.rows == [] and rated.pairs == [] and rated.friedman is None
    assert "stays hidden" in rated._repr_html_()
    assert rated.picture().alt == "MUSHRA ratings, medians: none yet"


def test_too_few_trials_say_so(tmp_path):
    result = answer_abx(make_abx(tmp_path, trials=4), 4).result()
    assert not result.heard
    assert "4 trials cannot tell hearing from guessing" in result.summary


def test_several_listeners_are_counted_together_and_corrected(tmp_path):
    tests = [
        answer_abx(make_abx(tmp_path, listener=name), right)
        for name, right in (("anna", 12), ("bo", 9), ("cleo", 16))
    ]
    unfinished = make_abx(tmp_path, listener="dan")
    unfinished.answer("A")
    report = AbxReport([*tests, unfinished])
    assert (report.result.right, report.result.trials) == (37, 48)
    rows = {row["listener"]: row for row in report.rows}
    assert list(rows) == ["anna", "bo", "cleo"]
    assert rows["anna"]["p_holm"] == pytest.approx(2 * 2517 / 65536)
    assert rows["cleo"]["p_holm"] == pytest.approx(3 / 65536)
    assert "dan: 1 of 16" in repr(report)
    assert sum(row["right"] for row in report.by_item) == 37
    assert [row["trials"] for row in report.by_item] == [12] * 4
    files = [listening.read(path) for path in sorted(tmp_path.glob("*.jsonl"))]
    assert repr(AbxReport(files)) == repr(report)


def test_sheets_that_do_not_belong_together_are_refused(tmp_path):
    test, other = make_abx(tmp_path), make_abx(tmp_path, name="other", listener="b")
    for sheets, words in (
        ([], "no answers"),
        ([test, other], "took another test"),
        ([test, listening.read(test.path)], "two sheets of you"),
        ([make_mushra(tmp_path)], "kind mushra, not abx"),
    ):
        with pytest.raises(DesignError, match=words):
            AbxReport(sheets)


def test_medians_means_and_intervals_over_listeners(tmp_path):
    levels = [60, 64, 70, 72, 90]
    tests = [
        rate(make_mushra(tmp_path, listener=f"l{level}"), int8=[level - 2, level, level, level + 2])
        for level in levels
    ]
    report = MushraReport(tests)
    assert report.over == "listeners"
    assert report.ratings.shape == (5, 4)
    row = next(row for row in report.rows if row["stimulus"] == "int8")
    assert (row["median"], row["mean"]) == (70, np.mean(levels))
    assert (row["quartile_1"], row["quartile_3"]) == (64, 72)
    assert 60 < row["low"] < row["mean"] < row["high"] < 90
    assert report.stimuli[0] == "reference"
    (only,) = report.pairs  # anchors are not compared
    assert (only.first, only.second) == ("reference", "int8")
    assert only.p_value == pytest.approx(2 / 2**5)
    assert report.friedman.p_value is None, "one system: nothing to compare"
    assert "5 listeners, 4 items; 0 of 1 pairs differ" in report.summary
    again = MushraReport([listening.read(test.path) for test in tests])
    assert again.rows == report.rows


def test_one_listener_says_nothing_of_others(tmp_path):
    report = rate(make_mushra(tmp_path), int8=[60, 70, 80, 90]).result()
    assert report.over == "items"
    assert report.ratings.shape == (4, 4)
    assert "say nothing of how others would rate" in report.summary
    row = next(row for row in report.rows if row["stimulus"] == "int8")
    assert row["median"] == 75


def test_one_listener_and_one_item_has_no_interval(tmp_path):
    sound = np.sin(np.arange(RATE) / 20).astype(np.float32) * 0.3
    items = {"only": {"reference": sound, "int8": 0.9 * sound}}
    report = rate(make_mushra(tmp_path, items=items)).result()
    assert all(row["low"] is None for row in report.rows)
    assert report.friedman.p_value is None
    report.picture()._repr_html_()
    assert "int8" in report._repr_html_()


def test_everybody_rates_all_alike(tmp_path):
    tests = [
        rate(make_mushra(tmp_path, listener=f"l{i}"), int8=50, reference=50, low=50, mid=50)
        for i in range(8)
    ]
    report = MushraReport(tests)
    assert all(row["low"] == row["high"] == 50 for row in report.rows)
    assert report.pairs[0].p_value == 1.0
    report._repr_html_()


def test_equal_systems_are_equal_whatever_the_reference_and_the_anchors_get(tmp_path):
    sound = np.sin(np.arange(4000) / 20).astype(np.float32) * 0.3
    systems = {"a": 0.9 * sound, "b": 0.8 * sound, "c": 0.7 * sound}
    items = {f"item {i}": {"reference": sound, **systems} for i in range(4)}
    tests = [
        rate(make_mushra(tmp_path, items=items, listener=f"l{i}"), a=70, b=70, c=70)
        for i in range(12)
    ]
    test = MushraReport(tests).friedman
    assert (test.stimuli, test.p_value) == (3, 1.0)


# Post-screening, ITU-R BS.1534-3: more than 15 % of the items


def screened(tmp_path, **ratings):
    sound = np.sin(np.arange(4000) / 20).astype(np.float32) * 0.3
    items = {f"item {i:02}": {"reference": sound, "int8": 0.9 * sound} for i in range(20)}
    test = listening.mushra(
        items, name="s", folder=tmp_path, listener="one", sample_rate=RATE, anchors="mid" in ratings
    )
    known = {"reference": [100] * 20, "int8": [70] * 20, "anchor 3.5 kHz": [20] * 20}
    known |= {"anchor 7 kHz" if k == "mid" else k: v for k, v in ratings.items()}
    while (page := test.next()) is not None:
        test.answer([known[stimulus][page.number] for stimulus in page.order])
    return post_screen([test])


@pytest.mark.parametrize(("low", "kept"), [(0, True), (3, True), (4, False), (20, False)])
def test_hidden_reference_below_90_on_more_than_15_percent(low, kept, tmp_path):
    found = screened(tmp_path, reference=[89.5] * low + [90] * (20 - low))
    assert bool(found.kept) == kept
    assert found.rows[0]["reference_below_90"] == low
    assert found.rows[0]["mid_anchor_above_90"] is None
    if not kept:
        assert f"hidden reference below 90 on {low} of 20 items" in found.excluded["one"]


@pytest.mark.parametrize(("high", "kept"), [(0, True), (3, True), (4, False)])
def test_mid_anchor_above_90_on_more_than_15_percent(high, kept, tmp_path):
    found = screened(tmp_path, mid=[91] * high + [90] * (20 - high))
    assert bool(found.kept) == kept
    assert found.rows[0]["mid_anchor_above_90"] == high
    if not kept:
        assert "mid anchor above 90" in repr(found)


def test_a_mid_anchor_that_a_quarter_finds_hardly_worse_does_not_count(tmp_path):
    sheets = []
    for number in range(7):
        kind = number < 2
        test = make_mushra(tmp_path, listener=f"{'kind' if kind else 'strict'} {number}")
        mild = sorted({page.item for page in test.design.trials})[:2]
        while (page := test.next()) is not None:
            mid = 95 if kind and test.design.trials[page.number].item in mild else 60
            known = {"reference": 100, "anchor 7 kHz": mid, "anchor 3.5 kHz": 20}
            test.answer([known.get(stimulus, 70) for stimulus in page.order])
        sheets.append(test)
    found = post_screen(sheets)
    assert len(found.mild) == 2 and not found.excluded, "two of seven are more than a quarter"
    assert all(name in found._repr_html_() for name in found.mild)
    alone = post_screen(sheets[1:])  # one kind listener
    assert not alone.mild and list(alone.excluded) == ["kind 1"]


def test_a_report_states_whom_screening_left_out(tmp_path):
    tests = [
        rate(make_mushra(tmp_path, listener="good")),
        rate(make_mushra(tmp_path, listener="also good"), int8=74),
        rate(make_mushra(tmp_path, listener="deaf"), reference=60, int8=10),
    ]
    everybody, kept = MushraReport(tests), MushraReport(tests, screen=True)
    assert everybody.ratings.shape[0] == 3
    assert kept.ratings.shape[0] == 2
    assert kept.rows[1]["mean"] == 72
    assert "screened out: deaf (hidden reference below 90 on 4 of 4 items)" in repr(kept)
    assert "deaf" in kept._repr_html_()
    assert "deaf" in kept.screening._repr_html_()
    nobody = MushraReport([tests[2]], screen=True)
    assert nobody.rows == []
    assert "deaf" in repr(nobody)


# Pictures


def test_pictures_tell_their_content_and_that_listeners_are_simulated(tmp_path):
    one = answer_abx(make_abx(tmp_path, listener="anna"), 13).result().picture()
    assert one.alt == "Right answers against guessing: anna 13 of 16"
    simulated = make_abx(tmp_path, listener="robot").simulate(AbxListener(1.0))
    assert simulated.picture().alt.endswith("robot 16 of 16; the listeners are simulated")
    assert "Simulated" in simulated.picture().axes[0].get_title(loc="left")
    tests = [make_mushra(tmp_path, listener=f"r{i}") for i in range(3)]
    for i, test in enumerate(tests):
        test.simulate(MushraListener({"int8": 80}, seed=i))
    picture = MushraReport(tests).picture()
    assert "int8 " in picture.alt and "simulated" in picture.alt
    several = AbxReport([make_abx(tmp_path, listener=name) for name in ("anna", "robot")])
    for shown in (one, picture, several.picture(), make_abx(tmp_path).result().picture()):
        assert shown._repr_html_().startswith("<img alt=")


def test_every_count_can_be_drawn(tmp_path):
    from labutils.listening.pictures import abx_picture

    for trials in (1, 4, 16, 100):
        for right in {0, trials // 2, trials}:
            row = {"listener": "x", "right": right, "trials": trials}
            abx_picture([row], 0.05).figure.draw_without_rendering()
