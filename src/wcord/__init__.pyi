from . import benchmark as benchmark
from . import contrast as contrast
from . import data as data
from . import evaluation as evaluation
from . import losses as losses
from . import methods as methods
from . import models as models
from . import report as report
from . import training as training
from . import transport as transport
from .api import Result as Result
from .api import build_method as build_method
from .api import distill as distill
from .api import evaluate as evaluate
from .api import predict_files as predict_files
from .api import probe as probe
from .api import resume as resume
from .api import train as train
from .features import Features as Features
from .features import capture as capture
from .losses import LossReport as LossReport
from .losses import WCoRDLoss as WCoRDLoss
from .models import create_model as create_model
from .models import load_weights as load_weights

__version__: str
