"""Make the pictures of the READMEs from the data: ``python data/make_pictures.py``."""

import json
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from labutils import audio, baseline, evaluation, show, vocoders
from labutils.show.figures import COLOURS, house_style

DATA = Path(__file__).parent
PICTURES = DATA / "pictures"


def first_sound() -> Path:
    """A clip, Griffin-Lim's copy of it and our vocoder's, as spectrograms with the same colours."""
    clip = audio.clip("en-slt")
    samples, model = clip.load(), vocoders.load("hifigan-small")
    rate = model.config.output_sample_rate
    recording, copy = evaluation.copy_synthesis(model, samples, clip.sample_rate)
    _, griffin_lim = evaluation.griffin_lim_copy(model.config, samples, clip.sample_rate)
    sounds = {
        "the clip": (recording, rate),
        "Griffin-Lim, 60 iterations": (griffin_lim, rate),
        "hifigan-small, trained for this workbook": (copy, rate),
    }
    path = show.compare_spectrograms(sounds).save(PICTURES / "first-sound.png")
    with Image.open(path) as picture:  # a palette: a quarter of the bytes, and nobody sees it
        few = picture.convert("RGB").quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=0)
    few.save(path, optimize=True)
    return path


def training_curves() -> Path:
    """How well the validation utterances' mels were copied during each training, in minutes."""
    curves = sorted((DATA / "checkpoints").glob("*.curve.json"))
    with house_style():
        figure = Figure(figsize=(9, 3.4), layout="constrained")
        ax = figure.subplots()
        for colour, path in zip(COLOURS, curves, strict=False):
            before = 0.0
            for session in json.loads(path.read_text())["sessions"]:
                # Measured with another loss, in other units; not on a GPU; or on the way elsewhere.
                if {"loss", "device", "beside"} & session.keys():
                    continue
                points = session["points"]
                alone = [p for p in points if "critic" not in p]
                against = alone[-1:] + [p for p in points if "critic" in p]
                for part, style in ((alone, "-"), (against, ":")):
                    minutes = [before + point["minutes"] for point in part]
                    ax.plot(minutes, [p["validation"] for p in part], style, color=colour)
                before += points[-1]["minutes"]
            ax.plot([], [], color=colour, label=path.name.split(".")[0])
        ax.plot([], [], ":", color="0.4", label="against critics")
        ax.set(
            xlabel="minutes on one GPU, all sessions with the present loss",
            ylabel="distance of the mels",
            ylim=(0.1, 0.45),
            xlim=(0, None),
        )
        ax.legend(frameon=False, ncols=2)
    return show.picture(figure, "Validation loss over minutes").save(
        PICTURES / "training-curves.png"
    )


if __name__ == "__main__":
    PICTURES.mkdir(exist_ok=True)
    first_sound()
    training_curves()
    baseline.picture(path=PICTURES / "baseline.png")
