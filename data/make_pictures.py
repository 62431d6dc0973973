"""Make the pictures of the README from the data: ``python data/make_pictures.py``."""

from pathlib import Path

from labutils import audio, evaluation, show, vocoders

PICTURES = Path(__file__).parent / "pictures"


def first_sound() -> Path:
    """A clip, Griffin-Lim's copy of it and our vocoder's, as spectrograms with the same colours."""
    clip = audio.clip("en-slt")
    samples, model = clip.load(), vocoders.load("hifigan-small")
    rate = model.config.output_sample_rate
    recording, copy = evaluation.copy_synthesis(model, samples, clip.sample_rate)
    _, baseline = evaluation.griffin_lim_copy(model.config, samples, clip.sample_rate)
    sounds = {"the clip": (recording, rate), "Griffin-Lim, 60 iterations": (baseline, rate),
              "hifigan-small, trained for this workbook": (copy, rate)}  # fmt: skip
    return show.compare_spectrograms(sounds).save(PICTURES / "first-sound.png")


if __name__ == "__main__":
    PICTURES.mkdir(exist_ok=True)
    first_sound()
