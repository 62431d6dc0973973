"""Train a vocoder: ``python -m labutils.training --preset hifigan-small --corpus
build/corpus/speech-24k.json --out build/hifigan-small --minutes 18``."""

from __future__ import annotations

import argparse
import logging
import time
from dataclasses import fields
from pathlib import Path

import torch

from labutils import vocoders
from labutils.training import keeping
from labutils.training.config import TrainingConfig
from labutils.training.data import Corpus, Mixture
from labutils.training.loop import Trainer

log = logging.getLogger("labutils.training")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m labutils.training", description="Train a vocoder."
    )
    parser.add_argument("--preset", required=True)
    parser.add_argument(
        "--corpus",
        required=True,
        action="append",
        metavar="MANIFEST[:SHARE]",
        help="manifest of a corpus and its share of each batch; may be repeated",
    )
    parser.add_argument(
        "--speeds",
        type=float,
        nargs="+",
        default=[1.0],
        help="train on every utterance at these speeds; another than 1 makes another voice of it",
    )
    parser.add_argument(
        "--out", required=True, type=Path, help="folder of the run; a run that is there is resumed"
    )
    parser.add_argument(
        "--start-from",
        type=Path,
        metavar="CHECKPOINT",
        help="begin a new run with the weights of this checkpoint",
    )
    parser.add_argument("--minutes", type=float, help="length of the whole run")
    parser.add_argument("--steps", type=int, help="length of the whole run")
    parser.add_argument(
        "--stop-after", type=float, metavar="MINUTES", help="end this session early, to be resumed"
    )
    parser.add_argument("--every", type=int, default=500, help="steps between points of the curve")
    parser.add_argument(
        "--eager", action="store_true", help="no CUDA graphs: slower, and easier to debug"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    for name in ("seed", "batch", "frames"):
        parser.add_argument(f"--{name}", type=int, default=getattr(TrainingConfig, name))
    for name in (
        "critic_width",
        "generator_rate",
        "critic_rate",
        "reconstruct_first",
        "front_end_weight",
        "mel_weight",
        "phase_weight",
        "loudness_weight",
        "voicing_weight",
        "steadiness_weight",
        "adversarial_weight",
        "feature_weight",
    ):
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=float, default=getattr(TrainingConfig, name)
        )
    arguments = parser.parse_args()
    if not (arguments.minutes or arguments.steps):
        parser.error("say how long: --minutes or --steps")
    return arguments


def main() -> None:
    arguments = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    config = TrainingConfig(
        **{
            f.name: getattr(arguments, f.name)
            for f in fields(TrainingConfig)
            if hasattr(arguments, f.name)
        }
    )
    vocoder = vocoders.preset(config.preset)
    mixtures = {}
    for part in ("train", "validation"):
        corpora = []
        for item in arguments.corpus:
            manifest, _, share = item.partition(":")
            speeds = arguments.speeds if part == "train" else (1.0,)
            corpus = Corpus.load(
                Path(manifest), vocoder, device=arguments.device, part=part, speeds=speeds
            )
            log.info("%s %s: %.1f minutes", part, manifest, corpus.minutes)
            corpora.append((corpus, float(share or 1)))
        mixtures[part] = Mixture(corpora, config.batch, config.frames)
    trainer = Trainer(config, mixtures["train"], mixtures["validation"], graphs=not arguments.eager)
    earlier = 0.0
    if arguments.start_from:
        earlier = (
            vocoders.read_metadata(arguments.start_from).get("metadata", {}).get("minutes", 0.0)
        )
        keeping.start_from(trainer, arguments.start_from)
    if keeping.resume(trainer, arguments.out):
        log.info("resumed at step %d, minute %.1f", trainer.step, trainer.seconds / 60)
    began = saved = time.monotonic()
    while trainer.progress < 1:
        trainer.log_point(trainer.advance(arguments.every))
        now = time.monotonic()
        leave = arguments.stop_after is not None and now - began > 60 * arguments.stop_after
        if now - saved > 45 or leave or trainer.progress >= 1:
            keeping.save(trainer, arguments.out)
            vocoders.save_checkpoint(
                arguments.out / f"{config.preset}.safetensors",
                vocoders.fold_weight_norm(trainer.average()),
                metadata={
                    "steps": trainer.step,
                    "minutes": round(earlier + trainer.seconds / 60, 1),
                    "seed": config.seed,
                    "trained_on": ", ".join(Path(c).name for c in arguments.corpus),
                },
            )
            saved = now
        if leave:
            break


if __name__ == "__main__":
    main()
