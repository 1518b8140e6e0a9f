"""Sound files as pictures: log-power spectrograms of one size."""

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.io import wavfile
from scipy.signal import resample_poly, stft
from torch import Tensor

from wcord.checks import UsageError
from wcord.data.samples import ReadRequest, Source
from wcord.data.sources.folder import class_folders
from wcord.data.walk import FileKind

RATE = 8000
"""Samples a second that every file is resampled to."""
WINDOW = 128
"""Samples of a window, 16 ms, half of which overlap; its 64 frequencies above 0 are the rows."""
FRAMES = 128
"""Columns: 1.024 s. Longer sounds are cut, shorter ones followed by silence."""
FASTEST = 10**6
"""Largest stated sampling rate: a higher one is no sound, and would need a filter of any size."""
RANGE = 80.0
"""Decibels below the loudest point that are resolved."""


def audio_source(place: str, request: ReadRequest) -> Source:
    """Read the wav files in class folders, as `folder_source` reads images; augmentation "none".

    Raises:
        UsageError: as there; a file is no wav file or holds no sound.
    """
    return replace(class_folders(place, SOUNDS, spectrograms, request), augment="none", pictures=False)


def _begins_as_wav(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            begin = file.read(12)
    except OSError:
        return False
    return begin[:4] in (b"RIFF", b"RIFX") and begin[8:] == b"WAVE"


SOUNDS = FileKind("sound", frozenset({".wav", ".wave"}), ".wav", _begins_as_wav)


def spectrograms(paths: list[Path]) -> Tensor:
    """Return the spectrograms of wav files, N×1×64×128 uint8: 255 the loudest point of a file, 0 from 80 dB below."""
    return torch.from_numpy(np.stack([spectrogram(path) for path in paths]))


def _samples_needed(rate: int) -> int:
    """Return how many samples of a file are used: those of the frames, and the reach of the filter behind them."""
    reach = 10 * max(RATE, rate) // RATE + 2  # of `resample_poly`: ten periods of the slower rate
    return FRAMES * WINDOW // 2 * rate // RATE + 2 * reach


def spectrogram(path: Path) -> NDArray[np.uint8]:
    """Return the log-power spectrogram of one wav file, 1×64×128, low frequencies at the bottom.

    Raises:
        UsageError: the file cannot be read, or holds silence only, or NaN.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="Reached EOF prematurely")
            rate, sound = wavfile.read(path)
        if not 1 <= rate <= FASTEST:
            raise ValueError(f"it claims {rate:,} samples a second")
    except Exception as error:  # damaged files raise nearly anything there
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"sound {str(path)!r} cannot be read ({reason}): write it as a wav file") from None
    mean = float(sound.mean(dtype=np.float64)) if sound.size else 0.0
    if not np.isfinite(mean):
        raise UsageError(f"sound {str(path)!r} holds NaN or infinity: repair or remove it")
    wave = np.asarray(sound[: _samples_needed(rate)], np.float64)
    wave = wave.mean(axis=1) if wave.ndim == 2 else wave
    wave = resample_poly(wave - mean, RATE, rate)[: FRAMES * WINDOW // 2] if len(wave) else wave
    if not len(wave) or np.ptp(wave) < 1e-9:
        seconds = FRAMES * WINDOW / 2 / RATE
        raise UsageError(f"sound {str(path)!r} is silent in its first {seconds:.2f} s: cut or remove it")
    wave = np.pad(wave, (0, max(0, WINDOW - len(wave))))
    _, _, values = stft(wave, RATE, nperseg=WINDOW, noverlap=WINDOW // 2, boundary=None)  # pyright: ignore[reportArgumentType]  # None is documented
    power = np.abs(values[1:]) ** 2
    level = 10 * np.log10(np.maximum(power / power.max(), 1e-20))
    shown = np.zeros((WINDOW // 2, FRAMES))
    width = min(FRAMES, level.shape[1])
    shown[:, :width] = np.clip(1 + level[:, :width] / RANGE, 0, 1)
    return np.rint(255 * shown[::-1]).astype(np.uint8)[None]
