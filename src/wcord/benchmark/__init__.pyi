from .entries import entries_of_records as entries_of_records
from .results import tabulate as tabulate
from .suite import Pair as Pair
from .suite import Suite as Suite
from .suite import read_suite as read_suite
from .suite import suite_names as suite_names
from .tables import markdown as markdown
