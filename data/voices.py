"""The voices of Debian's open speech synthesisers: identifiers, rates, licences, packages.

Voices and espeak-ng variants in HELD_OUT are for the held-out clips only.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "ESPEAK_LANGUAGES",
    "ESPEAK_VARIANTS",
    "HELD_OUT",
    "VOICES",
    "Voice",
    "espeak_voice",
    "training_voices",
]


@dataclass(frozen=True)
class Voice:
    """One voice. `rate` is the rate (Hz) the synthesiser writes, `encoding` what it reads."""

    name: str
    synthesiser: str
    identifier: str
    language: str
    sex: str
    rate: int
    licence: str
    package: str
    encoding: str = "utf-8"


_BSD = "Festvox (BSD-like)"


def _festival(identifier: str, language: str, sex: str, rate: int, *rest: str) -> Voice:
    return Voice(f"festival/{identifier}", "festival", identifier, language, sex, rate, *rest)


def _flite(identifier: str, sex: str) -> Voice:
    return Voice(f"flite/{identifier}", "flite", identifier, "en", sex, 16000, _BSD, "flite")


VOICES: dict[str, Voice] = {
    voice.name: voice
    for voice in (
        _flite("slt", "female"),
        _flite("rms", "male"),
        _flite("awb", "male"),
        _festival("cmu_us_slt_arctic_hts", "en", "female", 32000,
                  f"{_BSD}, BSD-3-Clause", "festvox-us-slt-hts"),
        _festival("kal_diphone", "en", "male", 16000, _BSD, "festvox-kallpc16k"),
        _festival("ked_diphone", "en", "male", 16000, _BSD, "festvox-kdlpc16k"),
        _festival("czech_ph", "cs", "male", 44100, "GPL-2.0-or-later", "festvox-czech-ph",
                  "iso-8859-2"),
        _festival("czech_dita", "cs", "female", 32000, "GPL-3.0-or-later",
                  "festvox-czech-dita", "iso-8859-2"),
        _festival("czech_krb", "cs", "child", 32000, "GPL-3.0-or-later",
                  "festvox-czech-krb", "iso-8859-2"),
        _festival("czech_machac", "cs", "male", 32000, "GPL-3.0-or-later",
                  "festvox-czech-machac", "iso-8859-2"),
        _festival("suo_fi_lj_diphone", "fi", "female", 22050, "LGPL-2.0-or-later",
                  "festvox-suopuhe-lj", "iso-8859-1"),
        _festival("hy_fi_mv_diphone", "fi", "male", 22050, "LGPL-2.0-or-later",
                  "festvox-suopuhe-mv", "iso-8859-1"),
        _festival("msu_ru_nsh_clunits", "ru", "male", 16000, _BSD, "festvox-ru"),
        _festival("lp_diphone", "it", "female", 16000, "GPL-2.0-or-later", "festvox-italp16k",
                  "iso-8859-1"),
        _festival("pc_diphone", "it", "male", 16000, "GPL-2.0-or-later", "festvox-itapc16k",
                  "iso-8859-1"),
        _festival("upc_ca_ona_hts", "ca", "female", 16000, "LGPL-2.1-or-later, BSD-3-Clause",
                  "festvox-ca-ona-hts", "iso-8859-15"),
        _festival("hindi_NSK_diphone", "hi", "male", 16000, "GPL-2.0-or-later", "festvox-hi-nsk"),
    )
}  # fmt: skip

# "cmn" itself spells Chinese characters out as English letters in espeak-ng 1.51.
ESPEAK_LANGUAGES = {
    "en": ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp"), "de": ("de",),
    "es": ("es", "es-419"), "fr": ("fr-fr", "fr-be"), "it": ("it",), "pt": ("pt", "pt-br"),
    "ru": ("ru",), "cs": ("cs",), "fi": ("fi",), "ca": ("ca",), "cmn": ("cmn-latn-pinyin",),
    "hi": ("hi",), "pl": ("pl",), "nl": ("nl",), "sv": ("sv",), "tr": ("tr",), "ja": ("ja",),
    "id": ("id",),
}  # fmt: skip
ESPEAK_VARIANTS = (
    "", "adam", "Alex", "Andy", "Annie", "antonio", "aunty", "belinda", "benjamin", "boris",
    "caleb", "david", "Diogo", "ed", "edward", "Gene", "grandma", "grandpa", "gustave",
    "Henrique", "Hugo", "iven", "Jacky", "john", "kaukovalta", "klatt", "klatt2", "klatt3",
    "klatt4", "Lee", "linda", "marcelo", "Marco", "Mario", "max", "Michael", "miguel", "Mike",
    "Nguyen", "pablo", "paul", "pedro", "quincy", "rob", "robert", "sandro", "shelby", "steph",
    "steph2", "travis", "victor", "zac", "f1", "f2", "f3", "f4", "f5", "m1", "m2", "m3", "m4",
    "m5", "m6", "m7", "m8", "whisper", "whisperf", "croak",
)  # fmt: skip

_FEMALE = frozenset(
    "Annie Andrea anika aunty belinda grandma linda steph steph2 f1 f2 f3 f4 f5 whisperf".split()
)

# Never in the training corpus: whole voices, and espeak-ng variants in every language.
HELD_OUT = frozenset({
    "flite/awb", "festival/upc_ca_ona_hts", "festival/lp_diphone", "festival/czech_machac",
    "espeak-ng/Andrea", "espeak-ng/Denis", "espeak-ng/anika", "espeak-ng/norbert",
})  # fmt: skip


def espeak_voice(language: str, variant: str = "") -> Voice:
    """An espeak-ng voice; `language` as espeak-ng spells it ("en-us"), variant without "!v/"."""
    identifier = f"{language}+{variant}" if variant else language
    sex = "female" if variant in _FEMALE else "male"
    family = next((key for key, names in ESPEAK_LANGUAGES.items() if language in names), language)
    return Voice(f"espeak-ng/{identifier}", "espeak-ng", identifier, family, sex, 22050,
                 "GPL-3.0-or-later", "espeak-ng")  # fmt: skip


def training_voices() -> list[Voice]:
    """The recorded and HTS voices that the corpus may use: all but the held-out ones."""
    return [voice for name, voice in VOICES.items() if name not in HELD_OUT]
