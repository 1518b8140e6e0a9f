"""Records outside of any data set: pictures, sounds, rows of tables."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy.io import wavfile

from wcord.checks import UsageError
from wcord.data.augment import to_unit
from wcord.data.config import DataConfig
from wcord.data.images import Frame
from wcord.data.opening import open_data
from wcord.data.records import find_files, kind_of_records, read_picture, read_records
from wcord.data.sources import audio
from wcord.data.walk import Skipped, pictures


def test_folders_are_searched_in_order_and_other_files_left(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for name in ("b.png", "deep/a.jpg"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / ".Trash").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / ".Trash" / "gone.png")
    passed = Skipped()
    assert find_files([tmp_path], pictures(), passed) == [tmp_path / "b.png", tmp_path / "deep" / "a.jpg"]
    assert passed.note(pictures()) == ("skipped: 1 file (.txt 1), 1 hidden folder (.Trash)",)
    # What is named is taken, whatever it is.
    assert find_files([tmp_path / "notes.txt", tmp_path / ".Trash"], pictures(), passed) == [
        tmp_path / "notes.txt",
        tmp_path / ".Trash" / "gone.png",
    ]
    with pytest.raises(UsageError, match="does not exist"):
        find_files([tmp_path / "none.png"], pictures(), passed)
    with pytest.raises(UsageError, match=r"holds no sounds but other files \(.jpg 1, .png 1, .txt 1\): name another"):
        find_files([tmp_path], audio.SOUNDS, passed)


def test_of_a_folder_only_what_the_network_is_for_is_read(tmp_path: Path) -> None:
    for name in ("a.png", "s.wav", "t.csv", "x.h5", "x.mpg", "x.eps", "IMG_1", "._a.png", "t.parquet", "voice"):
        (tmp_path / name).write_bytes(b"RIFF0000WAVE" if name == "voice" else b"x")
    Image.new("L", (4, 4)).save(tmp_path / "IMG_1", "JPEG")

    def names(shape: tuple[int, int, int], *, sounds: bool | None = False) -> list[str]:
        files = find_files([tmp_path], kind_of_records(shape, sounds=sounds), Skipped())
        return [path.name for path in files]

    assert names((3, 8, 8)) == ["IMG_1", "a.png"]
    assert names((1, 64, 128), sounds=True) == ["s.wav", "voice"]
    assert names((1, 64, 128)) == ["IMG_1", "a.png"]
    assert names((1, 64, 128), sounds=None) == ["IMG_1", "a.png", "s.wav", "voice"]
    assert names((4, 1, 1)) == ["t.csv", "t.parquet"]


def test_pictures_come_in_the_frame_that_is_wanted_and_keep_their_channels(tmp_path: Path) -> None:
    Image.new("RGB", (40, 20), (255, 0, 0)).save(tmp_path / "red.png")
    image = read_picture(tmp_path / "red.png", Frame(8, 12))
    assert image.shape == (1, 3, 8, 12)
    assert torch.equal(image[0, :, 0, 0], torch.tensor([1.0, 0.0, 0.0]))
    Image.new("L", (40, 20), 51).save(tmp_path / "gray.png")
    assert read_picture(tmp_path / "gray.png", Frame(8, 8)).shape == (1, 1, 8, 8)
    Image.fromarray(np.full((4, 4), 20000, np.uint16)).save(tmp_path / "deep.png")
    assert read_picture(tmp_path / "deep.png", Frame(4, 4)).mean() == pytest.approx(20000 / 65535, abs=1e-4)


def test_rows_of_a_table_are_records_of_the_columns_that_a_network_knows(tmp_path: Path) -> None:
    frame = pd.DataFrame({"age": [30.5, None], "sex": ["M", "F"], "note": ["a", "b"]})
    frame.to_csv(tmp_path / "new.csv", index=False)
    rows = read_records(tmp_path / "new.csv", (2, 1, 1), ("sex=M", "age"))
    assert list(rows) == [f"{tmp_path / 'new.csv'}, row 1", f"{tmp_path / 'new.csv'}, row 2"]
    first, second = rows.values()
    assert first.shape == (1, 2, 1, 1)
    assert first.flatten().tolist() == [1.0, 30.5]
    assert second.flatten()[0] == 0.0
    assert second.flatten()[1].isnan()


def test_a_sound_is_the_spectrogram_that_its_data_set_would_hold(tmp_path: Path) -> None:
    wave = (3000 * np.sin(np.arange(4000))).astype(np.int16)
    for split in ("train", "test"):
        for label in "ab":
            (tmp_path / split / label).mkdir(parents=True)
            wavfile.write(tmp_path / split / label / "s.wav", 8000, wave)
    data = open_data(DataConfig(data=f"audiofolder:{tmp_path}"))
    (record,) = read_records(tmp_path / "test" / "a" / "s.wav", (1, 64, 128)).values()
    assert torch.equal(record, to_unit(data.test.read(torch.tensor([0]))))
    small = open_data(DataConfig(data=f"audiofolder:{tmp_path}", image_size="32x48"))
    (record,) = read_records(tmp_path / "test" / "a" / "s.wav", (1, 32, 48), sounds=True).values()
    assert torch.equal(record, to_unit(small.test.read(torch.tensor([0]))))


@pytest.mark.parametrize(
    ("name", "shape", "columns", "message"),
    [
        ("t.csv", (3, 8, 8), (), "is for images"),
        ("p.png", (2, 1, 1), ("x", "y"), "is for tables"),
        ("t.csv", (2, 3, 1), ("x", "y"), "several visits"),
        ("t.csv", (2, 1, 1), (), "not of which columns"),
        ("t.csv", (2, 1, 1), ("x", "z"), "unknown column 'z'"),
        ("words.csv", (2, 1, 1), ("x", "y"), "column .y. holds .low. in row 1, which is no number"),
        ("s.wav", (1, 32, 32), (), "becomes 1×64×128, but the network needs 1×32×32"),
    ],
)
def test_files_of_another_kind_are_refused(
    tmp_path: Path, name: str, shape: tuple[int, int, int], columns: tuple[str, ...], message: str
) -> None:
    (tmp_path / "t.csv").write_text("x,y\n1,2\n")
    (tmp_path / "words.csv").write_text("x,y\n1,low\n2,high\n")
    Image.new("L", (8, 8)).save(tmp_path / "p.png")
    wavfile.write(tmp_path / "s.wav", 8000, (3000 * np.sin(np.arange(4000))).astype(np.int16))
    with pytest.raises(UsageError, match=message):
        read_records(tmp_path / name, shape, columns)


def test_a_picture_is_no_sound_and_a_sound_no_picture(tmp_path: Path) -> None:
    Image.new("L", (128, 64)).save(tmp_path / "p.png")
    wavfile.write(tmp_path / "s.wav", 8000, (3000 * np.sin(np.arange(4000))).astype(np.int16))
    with pytest.raises(UsageError, match=r"image .*p.png' is not what the network was trained on: it is for sounds"):
        read_records(tmp_path / "p.png", (1, 64, 128), sounds=True)
    with pytest.raises(UsageError, match=r"sound .*s.wav' is not what the network was trained on: it is for images"):
        read_records(tmp_path / "s.wav", (1, 64, 128), sounds=False)
    for name in ("p.png", "s.wav"):  # a file of an earlier version does not say which it was
        assert len(read_records(tmp_path / name, (1, 64, 128))) == 1
