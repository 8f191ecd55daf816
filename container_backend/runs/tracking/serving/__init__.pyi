from .forward import Forwarding as Forwarding
from .forward import note as note
