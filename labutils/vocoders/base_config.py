"""What every vocoder configuration can tell: hop, lengths, receptive field, JSON there and back."""

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

from labutils.mel import MelConfig

__all__ = ["Span", "VocoderConfig", "conv", "transposed"]

Span = tuple[int, int]  # first and last position that one input frame reaches


def conv(span: Span, reach: int) -> Span:
    return span[0] - reach, span[1] + reach


def transposed(span: Span, kernel: int, stride: int, padding: int) -> Span:
    """Input i reaches output i * stride - padding and the kernel - 1 after it."""
    return span[0] * stride - padding, span[1] * stride - padding + kernel - 1


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list | tuple) else value


@dataclass(frozen=True, kw_only=True)
class VocoderConfig(ABC):
    """What all families share. `sampling_rate` is the output's in Hz; `mel` is the input."""

    family: ClassVar[str]
    sampling_rate: int
    mel: MelConfig

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, _tuples(getattr(self, field.name)))
        self._validate()
        if min(self.channels) < 1:
            raise ValueError(
                f"{self.family}: the channels {self.channels} run out; start with more"
            )
        if self.mel.sample_rate * self.hop_length != self.sampling_rate * self.mel.hop_length:
            raise ValueError(
                f"{self.family}: {self.hop_length} samples per frame at {self.sampling_rate} Hz do "
                f"not keep step with mel frames of {self.mel.hop_length} samples at "
                f"{self.mel.sample_rate} Hz"
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

    @property
    @abstractmethod
    def reach(self) -> Span:
        """First (negative) and last output sample that input frame 0 has an influence on."""

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
        """Mel frames on each side that an output sample depends on, rounded up."""
        first, last = self.reach
        return max(math.ceil(-first / self.hop_length), math.ceil((last + 1) / self.hop_length) - 1)

    def output_length(self, frames: int) -> int:
        """Output samples for so many mel frames."""
        return frames * self.hop_length

    def to_json(self) -> str:
        """This configuration as JSON text that `from_json` reads back."""
        return json.dumps({"family": self.family, **asdict(self)}, indent=2)

    @classmethod
    def from_json(cls, source: str | Mapping[str, Any]) -> "VocoderConfig":
        """Read `to_json` output or an official config.json, as JSON text or as the parsed mapping.

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
        families = {kind.family: kind for kind in _descendants(VocoderConfig)}
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
    @abstractmethod
    def _official(cls, data: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of this class out of the authors' own file."""


def _guess_family(data: Mapping[str, Any]) -> str:
    if "ngf" in data or "ratios" in data:
        return "melgan"
    if "upsample_rates" not in data:
        raise ValueError(
            "this is no vocoder configuration: neither upsample_rates nor ratios in it"
        )
    return "bigvgan" if "activation" in data else "hifigan"


def _descendants(kind: type[VocoderConfig]) -> list[type[VocoderConfig]]:
    """The classes below that stand for a family."""
    below = [c for child in kind.__subclasses__() for c in (child, *_descendants(child))]
    return [c for c in below if "family" in c.__dict__]
