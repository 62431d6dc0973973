"""Vocoders in miniature: the structure of each family, small enough to export in a second."""

from dataclasses import replace

from labutils import vocoders

_MEL = {"n_fft": 64, "win_length": 64, "hop_length": 8, "n_mels": 10}
_STAGES = {"upsample_rates": (4, 2), "upsample_kernel_sizes": (8, 4)}
_BLOCKS = {"resblock_kernel_sizes": (3, 5), "resblock_dilation_sizes": ((1, 3), (1, 2))}
_ONE_BLOCK = {"resblock_kernel_sizes": (3,), "resblock_dilation_sizes": ((1, 3),)}


def tiny(preset: str, **options):
    """As `vocoders.create`, but with few bands, channels and layers, and a hop of 8 samples."""
    base = vocoders.preset(preset)
    small = {"mel": replace(base.mel, **_MEL)}
    if base.family == "melgan":
        small |= {"ngf": 4, "n_residual_layers": 2, "ratios": (4, 2)}
    else:
        small |= {"upsample_initial_channel": 16, **_STAGES}
        small |= _ONE_BLOCK if base.family == "bigvgan" else _BLOCKS  # nine snakes are enough
    return vocoders.create(replace(base, **small), **options)
