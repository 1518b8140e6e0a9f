"""The specifications of a run's networks, and the lines that say from which weights they start."""

from dataclasses import dataclass

from wcord.data.labels import names_in_map
from wcord.models.create import suggested_weights
from wcord.setup.classes import OBSERVED
from wcord.setup.networks import NetworkSpec
from wcord.terminal import Reporter
from wcord.training.config import FINETUNE, DistillConfig, TrainConfig


def student_spec(config: TrainConfig | DistillConfig) -> NetworkSpec:
    """Return the specification of the network that a run trains."""
    if isinstance(config, TrainConfig):
        return NetworkSpec(
            "model",
            config.model,
            config.weights,
            pretrained=config.pretrained,
            ema=config.ema_weights,
            embedding=config.embedding,
            new_head=True,
        )
    return NetworkSpec(
        "student",
        config.student,
        config.student_weights,
        size=config.student_size,
        pretrained=config.student_pretrained,
        ema=config.student_ema_weights,
        embedding=config.student_embedding,
        new_head=True,
    )


def teacher_spec(config: DistillConfig) -> NetworkSpec:
    """Return the specification of a run's teacher."""
    by_file = config.pairing.label_map not in (None, OBSERVED)
    return NetworkSpec(
        "teacher",
        config.teacher,
        config.teacher_weights,
        num_classes=config.teacher_classes,
        mean=config.teacher_mean,
        std=config.teacher_std,
        size=config.teacher_size,
        pretrained=config.teacher_pretrained,
        ema=config.teacher_ema_weights,
        embedding=config.teacher_embedding,
        like=names_in_map(config.pairing.label_map) if by_file and config.pairing.label_map else (),
    )


@dataclass(frozen=True)
class Starts:
    """Reports from which weights networks start.

    Attributes:
        note: takes what a reader of the result must know.
        say: takes advice for the user.
        fresh: whether the run starts now.
    """

    note: Reporter
    say: Reporter
    fresh: bool

    def of_student(self, spec: NetworkSpec, *, finetune: bool) -> None:
        """Report a random start although pretrained weights are known, or how to fine-tune pretrained ones."""
        self.of_teacher(spec)
        if self.fresh and spec.by_name and not finetune:
            self.say(
                f"hint: {spec.full_name} is pretrained: --finetune trains it gently (adamw, "
                f"{FINETUNE['epochs']} epochs, cosine, a smaller learning rate for the body)"
            )

    def of_teacher(self, spec: NetworkSpec) -> None:
        """Report a random start although pretrained weights are known."""
        suggested = None if spec.by_name or spec.weights is not None or not self.fresh else suggested_weights(spec.name)
        if suggested is not None:
            flag = "--pretrained" if spec.role == "model" else f"--{spec.role}-pretrained"
            self.say(f"{spec.name} starts from random weights: name pretrained ones ({suggested}), or give {flag}")
