"""The three families as frozen configurations with the official field names.

Everything that follows from the layers is computed here, without building the network.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from labutils.mel import MelConfig
from labutils.vocoders.base_config import Span, VocoderConfig, conv, transposed

__all__ = ["BigVGANConfig", "HiFiGANConfig", "MelGANConfig", "VocoderConfig"]

_HIFIGAN_MEL = {
    "sampling_rate": "sample_rate",
    "n_fft": "n_fft",
    "win_size": "win_length",
    "hop_size": "hop_length",
    "num_mels": "n_mels",
    "fmin": "fmin",
    "fmax": "fmax",
}
_MELGAN_MEL = {
    "sampling_rate": "sample_rate",
    "n_fft": "n_fft",
    "win_length": "win_length",
    "hop_length": "hop_length",
    "n_mel_channels": "n_mels",
    "mel_fmin": "fmin",
    "mel_fmax": "fmax",
    "log": "log",
    "log_floor": "floor",
}


def _pick(data: Mapping[str, Any], names: Mapping[str, str], what: str) -> dict[str, Any]:
    required = [n for n in names if not n.endswith(("fmin", "fmax")) and not n.startswith("log")]
    if missing := [n for n in required if n not in data]:
        raise ValueError(f"{what} lacks {', '.join(missing)}")
    return {ours: data[name] for name, ours in names.items() if name in data}


def _own(kind: type[VocoderConfig], data: Mapping[str, Any]) -> dict[str, Any]:
    """The entries that are fields of `kind`; the others of an official file concern training."""
    return {f.name: data[f.name] for f in fields(kind) if f.name in data and f.name != "mel"}


@dataclass(frozen=True, kw_only=True)
class MelGANConfig(VocoderConfig):
    """MelGAN (Kumar et al. 2019); names of descriptinc/melgan-neurips, which has no JSON."""

    family: ClassVar[str] = "melgan"
    ngf: int = 32
    n_residual_layers: int = 3
    ratios: tuple[int, ...] = (8, 8, 2, 2)

    def _validate(self) -> None:
        if not self.ratios or min(self.ratios) < 2:
            raise ValueError(f"melgan ratios must be whole numbers above 1, not {self.ratios}")

    @property
    def rates(self) -> tuple[int, ...]:
        return self.ratios

    @property
    def channels(self) -> tuple[int, ...]:
        return tuple(self.ngf << i for i in range(len(self.ratios), -1, -1))

    @property
    def min_frames(self) -> int:
        return 4  # the first reflection takes 3 frames beside the edge

    @property
    def reach(self) -> Span:
        span = conv((0, 0), 3)
        for rate in self.ratios:
            span = transposed(span, 2 * rate, rate, rate // 2 + rate % 2)
            span = conv(span, sum(3**j for j in range(self.n_residual_layers)))
        return conv(span, 3)

    @classmethod
    def _official(cls, data: Mapping[str, Any]) -> dict[str, Any]:
        values = _own(cls, data)
        mel = {"log": "log10", **_pick(data, _MELGAN_MEL, "the melgan configuration")}
        return values | {"mel": MelConfig(**mel, magnitude_epsilon=0.0)}


@dataclass(frozen=True, kw_only=True)
class _UpsamplingConfig(VocoderConfig):
    """Common to HiFi-GAN and BigVGAN, whose files share these names.

    `min_channels` is our own: no stage gets narrower, which lets small copies keep a usable last
    stage.
    """

    resblock: str = "1"
    upsample_rates: tuple[int, ...]
    upsample_kernel_sizes: tuple[int, ...]
    upsample_initial_channel: int
    resblock_kernel_sizes: tuple[int, ...] = (3, 7, 11)
    resblock_dilation_sizes: tuple[tuple[int, ...], ...] = ((1, 3, 5),) * 3
    min_channels: int = 1

    def _validate(self) -> None:
        if not self.upsample_rates or len(self.upsample_rates) != len(self.upsample_kernel_sizes):
            raise ValueError(
                f"{self.family}: upsample_rates and upsample_kernel_sizes must have the same length"
            )
        for rate, kernel in zip(self.upsample_rates, self.upsample_kernel_sizes, strict=True):
            if kernel < rate or (kernel - rate) % 2:
                raise ValueError(
                    f"{self.family}: an upsampling kernel of {kernel} at rate {rate} cannot give "
                    "an exact length; kernel minus rate must be even and not negative"
                )
        if (
            len(self.resblock_kernel_sizes) != len(self.resblock_dilation_sizes)
            or not self.resblock_kernel_sizes
        ):
            raise ValueError(
                f"{self.family}: resblock_kernel_sizes and resblock_dilation_sizes differ in length"
            )
        if even := [k for k in self.resblock_kernel_sizes if k % 2 == 0]:
            raise ValueError(f"{self.family}: residual kernels must be odd, not {even}")

    @classmethod
    def _official(cls, data: Mapping[str, Any]) -> dict[str, Any]:
        mel = MelConfig(**_pick(data, _HIFIGAN_MEL, f"the {cls.family} configuration"))
        return _own(cls, data) | {"mel": mel}

    @property
    def rates(self) -> tuple[int, ...]:
        return self.upsample_rates

    @property
    def channels(self) -> tuple[int, ...]:
        stages = (
            self.upsample_initial_channel >> i for i in range(1, len(self.upsample_rates) + 1)
        )
        return (self.upsample_initial_channel, *(max(c, self.min_channels) for c in stages))

    def _block_reach(self, activation: int = 0) -> int:
        """Of the widest parallel block; `activation` is what each non-linearity adds."""
        reaches = []
        for kernel, dilations in zip(
            self.resblock_kernel_sizes, self.resblock_dilation_sizes, strict=True
        ):
            half = (kernel - 1) // 2
            # resblock "2" has no second convolution
            second = half + activation if self.resblock == "1" else 0
            reaches.append(sum(half * d + activation + second for d in dilations))
        return max(reaches)

    def _stages_reach(self, activation: int = 0) -> Span:
        span = conv((0, 0), 3)
        for rate, kernel in zip(self.upsample_rates, self.upsample_kernel_sizes, strict=True):
            span = transposed(span, kernel, rate, (kernel - rate) // 2)
            span = conv(span, self._block_reach(activation))
        return conv(span, activation + 3)

    @property
    def reach(self) -> Span:
        return self._stages_reach()


@dataclass(frozen=True, kw_only=True)
class HiFiGANConfig(_UpsamplingConfig):
    """HiFi-GAN (Kong et al. 2020) and the generator of GPT-SoVITS v4.

    `is_bias`: whether conv_post has a bias. `norm_ends`: whether conv_pre and conv_post have weight
    norm in training, which they have not in GPT-SoVITS v4.
    """

    family: ClassVar[str] = "hifigan"
    is_bias: bool = True
    norm_ends: bool = True

    def _validate(self) -> None:
        super()._validate()
        if self.resblock not in ("1", "2"):
            raise ValueError(f'hifigan resblock must be "1" or "2", not {self.resblock!r}')

    @classmethod
    def _official(cls, data: Mapping[str, Any]) -> dict[str, Any]:
        if data.get("gin_channels", 0):
            raise ValueError(
                "hifigan with speaker conditioning is not covered: gin_channels is "
                f"{data['gin_channels']}"
            )
        if "output_sampling_rate" not in data:
            return super()._official(data)
        # GPT-SoVITS v4: mel and output have different rates, the magnitude epsilon is its own.
        values = _own(cls, data)
        mel = MelConfig(
            **_pick(data.get("mel", {}), _HIFIGAN_MEL, "the mel part"), magnitude_epsilon=1e-8
        )
        return values | {
            "mel": mel,
            "sampling_rate": data["output_sampling_rate"],
            "norm_ends": False,
        }


@dataclass(frozen=True, kw_only=True)
class BigVGANConfig(_UpsamplingConfig):
    """BigVGAN (Lee et al. 2023) and v2. The last two flags default to true, as its authors' do."""

    family: ClassVar[str] = "bigvgan"
    activation: str = "snakebeta"
    snake_logscale: bool = True
    use_tanh_at_final: bool = True
    use_bias_at_final: bool = True

    # Samples each side of the two 12-tap filters around a snake, at twice the rate.
    ACTIVATION_REACH: ClassVar[int] = 5

    def _validate(self) -> None:
        super()._validate()
        if self.resblock != "1":
            raise ValueError(f'bigvgan resblock must be "1", not {self.resblock!r}')
        if self.activation != "snakebeta":
            raise ValueError(f'bigvgan activation must be "snakebeta", not {self.activation!r}')

    @property
    def reach(self) -> Span:
        return self._stages_reach(self.ACTIVATION_REACH)
