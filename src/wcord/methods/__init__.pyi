from .catalogue import METHODS as METHODS
from .objective import Objective as Objective
from .setting import Setting as Setting
from .term import Needs as Needs
from .term import Preparation as Preparation
from .term import TeacherTraining as TeacherTraining
from .term import Term as Term
