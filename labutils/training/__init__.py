"""Train a small vocoder: losses, critics, segments of a corpus and a resumable loop."""
