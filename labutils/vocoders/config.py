"""What defines a vocoder: frozen configurations with the official field names, and what follows from them.

Hop, channels, output length and receptive field are computed here from the layers, without building
the network.
"""

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

from labutils.mel import MelConfig

__all__ = ["BigVGANConfig", "HiFiGANConfig", "MelGANConfig", "VocoderConfig"]

Span = tuple[int, int]  # first and last position that one input frame reaches

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


def _conv(span: Span, reach: int) -> Span:
    return span[0] - reach, span[1] + reach


def _transposed(span: Span, kernel: int, stride: int, padding: int) -> Span:
    """Input i of a transposed convolution reaches the outputs i * stride - padding and the kernel - 1 after it."""
    return span[0] * stride - padding, span[1] * stride - padding + kernel - 1


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list | tuple) else value


def _pick(data: Mapping[str, Any], names: Mapping[str, str], what: str) -> dict[str, Any]:
    required = [n for n in names if not n.endswith(("fmin", "fmax")) and not n.startswith("log")]
    if missing := [n for n in required if n not in data]:
        raise ValueError(f"{what} lacks {', '.join(missing)}")
    return {ours: data[name] for name, ours in names.items() if name in data}


@dataclass(frozen=True, kw_only=True)
class VocoderConfig(ABC):
    """What all families share. `sampling_rate` is that of the output in Hz; `mel` describes the input."""

    family: ClassVar[str]
    sampling_rate: int
    mel: MelConfig

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, _tuples(getattr(self, field.name)))
        self._validate()
        if min(self.channels) < 1:
            raise ValueError(
                f"{self.family}: the channels {self.channels} of the stages run out; start with more"
            )
        if self.mel.sample_rate * self.hop_length != self.sampling_rate * self.mel.hop_length:
            raise ValueError(
                f"{self.family}: {self.hop_length} samples per frame at {self.sampling_rate} Hz do not keep step with "
                f"a mel hop of {self.mel.hop_length} at {self.mel.sample_rate} Hz"
            )

    @abstractmethod
    def _validate(self) -> None:
        """Raise ValueError for fields that do not fit together."""

    @property
    @abstractmethod
    def rates(self) -> tuple[int, ...]:
        """Upsampling factor of each stage."""

    @property
    @abstractmethod
    def channels(self) -> tuple[int, ...]:
        """Channels after the first convolution and after each stage."""

    @abstractmethod
    def _reach(self) -> Span:
        """First and last output sample that input frame 0 reaches."""

    @property
    def output_sample_rate(self) -> int:
        """Sample rate of the output in Hz."""
        return self.sampling_rate

    @property
    def hop_length(self) -> int:
        """Output samples per mel frame; not always the hop of the mel (see gpt-sovits-v4)."""
        return math.prod(self.rates)

    @property
    def n_mels(self) -> int:
        """Mel bands of the input."""
        return self.mel.n_mels

    @property
    def min_frames(self) -> int:
        """Fewest frames that the network takes."""
        return 1

    @property
    def receptive_field(self) -> int:
        """Mel frames on each side that a sample of the output depends on, rounded up to whole frames."""
        first, last = self._reach()
        return max(math.ceil(-first / self.hop_length), math.ceil((last + 1) / self.hop_length) - 1)

    def output_length(self, frames: int) -> int:
        """Output samples for so many mel frames."""
        return frames * self.hop_length

    def to_json(self) -> str:
        """This configuration as JSON text that `from_json` reads back."""
        return json.dumps({"family": self.family, **asdict(self)}, indent=2)

    @classmethod
    def from_json(cls, source: str | Mapping[str, Any]) -> "VocoderConfig":
        """Read `to_json` output or the official config.json of HiFi-GAN or BigVGAN (JSON text or the parsed mapping).

        Keys of official files that only concern training are ignored. Called on a family's class,
        it insists on that family. Raises ValueError naming what is missing, unknown or does not
        fit.
        """
        if isinstance(source, str):
            try:
                source = json.loads(source)
            except json.JSONDecodeError as error:
                raise ValueError(f"the configuration is not JSON: {error}") from None
        if not isinstance(source, Mapping):
            raise ValueError("the configuration must be a JSON object")
        families = {"melgan": MelGANConfig, "hifigan": HiFiGANConfig, "bigvgan": BigVGANConfig}
        name = source.get("family") or _guess_family(source)
        if name not in families:
            raise ValueError(
                f"unknown vocoder family {name!r}: it must be one of {', '.join(families)}"
            )
        kind = families[name]
        if cls is not VocoderConfig and cls is not kind:
            raise ValueError(f"this is a configuration of {name}, not of {cls.family}")
        values = (
            {k: v for k, v in source.items() if k != "family"}
            if "family" in source
            else kind._official(source)
        )
        known = {f.name for f in fields(kind)}
        if unknown := sorted(set(values) - known):
            raise ValueError(f"unknown {name} settings: {', '.join(unknown)}")
        try:
            if isinstance(values.get("mel"), Mapping):
                values["mel"] = MelConfig(**values["mel"])
            return kind(**values)
        except TypeError as error:
            raise ValueError(f"the {name} configuration is incomplete: {error}") from None

    @classmethod
    def _official(cls, data: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of this class out of the authors' own file."""
        values = {f.name: data[f.name] for f in fields(cls) if f.name in data and f.name != "mel"}
        return values | {
            "mel": MelConfig(**_pick(data, _HIFIGAN_MEL, f"the {cls.family} configuration"))
        }


def _guess_family(data: Mapping[str, Any]) -> str:
    if "ngf" in data or "ratios" in data:
        return "melgan"
    if "upsample_rates" not in data:
        raise ValueError(
            "this is no vocoder configuration: neither upsample_rates nor ratios in it"
        )
    return "bigvgan" if "activation" in data else "hifigan"


@dataclass(frozen=True, kw_only=True)
class MelGANConfig(VocoderConfig):
    """MelGAN (Kumar et al. 2019), names as in descriptinc/melgan-neurips; its authors ship no JSON."""

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

    def _reach(self) -> Span:
        span = _conv((0, 0), 3)
        for rate in self.ratios:
            span = _transposed(span, 2 * rate, rate, rate // 2 + rate % 2)
            span = _conv(span, sum(3**j for j in range(self.n_residual_layers)))
        return _conv(span, 3)

    @classmethod
    def _official(cls, data: Mapping[str, Any]) -> dict[str, Any]:
        values = {f.name: data[f.name] for f in fields(cls) if f.name in data and f.name != "mel"}
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
                    f"{self.family}: an upsampling kernel of {kernel} at rate {rate} cannot give an exact length; "
                    "kernel minus rate must be even and not negative"
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
        """The widest of the parallel residual blocks; `activation` is what each non-linearity adds."""
        reaches = []
        for kernel, dilations in zip(
            self.resblock_kernel_sizes, self.resblock_dilation_sizes, strict=True
        ):
            half = (kernel - 1) // 2
            second = (
                half + activation if self.resblock == "1" else 0
            )  # "2" has no second convolution
            reaches.append(sum(half * d + activation + second for d in dilations))
        return max(reaches)

    def _stages_reach(self, activation: int = 0) -> Span:
        span = _conv((0, 0), 3)
        for rate, kernel in zip(self.upsample_rates, self.upsample_kernel_sizes, strict=True):
            span = _transposed(span, kernel, rate, (kernel - rate) // 2)
            span = _conv(span, self._block_reach(activation))
        return _conv(span, activation + 3)

    def _reach(self) -> Span:
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
                f"hifigan with speaker conditioning (gin_channels {data['gin_channels']}) is not covered"
            )
        if "output_sampling_rate" not in data:
            return super()._official(data)
        # GPT-SoVITS v4: mel and output have different rates, the magnitude epsilon is its own.
        values = {f.name: data[f.name] for f in fields(cls) if f.name in data and f.name != "mel"}
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
    """BigVGAN (Lee et al. 2023) and BigVGAN v2. The defaults of the last two flags are those of the authors' code."""

    family: ClassVar[str] = "bigvgan"
    activation: str = "snakebeta"
    snake_logscale: bool = True
    use_tanh_at_final: bool = True
    use_bias_at_final: bool = True

    ACTIVATION_REACH: ClassVar[int] = (
        5  # samples each side of the 12-tap filter pair around a snake, at ratio 2
    )

    def _validate(self) -> None:
        super()._validate()
        if self.resblock != "1":
            raise ValueError(f'bigvgan resblock must be "1", not {self.resblock!r}')
        if self.activation != "snakebeta":
            raise ValueError(f'bigvgan activation must be "snakebeta", not {self.activation!r}')

    def _reach(self) -> Span:
        return self._stages_reach(self.ACTIVATION_REACH)
