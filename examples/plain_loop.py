"""WCoRD in a training loop of your own: three lines more than plain training."""

import torch
from torch.nn.functional import cross_entropy

from wcord import WCoRDLoss, capture, create_model
from wcord.data import DataConfig, Loader, open_data
from wcord.evaluation import accuracy, predict

EPOCHS = 3

torch.manual_seed(0)
digits = open_data(DataConfig(data="digits"))
train = Loader(digits.train, batch_size=64, shuffle=True, drop_single=True)
test = Loader(digits.test, batch_size=256)


def fit(network: torch.nn.Module, teacher: torch.nn.Module | None) -> float:
    """Train a network, with or without a teacher, and return its top-1 accuracy."""
    criterion = None if teacher is None else WCoRDLoss(student_dim=64, teacher_dim=64, num_samples=len(digits.train))
    heads = [] if criterion is None else list(criterion.parameters())
    optimizer = torch.optim.SGD([*network.parameters(), *heads], lr=0.05, momentum=0.9)
    with capture(network) as student_tap, capture(teacher or network) as teacher_tap:
        for epoch in range(EPOCHS):
            network.train()
            for batch in train.batches(epoch):
                features = student_tap(batch.student_input)
                loss = cross_entropy(features.logits, batch.target)
                if criterion is not None:
                    with torch.no_grad():
                        teacher_features = teacher_tap(batch.teacher_input)
                    report = criterion(features.embedding, teacher_features.embedding, batch.index)
                    loss = loss + report.total  # report.parts["gckt"] and ["lckt"] can be logged
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    return accuracy(predict(network, test.batches()))["top1"]


if __name__ == "__main__":
    big = create_model("resnet20", num_classes=10, in_channels=1)
    print(f"teacher {fit(big, None):.1f} %")
    big.eval().requires_grad_(False)
    print(f"student {fit(create_model('resnet8', num_classes=10, in_channels=1), big):.1f} %")
