from .ask import end_grant as end_grant
from .ask import is_fenced as is_fenced
from .ask import store_waited_for as store_waited_for
from .program import ProgramTracking as ProgramTracking
from .program import TrackingRequest as TrackingRequest
from .start import open_store as open_store
