"""The picture of who works when: bars where the spans are, words for those who cannot see it."""

import pytest

from labutils.benchmark.lanes import lanes_picture

PANELS = {
    "one": {"host": [("ask", 0.0, 1.0), ("wait", 1.0, 9.0)], "GPU": [("engine", 1.0, 8.5)]},
    "two": {"host": [("ask", 0.0, 4.0)]},
}


def bars(picture):
    return [
        [(p.get_x(), p.get_x() + p.get_width(), p.get_y()) for p in ax.patches]
        for ax in picture.axes
    ]


def test_each_span_is_a_bar_in_its_lane():
    first, second = bars(lanes_picture(PANELS))
    assert [bar[:2] for bar in first] == [(0.0, 1.0), (1.0, 9.0), (1.0, 8.5)]
    assert first[0][2] == first[1][2] != first[2][2] and len(second) == 1


def test_panels_share_their_time_and_colours():
    picture = lanes_picture(PANELS)
    one, two = picture.axes
    assert one.get_xlim() == two.get_xlim()
    assert one.patches[0].get_facecolor() == two.patches[0].get_facecolor()
    assert one.patches[0].get_facecolor() != one.patches[1].get_facecolor()


def test_the_text_says_what_the_picture_shows():
    picture = lanes_picture(PANELS, title="an inference")
    assert picture.alt.startswith("an inference. one, host: ask 0 to 1 ms, wait 1 to 9 ms")
    assert 'alt="an inference' in picture._repr_html_()


def test_a_sketch_has_no_numbers():
    picture = lanes_picture(PANELS, to_scale=False)
    assert list(picture.axes[-1].get_xticks()) == [] and "8.5" not in picture.alt
    assert "not to scale" in picture.axes[-1].get_xlabel()


def test_only_wide_bars_are_labelled():
    picture = lanes_picture({"p": {"host": [("ask", 0.0, 0.01), ("engine", 0.01, 10.0)]}})
    assert [text.get_text() for text in picture.axes[0].texts] == ["engine"]


def test_a_span_that_runs_backwards_is_refused():
    with pytest.raises(ValueError, match="engine ends at 1, before it starts at 2"):
        lanes_picture({"p": {"GPU": [("engine", 2.0, 1.0)]}})


def test_labels_can_be_read_on_their_colours():
    spans = [(name, float(i), float(i + 1)) for i, name in enumerate("abcdefg")]
    ax = lanes_picture({"p": {"host": spans}}).axes[0]
    inks = {t.get_text(): t.get_color() for t in ax.texts}
    assert inks["a"] == "white" and inks["e"] == "black" and inks["f"] == "black"
