"""Choosing among rows of load: the knee, the gain, the best of several rounds, the picture."""

import pytest

from labutils.concurrency import gain, knee, measuring, room, throughput_picture


def rows_of(*speeds, way="a"):
    return [
        {"way": way, "frames": 32, "lanes": n, "per_second": v, "times_real_time": v, "p95_ms": n}
        for n, v in enumerate(speeds, 1)
    ]


def test_the_knee_is_the_fewest_lanes_near_the_best():
    rows = [*rows_of(100, 190, 236, 240, 230), {"way": "a", "lanes": 6, "error": "no memory"}]
    assert knee(rows)["lanes"] == 3
    assert knee(rows, share=1.0)["lanes"] == 4
    assert gain(rows) == pytest.approx(2.4)
    assert gain(rows[1:]) is None
    with pytest.raises(ValueError, match="no row"):
        knee([{"lanes": 1, "error": "x"}])


def test_room_is_what_a_batch_that_fills_the_gpu_gains():
    assert room(2.0, 32.0, 32) == pytest.approx(2.0)


def test_the_best_of_several_rounds_counts_row_by_row():
    rounds = iter([iter(rows_of(10, 30, 20)), iter(rows_of(15, 12, 21))])
    assert [row["per_second"] for row in measuring.best_of(rounds)] == [15, 30, 21]
    with pytest.raises(ValueError):
        measuring.best_of([rows_of(1), rows_of(1, 2)])


def test_the_picture_tells_its_knee():
    rows = [
        *rows_of(100, 190, 236, 240),
        *rows_of(100, 110, 111, way="b"),
        {"way": "b", "frames": 32, "lanes": 4, "error": "x"},
    ]
    drawn = throughput_picture(rows, ceilings={32: 300.0}, title="t")
    assert "best with a, 240 times real time; the knee is at 3" in drawn.alt
    assert "base64" in drawn._repr_html_()
    assert throughput_picture([], title="none").alt == "none."
    far = throughput_picture(rows, ceilings={32: 9000.0})
    assert any("9,000" in text.get_text() for ax in far.axes for text in ax.texts)
