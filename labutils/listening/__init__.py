"""Listening tests in the page: ABX for small differences, MUSHRA for how good several sounds are.

    test = listening.abx(fp32, fp16, name="fp16", folder="answers", sample_rate=22050)
    test.widget()    # in a notebook; a listener answers, each answer goes to the file at once
    test.result()    # the exact binomial test of what was answered

`AbxReport([test, read("another.jsonl"), ...])` puts several listeners together;
`test.simulate(listener)` walks the same path without a listener. ABX asks whether two sounds can be
told apart at all; MUSHRA (ITU-R BS.1534-3) is for differences that are plain to hear.
"""

from labutils.listening.abx_statistics import binomial, power, right_needed, trials_needed
from labutils.listening.design import (
    ANCHORS,
    REFERENCE,
    AbxDesign,
    AbxTrial,
    DesignError,
    MushraDesign,
    MushraPage,
)
from labutils.listening.mushra_report import MushraReport
from labutils.listening.report import AbxReport
from labutils.listening.screening import Screening, post_screen
from labutils.listening.session import AbxTest, MushraTest, abx, mushra
from labutils.listening.simulate import (
    AbxListener,
    Decay,
    MushraListener,
    Threshold,
    log_mel_difference,
)
from labutils.listening.store import AnswerFile, StoreError, read

__all__ = [
    "ANCHORS",
    "REFERENCE",
    "AbxDesign",
    "AbxListener",
    "AbxReport",
    "AbxTest",
    "AbxTrial",
    "AnswerFile",
    "Decay",
    "DesignError",
    "MushraDesign",
    "MushraListener",
    "MushraPage",
    "MushraReport",
    "MushraTest",
    "Screening",
    "StoreError",
    "Threshold",
    "abx",
    "binomial",
    "log_mel_difference",
    "mushra",
    "post_screen",
    "power",
    "read",
    "right_needed",
    "trials_needed",
]
