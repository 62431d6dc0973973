"""Make the pictures of the READMEs from the data: ``python data/make_pictures.py``."""

import json
from pathlib import Path

from matplotlib.figure import Figure

from labutils import audio, baseline, evaluation, show, vocoders
from labutils.show.figures import house_style

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
    return show.compare_spectrograms(sounds).save(PICTURES / "first-sound.png")


def training_curves() -> Path:
    """What the validation utterances said during each training, in minutes."""
    with house_style():
        figure = Figure(figsize=(9, 3.2), layout="constrained")
        ax = figure.subplots()
        for path in sorted((DATA / "checkpoints").glob("*.curve.json")):
            points = json.loads(path.read_text())["points"]
            minutes = [point["minutes"] for point in points]
            ax.plot(
                minutes, [point["validation"] for point in points], label=path.name.split(".")[0]
            )
        ax.set(
            xlabel="minutes on one GPU",
            ylabel="multi-scale mel loss",
            ylim=(1.2, 2.6),
            xlim=(0, None),
        )
        ax.legend(frameon=False)
    return show.picture(figure, "Validation loss over minutes").save(
        PICTURES / "training-curves.png"
    )


if __name__ == "__main__":
    PICTURES.mkdir(exist_ok=True)
    first_sound()
    training_curves()
    baseline.picture(path=PICTURES / "baseline.png")
