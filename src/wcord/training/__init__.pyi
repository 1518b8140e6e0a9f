from .config import DistillConfig as DistillConfig
from .config import TrainConfig as TrainConfig
from .config import TrainingConfig as TrainingConfig
from .config import configure as configure
from .config import read_config as read_config
from .outcome import Outcome as Outcome
