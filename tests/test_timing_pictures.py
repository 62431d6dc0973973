"""Pictures of measurements: they show what they are given, and say it in words."""

import numpy as np

from labutils.benchmark import pictures as timing_pictures


def lines(picture):
    return picture.axes[0].get_lines()


def test_calls_are_drawn_from_number_one():
    shown = timing_pictures.calls_picture({"a": [90.0, 2.0, 2.0], "b": [5.0, 4.0]}, title="calls")
    first, second = lines(shown)
    assert list(first.get_xdata()) == [1, 2, 3] and list(second.get_ydata()) == [5.0, 4.0]
    assert "First call a: 90, later about 2" in shown.alt and "calls" in shown.alt
    assert shown.axes[0].get_yscale() == "log" and "<img" in shown._repr_html_()
    linear = timing_pictures.calls_picture({"a": [3.0, 2.0]}, log=False)
    assert linear.axes[0].get_ylim()[0] == 0 and "<img" in linear._repr_html_()


def test_marks_stand_at_their_times_with_labels_apart():
    times = np.r_[np.full(95, 20.0), np.linspace(30, 120, 5)]
    marks = {"median": 20.0, "p99": 110.0, "formula": 60.0}
    shown = timing_pictures.distribution_picture(times, marks, title="waiting")
    assert [line.get_xdata()[0] for line in lines(shown)] == [20.0, 60.0, 110.0]
    texts = shown.axes[0].texts
    assert [text.get_text().strip() for text in texts][0] == "median: 20 ms"
    heights = [text.get_position()[1] for text in texts]
    assert len(set(heights)) == 3 and max(heights) < shown.axes[0].get_ylim()[1]
    assert "100 runs" in shown.alt and "p99 110 ms" in shown.alt


def test_levels_start_at_zero_so_that_growth_is_seen():
    shown = timing_pictures.levels_picture({"leak": [100.0, 150.0], "fine": [100.0, 100.0]})
    assert shown.axes[0].get_ylim()[0] == 0 and "leak: from 100 to 150" in shown.alt


def test_transfers_have_one_curve_for_each_way():
    rows = [
        {"mb": 0.1, "pinned": 4.0, "pageable": 2.0},
        {"mb": 10.0, "pinned": 50.0, "pageable": 9},
    ]
    shown = timing_pictures.transfers_picture(rows, title="copies")
    assert [list(line.get_ydata()) for line in lines(shown)] == [[4.0, 50.0], [2.0, 9]]
    assert "pinned 50" in shown.alt and "<img" in shown._repr_html_()
