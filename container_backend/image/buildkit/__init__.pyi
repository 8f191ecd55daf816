from .build import BuildRequest as BuildRequest
from .build import build_image as build_image
from .errors import BuildFailed as BuildFailed
from .session import RegistryCredentials as RegistryCredentials
from .trace import StepEvent as StepEvent
