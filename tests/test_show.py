"""Players and pictures: one gain, sounds and texts in the page itself, common axes and colours."""

import base64
import io
import re

import numpy as np
import pytest
import soundfile
from PIL import Image

from labutils import mel, show
from labutils.audio.signals import AudioError
from labutils.show import plots, thumbs

RATE = 16000
NOISE = (0.1 * np.random.default_rng(0).standard_normal(RATE)).astype(np.float32)


def tone(frequency=1000.0, seconds=1.0, rate=RATE, peak=0.5):
    times = np.arange(round(seconds * rate)) / rate
    return (peak * np.sin(2 * np.pi * frequency * times)).astype(np.float32)


def wavs(shown):
    """The sounds as a browser gets them: [(samples, sample_rate), ...]."""
    found = re.findall(r'src="data:audio/wav;base64,([^"]+)"', shown._repr_html_())
    return [soundfile.read(io.BytesIO(base64.b64decode(data))) for data in found]


def images(markup):
    found = re.findall(r'src="data:image/(\w+);base64,([^"]+)"', markup)
    return [Image.open(io.BytesIO(base64.b64decode(data))) for _, data in found]


def test_a_player_holds_its_sound_and_never_turns_it_up():
    [(samples, rate)] = wavs(show.player(tone(peak=0.1), RATE, "soft"))
    assert rate == RATE and np.abs(samples - tone(peak=0.1)).max() < 1e-4


def test_one_gain_for_all_and_a_line_that_says_it():
    shown = show.players({"a": (tone(peak=2.0), RATE), "b": (tone(peak=0.2), RATE)})
    (loud, _), (soft, _) = wavs(shown)
    assert np.abs(loud).max() == pytest.approx(1.0, abs=1e-3)
    assert np.abs(soft).max() == pytest.approx(0.1, abs=1e-3)
    assert shown.gain == pytest.approx(0.5)
    assert "All sounds are turned down by 6.0 dB together" in shown._repr_html_()


def test_no_line_where_nothing_clips():
    shown = show.players({"a": (tone(peak=1.0), RATE), "b": (tone(), RATE)})
    assert shown.gain == 1.0 and "turned down" not in shown._repr_html_()


def test_the_gain_of_a_player_may_be_given():
    shown = show.player(tone(peak=0.4), RATE, "x", gain=0.5)
    assert np.abs(wavs(shown)[0][0]).max() == pytest.approx(0.2, abs=1e-3)
    shown = show.player(tone(peak=0.4), RATE, "x", gain=5.0)
    assert np.abs(wavs(shown)[0][0]).max() == pytest.approx(1.0, abs=1e-3)
    assert "The sound is turned down by 6.0 dB" in shown._repr_html_()


def test_stereo_becomes_mono_and_max_seconds_keeps_the_beginning():
    sound = np.stack([tone(seconds=2.0), 0 * tone(seconds=2.0)])
    shown = show.players({"s": (sound, RATE)}, max_seconds=0.5)
    [(samples, _)] = wavs(shown)
    assert samples.shape == (8000,) and np.abs(samples).max() == pytest.approx(0.25, abs=0.01)
    assert "first 0.5 of 2.0 s, 16 kHz" in shown._repr_html_()
    assert "1.0 s, 22.05 kHz" in show.player(tone(rate=22050), 22050)._repr_html_()


def test_starting_one_sound_stops_the_others():
    markup = show.players({"a": (tone(), RATE), "b": (tone(), RATE)})._repr_html_()
    assert len(re.findall(r'<audio[^>]*onplay="[^"]*a!==this[^"]*a\.pause\(\)', markup)) == 2


def test_titles_are_labels_and_are_escaped():
    markup = show.players(
        {'<b>"A"</b>': (tone(), RATE)}, notes={'<b>"A"</b>': "a < b"}
    )._repr_html_()
    assert "<b>" not in markup and "&lt;b&gt;" in markup and "a &lt; b" in markup
    assert 'aria-label="Play &lt;b&gt;&quot;A&quot;&lt;/b&gt;"' in markup


def test_the_page_needs_nothing_from_outside_and_images_have_a_text():
    sounds = {"a": (tone(), RATE), "b": (NOISE, RATE)}
    for markup in (
        show.players(sounds, spectrograms=True)._repr_html_(),
        show.compare_spectrograms(sounds)._repr_html_(),
    ):
        assert not re.search(r"https?://|src=\"(?!data:)|<script|<link", markup)
        for image in re.findall(r"<img[^>]*>", markup):
            assert re.search(r'alt="Spectrograms? of ', image)


def test_thumbnails_share_axes_and_zero_db():
    long, short = tone(seconds=2.0, peak=0.5), tone(seconds=1.0, peak=0.005)
    markup = show.players(
        {"l": (long, RATE), "s": (short, 2 * RATE)}, spectrograms=True
    )._repr_html_()
    assert "Grey: beyond" in markup
    assert "Grey" not in show.player(long, RATE, spectrograms=True)._repr_html_()
    first, second = images(markup)
    assert first.size == second.size == thumbs.SIZE
    assert len(set(re.findall(r"0 to [\d.]+ s, 0 to [\d.]+ kHz", markup))) == 1
    loud, soft = np.asarray(first.convert("RGBA")), np.asarray(second.convert("RGBA"))
    assert loud[10, 200, 3] < 128 < loud[100, 200, 3]  # above 8 kHz: no data, the page shows
    assert soft[100, 300, 3] < 128 < soft[10, 100, 3]  # after its end: no data
    assert loud[:, :, :3].max() > 200 > soft[soft[..., 3] == 255][:, :3].max()  # 40 dB softer


def test_small_spectrograms_are_small():
    plain = len(show.player(NOISE, RATE)._repr_html_())
    assert len(show.player(NOISE, RATE, spectrograms=True)._repr_html_()) - plain < 40_000


def test_the_saved_notebook_can_leave_the_sound_out():
    import nbformat
    from nbformat.v4 import new_code_cell, new_notebook, new_output

    from labutils import workbook

    markup = show.players({"a": (tone(), RATE), "b": (tone(), RATE)})._repr_html_()
    output = new_output("execute_result", {"text/html": markup})
    notebook = new_notebook(cells=[new_code_cell("show", outputs=[output])])
    assert workbook.strip_sound(notebook) == 2
    left = notebook.cells[0].outputs[0].data["text/html"]
    assert "data:audio" not in left and left.count("<figcaption") == 2
    nbformat.validate(notebook)


@pytest.mark.parametrize(
    ("sounds", "said"),
    [
        ({}, "no sounds"),
        ({"a": tone()}, "a: give a pair"),
        ({"a": (RATE, tone())}, "a: give a pair"),
        ({"a": (tone(), RATE), "b": (np.zeros(0), RATE)}, "b: zero samples"),
        ({"a": (np.array([0.1, np.nan]), RATE)}, "a: 1 of 2 samples are NaN"),
        ({"a": (np.zeros(4, np.int16), RATE)}, "a: int16"),
    ],
)
def test_refused_by_title(sounds, said):
    for view in (show.players, show.compare_spectrograms):
        with pytest.raises(AudioError, match=said):
            view(sounds)


def test_players_refuse_settings_that_mean_nothing():
    with pytest.raises(AudioError, match="max_seconds 0"):
        show.players({"a": (tone(), RATE)}, max_seconds=0)
    with pytest.raises(AudioError, match="notes for b; there are: a"):
        show.players({"a": (tone(), RATE)}, notes={"b": "x"})


def test_silence_has_players_and_pictures():
    silent = {"silent": (np.zeros(RATE, np.float32), RATE)}
    assert len(images(show.players(silent, spectrograms=True)._repr_html_())) == 1
    assert images(show.compare_spectrograms(silent)._repr_html_())


def test_magnitudes_of_a_tone_do_not_depend_on_the_rate():
    for rate in (16000, 22050, 48000):
        magnitude = plots.magnitudes(tone(rate=rate), rate)
        bins, middle = magnitude.shape[0], magnitude[:, magnitude.shape[1] // 2]
        assert middle.max() == pytest.approx(0.25, rel=0.16)  # between two bins
        assert middle.argmax() * rate / 2 / (bins - 1) == pytest.approx(1000, abs=50)
    level = plots.relative_db(np.array([0.5, 0.05, 0.0]), 0.5)
    assert level == pytest.approx([0, -20, -80])


def test_spectrogram_axes_are_seconds_and_khz():
    shown = show.spectrogram(tone(), RATE, title="tone", fmax=4000)
    ax = shown.axes[0]
    assert ax.get_xlim() == (0, 1) and ax.get_ylim() == (0, 4)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("time (s)", "frequency (kHz)")
    assert ax.images[0].get_clim() == (-80, 0)
    rows = ax.images[0].get_array()
    assert rows.shape[0] * 1000 / 8000 == pytest.approx(rows[:, 40].argmax(), abs=1.5)


def test_compared_spectrograms_share_axes_and_zero_db():
    sounds = {"loud": (tone(), RATE), "soft": (0.01 * tone(1000.0, 0.5), 2 * RATE)}
    figure = show.compare_spectrograms(sounds).figure
    loud, soft = figure.axes[:2]
    assert loud.get_xlim() == soft.get_xlim() == (0, 1)
    assert loud.get_ylim() == soft.get_ylim() == (0, 16)
    assert loud.images[0].get_array().max() == pytest.approx(0, abs=0.1)
    assert soft.images[0].get_array().max() == pytest.approx(-40, abs=1)


def test_pictures_on_given_axes():
    from matplotlib.figure import Figure

    ax = Figure().subplots()
    assert show.spectrogram(tone(), RATE, ax=ax, colour_bar=False) is ax
    assert len(ax.figure.axes) == 1 and ax.images


def test_waveform_keeps_the_peaks_of_a_long_sound():
    sound = np.zeros(10 * RATE, np.float32)
    sound[777] = 0.9
    (ax,) = show.waveform(sound, RATE, title="click").axes
    assert ax.collections[0].get_datalim(ax.transData).y1 == pytest.approx(0.9)
    assert ax.get_ylim() == (-1.05, 1.05) and ax.get_xlim() == (0, 10)


def test_mel_picture_shows_values_and_refuses_another_mel():
    config = mel.MelConfig(22050, 1024, 1024, 256, n_mels=80, fmax=8000, log="log10")
    values = np.linspace(-5, 1, 80 * 30, dtype=np.float32).reshape(80, 30)
    ax, bar = show.mel_picture(values, config, title="m").axes
    assert ax.images[0].get_clim() == pytest.approx((-5, 1)) and bar.get_ylabel() == "log10 mel"
    assert ax.get_xlim()[1] == pytest.approx(30 * 256 / 22050)
    labels = dict(zip([t.get_text() for t in ax.get_yticklabels()], ax.get_yticks(), strict=True))
    centres = mel.librosa.mel_frequencies(82, fmin=0, fmax=8000)[1:-1]
    assert labels["1"] == pytest.approx(np.interp(1000, centres, np.arange(80) + 0.5))
    assert labels["8"] == pytest.approx(80)
    assert ax.get_ylim() == (0, 80)
    assert show.mel_picture(values[None], config).axes[0].images[0].get_array().shape == (80, 30)
    with pytest.raises(AudioError, match=r"mel of shape \(2, 80, 30\)"):
        show.mel_picture(np.stack([values, values]), config)
    with pytest.raises(AudioError, match=r"mel of shape \(30, 80\); give \(80, frames\)"):
        show.mel_picture(values.T, config)
    with pytest.raises(AudioError, match="NaN"):
        show.mel_picture(values * np.nan, config)


def test_a_figure_of_pyplot_is_shown_once_with_its_text():
    import matplotlib
    import matplotlib.pyplot as plt

    with matplotlib.rc_context():
        show.use_style()
        assert matplotlib.rcParams["axes.titlelocation"] == "left"
        figure, ax = plt.subplots()
        ax.plot([1, 2])
        before = plt.get_fignums()
        shown = show.picture(figure, 'speed "x"')
    assert figure.number in before and figure.number not in plt.get_fignums()
    markup = shown._repr_html_()
    assert 'alt="speed &quot;x&quot;"' in markup and 'width="900"' in markup
    assert images(markup)[0].size == (1350, 510)  # 1.5 times the size on the page


def test_pictures_leave_matplotlib_as_it_was(tmp_path):
    import matplotlib

    with matplotlib.rc_context({"axes.titlelocation": "right"}):
        before = dict(matplotlib.rcParams)
        shown = show.compare_spectrograms({"a": (tone(), RATE)})
        assert shown.axes[0].get_title(loc="left") == "a"
        shown._repr_html_()
        assert show.waveform(tone(), RATE).save(tmp_path / "w.png").stat().st_size > 1000
        assert dict(matplotlib.rcParams) == before
