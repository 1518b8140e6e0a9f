"""A tone is a line at its height in the spectrogram, whatever the rate of its file."""

import struct
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile
from scipy.signal import resample_poly

from wcord.checks import UsageError
from wcord.data.config import DataConfig
from wcord.data.opening import open_data
from wcord.data.sources.audio import _samples_needed, spectrogram


def tone(path: Path, frequency: float, *, rate: int = 8000, seconds: float = 0.5, channels: int = 1) -> Path:
    wave = 0.5 * np.sin(2 * np.pi * frequency * np.arange(int(rate * seconds)) / rate)
    path.parent.mkdir(parents=True, exist_ok=True)
    wavfile.write(path, rate, (np.repeat(wave[:, None], channels, 1) * 32767).astype(np.int16))
    return path


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (16000, 2), (44100, 1)])
def test_a_tone_is_a_line(tmp_path: Path, rate: int, channels: int) -> None:
    seen = spectrogram(tone(tmp_path / "a.wav", 1000, rate=rate, channels=channels))
    assert seen.shape == (1, 64, 128)
    middle = seen[0, :, 20]
    # 62.5 Hz a row from the bottom, which is 62.5 Hz itself: 1000 Hz is the 16th from below.
    assert int(middle.argmax()) == 64 - 16
    assert middle.max() >= 250
    assert seen[0, :, 70:].max() == 0  # half a second is 62 columns, then there is silence


def test_folders_of_sounds_are_a_data_set(tmp_path: Path) -> None:
    for split, count in (("train", 4), ("test", 2)):
        for i in range(count):
            tone(tmp_path / split / ("low" if i % 2 else "high") / f"{i}.wav", 300 if i % 2 else 2000)
    data = open_data(DataConfig(data=f"audiofolder:{tmp_path}", view="resize=32"))
    assert (len(data.train), len(data.test), data.classes) == (4, 2, ("high", "low"))
    assert data.train.shape == (1, 32, 32)
    assert data.augment == "none"


def test_sounds_are_found_as_pictures_are(tmp_path: Path) -> None:
    for split, count in (("Training", 4), ("Evaluation", 2)):
        for i in range(count):
            tone(tmp_path / "speech" / split / ("10" if i % 2 else "9") / f"{i}.WAV", 300 if i % 2 else 2000)
    tone(tmp_path / "speech" / "Training" / "9" / ".hidden" / "9.wav", 500)
    first = tmp_path / "speech" / "Training" / "9" / "0.WAV"
    first.rename(first.with_name("utterance"))
    (tmp_path / "speech" / "Training" / "9" / "a.mp3").write_bytes(b"ID3")
    data = open_data(DataConfig(data=f"audiofolder:{tmp_path}"))
    assert (len(data.train), len(data.test), data.classes) == (4, 2, ("9", "10"))
    assert [note.partition(":")[0].partition(" (")[0] for note in data.notes] == [
        f"the sounds are read from {str(tmp_path / 'speech')!r}",
        "skipped",
        "classes are numbered in numeric order",
    ]
    assert "skipped: 1 file (.mp3 1), 1 hidden folder (.hidden)" in data.notes
    assert not data.pictures


def test_what_is_no_sound_is_told(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(UsageError, match=r"sound '.*text.wav' cannot be read"):
        spectrogram(tmp_path / "text.wav")
    wavfile.write(tmp_path / "silence.wav", 8000, np.zeros(800, np.int16))
    with pytest.raises(UsageError, match="is silent in its first"):
        spectrogram(tmp_path / "silence.wav")
    wavfile.write(tmp_path / "gap.wav", 8000, np.where(np.arange(800) == 5, np.nan, 0.5).astype(np.float32))
    with pytest.raises(UsageError, match=r"gap\.wav' holds NaN or infinity"):
        spectrogram(tmp_path / "gap.wav")
    with pytest.raises(UsageError, match=r"sound folder .* has no class folders: put the sounds of each class in one"):
        open_data(DataConfig(data=f"audiofolder:{tmp_path}"))


@pytest.mark.parametrize("kept", [6, 18, 30, 42, 2000])
def test_a_file_that_was_cut_short_is_told(tmp_path: Path, kept: int) -> None:
    whole = tone(tmp_path / "a.wav", 1000)
    whole.write_bytes(whole.read_bytes()[:kept])
    with pytest.raises(UsageError, match=r"a\.wav' cannot be read"):
        spectrogram(whole)


def raw_wave(path: Path, rate: int, sound: bytes, *, said: int | None = None) -> Path:
    """Write a wav file of one channel and 16 bits whose header says what it likes."""
    form = struct.pack("<HHIIHH", 1, 1, rate, min(2 * rate, 2**32 - 1), 2, 16)
    length = len(sound) if said is None else said
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", length) + sound
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    return path


@pytest.mark.parametrize("rate", [0, 2**32 - 1, 2**31 - 1, 10**6 + 3])
def test_a_rate_cannot_ask_for_memory(tmp_path: Path, rate: int) -> None:
    with pytest.raises(UsageError, match=r"a.wav' cannot be read"):
        spectrogram(raw_wave(tmp_path / "a.wav", rate, bytes(range(256)) * 8))


@pytest.mark.parametrize("said", [2**32 - 1, 2**31])
def test_a_length_cannot_ask_for_memory(tmp_path: Path, said: int) -> None:
    path = raw_wave(tmp_path / "a.wav", 8000, bytes(range(256)) * 8, said=said)
    assert np.array_equal(spectrogram(path), spectrogram(raw_wave(path, 8000, bytes(range(256)) * 8)))


def test_a_slow_rate_cannot_either(tmp_path: Path) -> None:
    sound = np.random.default_rng(0).integers(-99, 99, 10**6).astype("<i2").tobytes()
    assert spectrogram(raw_wave(tmp_path / "a.wav", 1, sound)).shape == (1, 64, 128)


@pytest.mark.parametrize("rate", [8000, 11025, 44100, 4000])
def test_what_comes_after_the_frames_changes_nothing_but_the_mean(tmp_path: Path, rate: int) -> None:
    wave = np.random.default_rng(1).integers(-9999, 9999, 6 * rate)
    wave[: len(wave) // 2 * 2] -= int(wave.mean())
    wavfile.write(tmp_path / "long.wav", rate, wave.astype(np.int16))
    reference = resample_poly(wave - wave.astype(np.int16).mean(), 8000, rate)[:8192]
    cut = wave.astype(np.int16)[: _samples_needed(rate)]
    ours = resample_poly(cut - wave.astype(np.int16).mean(), 8000, rate)[:8192]
    np.testing.assert_allclose(ours, reference, atol=1e-9)
