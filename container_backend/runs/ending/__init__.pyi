from .finish import LAST_LINES as LAST_LINES
from .finish import Finished as Finished
from .finish import finish_run as finish_run
from .finish import keep_log as keep_log
from .finish import run_error as run_error
from .retries import may_retry as may_retry
from .retries import pause_before as pause_before
from .retries import retried as retried
