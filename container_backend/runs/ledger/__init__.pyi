from .ledger import FRAMES as FRAMES
from .ledger import METRICS as METRICS
from .ledger import Entry as Entry
from .ledger import Ledger as Ledger
from .ledger import Note as Note
from .ledger import ledger_of as ledger_of
from .start import ensure_supervisor as ensure_supervisor
from .start import supervisor_lock as supervisor_lock
