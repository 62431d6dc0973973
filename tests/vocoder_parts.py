"""What tests of the vocoders share: facts of the presets, and the same networks but narrow."""

from dataclasses import replace

from labutils.vocoders import VocoderConfig, preset

# parameters with weight norm and folded, keys likewise, frames each side, samples per frame
FACTS = {
    "melgan": (4_266_050, 4_260_257, 126, 84, 6, 256),
    "hifigan-v1": (13_936_130, 13_926_017, 234, 156, 13, 256),
    "hifigan-v2": (928_514, 925_985, 234, 156, 13, 256),
    "hifigan-v3": (1_464_322, 1_462_273, 69, 46, 11, 256),
    "gpt-sovits-v4": (14_435_329, 14_425_409, 289, 194, 12, 480),
    "bigvgan-base-24khz": (14_025_154, 14_015_041, 526, 448, 18, 256),
    "bigvgan-v2-24khz": (112_446_289, 112_414_512, 783, 667, 38, 256),
    "hifigan-small": (928_514, 925_985, 234, 156, 13, 256),
    "gpt-sovits-v4-small": (979_505, 976_953, 289, 194, 12, 480),
    "bigvgan-small": (695_885, 693_350, 783, 667, 38, 256),
}


def narrow(name: str) -> VocoderConfig:
    """The same layers with so few channels that a test is quick."""
    config = preset(name)
    if config.family == "melgan":
        return replace(config, ngf=2)
    return replace(config, upsample_initial_channel=32, min_channels=2)
