from .files import login_files as login_files
from .stores import STORES as STORES
from .stores import ArtifactStore as ArtifactStore
