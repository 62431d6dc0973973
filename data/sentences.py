"""Random sentences for the training corpus, joined from the phrases of corpus_texts.json."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

__all__ = ["load_texts", "nonsense", "sentence"]

TEXTS = Path(__file__).resolve().with_name("corpus_texts.json")


def load_texts() -> dict[str, dict[str, list[str]]]:
    """The phrases of corpus_texts.json, by language."""
    return json.loads(TEXTS.read_text(encoding="utf-8"))["languages"]


def sentence(phrases: dict[str, list[str]], rng: np.random.Generator) -> str:
    """One random sentence: subject, predicate, tail, sometimes a second clause or a short one."""

    def pick(kind: str) -> str:
        return phrases[kind][int(rng.integers(len(phrases[kind])))]

    draw = rng.random()
    if draw < 0.12:
        return f"{pick('short')} {pick('short')}"
    clause = f"{pick('subject')} {pick('predicate')}"
    if draw < 0.6:
        clause += f" {pick('tail')}"
    elif draw < 0.8:
        clause += f" {pick('and')} {pick('subject')} {pick('predicate')}"
    clause = clause[0].upper() + clause[1:]
    return clause + str(rng.choice([".", ".", ".", "!", "?"]))


def nonsense(rng: np.random.Generator) -> str:
    """Made-up words, which reach pairs of sounds that no language of the list has."""
    onsets = "p b t d k g f v s z m n l r h sh ch th j st pr kl gr skr".split()
    words = []
    for _ in range(rng.integers(5, 9)):
        count = int(rng.integers(1, 4))
        syllables = [f"{rng.choice(onsets)}{rng.choice(list('aeiou'))}" for _ in range(count)]
        words.append("".join(syllables) + str(rng.choice(["", "n", "s", "k", "sh", "l"])))
    return " ".join(words)
