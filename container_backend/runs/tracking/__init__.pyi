from .program import ProgramTracking as ProgramTracking
from .program import TrackingRequest as TrackingRequest
from .start import end_grant as end_grant
from .start import is_fenced as is_fenced
from .start import open_store as open_store
from .start import store_waited_for as store_waited_for
