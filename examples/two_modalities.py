"""Teacher and student see different modalities: two arrays in the same order, and the trainer of the library."""

import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

import wcord
from wcord.data import from_arrays


def main() -> None:
    digits = load_digits()
    sharp = (digits.images * 15.9375).astype(np.uint8)
    sums = np.stack([sharp.mean(axis=1), sharp.mean(axis=2)], axis=1)  # means over rows and over columns, 2×8
    pictures = from_arrays(sharp[:1400], digits.target[:1400], sharp[1400:], digits.target[1400:])
    profiles = sums.astype(np.uint8)[:, None]
    projections = from_arrays(profiles[:1400], digits.target[:1400], profiles[1400:], digits.target[1400:])

    with tempfile.TemporaryDirectory() as folder:
        teacher = wcord.train("resnet8", data=pictures, out=Path(folder, "teacher"), epochs=6, lr=0.1, device="cpu")
        student = wcord.distill(
            teacher.student,
            "mlp64x2",
            data=projections.beside(pictures),
            method="wcord+kd",
            epochs=10,
            device="cpu",
            out=Path(folder, "student"),
        )
        assert student.record is not None
        assert student.record.teacher_metrics is not None
        print(f"teacher on pictures: {student.record.teacher_metrics['top1']:.1f} %")
        print(f"student on two projections: {student.record.metrics['top1_last']:.1f} %")


if __name__ == "__main__":
    main()
