from .build import BuildRequest as BuildRequest
from .build import build_image as build_image
from .context import DOCKERFILE as DOCKERFILE
from .context import stream_tar as stream_tar
from .errors import BuildFailed as BuildFailed
from .trace import StepEvent as StepEvent
