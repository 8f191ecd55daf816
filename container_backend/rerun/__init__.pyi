from .comparison import compare as compare
from .comparison import facts_of as facts_of
from .past_run import find_run as find_run
from .rerun import Again as Again
from .rerun import submission_of as submission_of
