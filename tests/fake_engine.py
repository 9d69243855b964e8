"""Engines that misbehave, for tests of the plug-in renderer: importable by worker processes."""
import os
import signal
import time
from pathlib import Path

import numpy as np

from synthproxy.plugins import find_parameters, load_engine, play
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


_kept = []


def leak(path: str, values: dict[tuple[str, ...], float], note: Note, sample_rate_hz: int) -> np.ndarray:
    "Keeps 4 MB of each render for ever."
    _kept.append(np.ones(500_000))
    return tone(path, values, note, sample_rate_hz)


def tell_display(path: str, values: dict[tuple[str, ...], float], note: Note, sample_rate_hz: int) -> np.ndarray:
    "Loud where there is a display, silent where there is none."
    return tone(path, values, note, sample_rate_hz) * bool(os.environ.get("DISPLAY"))


def play_beside_another(path: str, values: dict[tuple[str, ...], float], note: Note, sample_rate_hz: int) -> np.ndarray:
    "Plays while a second instance of amsynth, which has played noise, lives in the same process."
    engine, processor, listed = load_engine(path, sample_rate_hz)
    processor.set_parameter(find_parameters([("osc1_waveform",)], [name for name, *_ in listed])[0], 1.0)
    processor.add_midi_note(60, 100, 0.0, 0.1)
    engine.load_graph([(processor, [])])
    engine.render(0.2)
    return play(path, values, note, sample_rate_hz)
