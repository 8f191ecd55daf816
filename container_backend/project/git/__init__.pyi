from .remote import fetch_commit as fetch_commit
from .repository import GitError as GitError
from .repository import Repository as Repository
from .repository import find_repository as find_repository
from .repository import opened as opened
from .repository import remote_address as remote_address
from .repository import repository_at as repository_at
