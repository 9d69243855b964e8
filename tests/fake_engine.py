"""Engines that misbehave, for tests of the plug-in renderer: importable by worker processes."""
import ctypes
import os
import signal
import socket
import time
from pathlib import Path

import numpy as np

from synthproxy.plugins import find_parameters, load_engine, play
from synthproxy.notes import Note


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


def need_display(path: str, values: dict[tuple[str, ...], float], note: Note, sample_rate_hz: int) -> np.ndarray:
    "Ends its process where no X server takes it in, as some plug-ins do."
    number = os.environ.get("DISPLAY", "").rpartition(":")[2].partition(".")[0]
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(f"/tmp/.X11-unix/X{number}")
            client.sendall(b"l\0" + bytes([11, 0]) + bytes(8)) # little end first, version 11, no cookie
            assert client.recv(1) == b"\1"
    except (OSError, AssertionError):
        os._exit(1)
    return tone(path, values, note, sample_rate_hz)


def need_file(path: str, values: dict[tuple[str, ...], float], note: Note, sample_rate_hz: int) -> np.ndarray:
    "Ends its process where its own file is gone; needs a moment."
    time.sleep(.05)
    if not Path(path).exists():
        os._exit(7)
    return tone(path, values, note, sample_rate_hz)


def full_disk(path: str, values: dict[tuple[str, ...], float], note: Note, sample_rate_hz: int) -> np.ndarray:
    "Cannot write a file."
    raise OSError(28, "No space left on device")


def untidy(path: str, values: dict[tuple[str, ...], float], note: Note, sample_rate_hz: int) -> np.ndarray:
    "Leaves files where plug-ins do, and sometimes crashes."
    for variable in ("HOME", "TMPDIR"):
        Path(os.environ[variable], "settings.txt").write_text("x")
    return misbehave(path, values, note, sample_rate_hz)


def noise(path: str, values: dict[tuple[str, ...], float], note: Note, sample_rate_hz: int) -> np.ndarray:
    "Never twice the same, unless the parameter `noise` is 0."
    sound = tone(path, values, note, sample_rate_hz)
    return sound + np.float32(values[("noise",)]) * np.random.default_rng().normal(size=sound.size).astype(np.float32)


def remember(path: str, values: dict[tuple[str, ...], float], note: Note, sample_rate_hz: int) -> np.ndarray:
    "Repeats in a new process; in an old one it has not forgotten what it played."
    _kept.append(None)
    return tone(path, values, note, sample_rate_hz) * np.float32(1 + len(_kept) / 1000)


def silence(path: str, values: dict[tuple[str, ...], float], note: Note, sample_rate_hz: int) -> np.ndarray:
    "An instrument without a sound."
    return tone(path, values, note, sample_rate_hz) * np.float32(0)


def play_beside_another(path: str, values: dict[tuple[str, ...], float], note: Note, sample_rate_hz: int) -> np.ndarray:
    "Plays while a second instance of amsynth, which has played noise, lives in the same process."
    engine, processor, listed = load_engine(path, sample_rate_hz)
    processor.set_parameter(find_parameters([("osc1_waveform",)], [name for name, *_ in listed])[0], 1.0)
    processor.add_midi_note(60, 100, 0.0, 0.1)
    engine.load_graph([(processor, [])])
    engine.render(0.2)
    return play(path, values, note, sample_rate_hz)


def play_unseeded(path: str, values: dict[tuple[str, ...], float], note: Note, sample_rate_hz: int) -> np.ndarray:
    "Plays with a state of rand() that no other process has."
    engine, processor, listed = load_engine(path, sample_rate_hz)
    ctypes.CDLL(None).srand(time.time_ns() & 0xFFFFFFF)
    for index, value in zip(find_parameters(list(values), [name for name, *_ in listed]), values.values()):
        processor.set_parameter(index, value)
    processor.add_midi_note(note.pitch, note.velocity, 0.0, note.hold_s)
    engine.load_graph([(processor, [])])
    engine.render(note.duration_s)
    return engine.get_audio().mean(0, dtype=np.float32)[:round(note.duration_s * sample_rate_hz)]
