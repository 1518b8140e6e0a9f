"""Convert published data sets to formats that wcord reads: digits for the cross-modal and cross-domain suites.

    python benchmarks/prepare.py mnist t10k-images-idx3-ubyte.gz t10k-labels-idx1-ubyte.gz mnist.npz
    python benchmarks/prepare.py usps USPS.mat usps.npz
    python benchmarks/prepare.py fsdd fsdd.tar.gz spoken/

MNIST: LeCun et al., its test images as distributed. USPS: Hull 1994, in Deng Cai's MATLAB file. FSDD: the Free Spoken
Digit Dataset, files {digit}_{speaker}_{take}.wav, whose takes 0 to 4 are the test split.
"""

import gzip
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path, PurePath

import numpy as np
from scipy.io import loadmat

TEST_TAKES = range(5)


def mnist(images: str, labels: str, out: str) -> None:
    """Write MNIST's idx files as x_train and y_train."""
    pixels = np.frombuffer(gzip.decompress(Path(images).read_bytes()), np.uint8, offset=16).reshape(-1, 28, 28)
    numbers = np.frombuffer(gzip.decompress(Path(labels).read_bytes()), np.uint8, offset=8)
    np.savez_compressed(out, x_train=pixels, y_train=numbers)


def usps(matrix: str, out: str) -> None:
    """Write USPS's matrix, rows of 16×16 in [0, 1] or [−1, 1] and labels from 1, as x_train and y_train."""
    content = loadmat(matrix)
    pixels = np.asarray(content["fea"], np.float64).reshape(-1, 16, 16)
    pixels = (pixels - pixels.min()) / (pixels.max() - pixels.min())
    np.savez_compressed(out, x_train=np.rint(255 * pixels).astype(np.uint8), y_train=content["gnd"].ravel() - 1)


def fsdd(archive: str, out: str) -> None:
    """Sort the recordings into train/ and test/ with a folder per digit."""
    with tarfile.open(archive) as files:
        for member in files.getmembers():
            name = PurePath(member.name)
            if name.suffix != ".wav":
                continue
            digit, _, take = name.stem.split("_")
            folder = Path(out, "test" if int(take) in TEST_TAKES else "train", digit)
            folder.mkdir(parents=True, exist_ok=True)
            sound = files.extractfile(member)
            assert sound is not None
            (folder / name.name).write_bytes(sound.read())


KINDS: dict[str, Callable[..., None]] = {"fsdd": fsdd, "mnist": mnist, "usps": usps}

if __name__ == "__main__":
    if len(sys.argv) < 4 or sys.argv[1] not in KINDS:
        sys.exit(__doc__)
    KINDS[sys.argv[1]](*sys.argv[2:])
