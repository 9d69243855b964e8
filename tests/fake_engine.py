"""Engines that misbehave, for tests of the plug-in renderer: importable by worker processes."""
import os
import signal
import time
from pathlib import Path

import numpy as np

from synthproxy.rendering import Note


def tone(path: str, values: dict[tuple[str, ...], float], note: Note, sample_rate_hz: int) -> np.ndarray:
    "A sine: an engine that behaves."
    t = np.arange(round(note.duration_s * sample_rate_hz), dtype=np.float32) / sample_rate_hz
    return np.sin(2 * np.pi * 200 * (1 + values[("cutoff",)]) * t).astype(np.float32)


def misbehave(path: str, values: dict[tuple[str, ...], float], note: Note, sample_rate_hz: int) -> np.ndarray:
    "What goes wrong stands in the parameter `noise`."
    match round(values[("noise",)] * 10):
        case 1:
            time.sleep(60)
        case 2:
            os._exit(3)
        case 3:
            os.kill(os.getpid(), signal.SIGSEGV)
        case 4:
            return np.full(round(note.duration_s * sample_rate_hz), np.nan, np.float32)
        case 5:
            return np.zeros(7, np.float32)
        case 6: # fails the first time only
            if not Path(path).exists():
                Path(path).touch()
                os._exit(1)
    return tone(path, values, note, sample_rate_hz)
