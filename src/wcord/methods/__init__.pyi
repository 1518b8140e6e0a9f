from .catalogue import METHODS as METHODS
from .term import Needs as Needs
from .term import Objective as Objective
from .term import Preparation as Preparation
from .term import Setting as Setting
from .term import Term as Term
