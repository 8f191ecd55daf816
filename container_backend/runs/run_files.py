"""Files for the artifacts of a run, so that it can be repeated.

They are put into the container beside the code, for the process that finishes the run. What differs
between runs of the same code is in a label of the container instead (``record/run.json``).
"""

from __future__ import annotations

import gzip
import io
import logging
from functools import cached_property
from typing import IO, TYPE_CHECKING, Final

from container_backend.environment import is_outside
from container_backend.image import ImagePlan, packed
from container_backend.labels_and_tags import RECORD_DIRECTORY
from container_backend.machine import digest_of_file, size_of
from container_backend.project import CodeCopy, GitTree, RecordedCode, included_files, read_git_tree
from container_backend.runs.record import PROJECT_FILES, describe_run
from container_backend.store import CODE, CONTEXT, DOCKERFILE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from container_backend.runs.plan import Plan

_logger = logging.getLogger(__package__)
# In bytes, before compression. More than that is data, which belongs elsewhere.
MOST_CODE_BYTES: Final = 64 * 1024 * 1024
MOST_OUTSIDE_BYTES: Final = 32 * 1024 * 1024


class RunFiles:
    def __init__(self, plan: Plan) -> None:
        """Ask git about the code; nothing is read yet."""
        self._plan = plan
        self._policy = plan.config.record_code
        repeated = plan.repetition
        self._repeats = repeated.code if repeated is not None else None
        self._tree = _committed(plan)
        in_commit = self._tree is not None
        if self._repeats is not None:
            in_commit = bool(self._repeats.commit) and not self._repeats.archived
        keep = self._policy == "always" or (self._policy == "dirty" and not in_commit)
        keep = keep and plan.image_project is None and plan.sent_to is not None
        self.code = CodeCopy(
            keep=keep, most_bytes=None if self._policy == "always" else MOST_CODE_BYTES
        )
        self.files: dict[str, IO[bytes]] = {}
        self.run_id = ""  # once the run was created
        # Path among the artifacts → digest, once the code was archived: a program may change the files.
        self.digests: dict[str, str] = {}

    @property
    def digest(self) -> str:
        """The digest of the code, once it was archived; of an image, as its label says."""
        in_image = self._plan.image_project
        return self.code.digest if in_image is None else in_image.code_digest

    @cached_property
    def recorded(self) -> str:
        """The record as JSON, once the code was archived."""
        return describe_run(self._plan, self._recorded_code()).with_signature(self.run_id).as_json()

    def gather(self) -> Iterator[tuple[str, IO[bytes]]]:
        """Path in the container and content of each file, once the code was archived."""
        image = self._plan.image
        if isinstance(image, ImagePlan):
            self.files[DOCKERFILE] = io.BytesIO(image.dockerfile.encode())
            self.files[CONTEXT] = io.BytesIO(_packed_context(image))
        copy = self.code.finish()
        if copy is not None:
            self.files[CODE] = copy
        for path, content in self.files.items():
            self.digests[path] = digest_of_file(content)
            yield f"{RECORD_DIRECTORY}/{path}", content

    def _recorded_code(self) -> RecordedCode:
        plan, tree = self._plan, self._tree
        if self._repeats is not None:
            return self._repeats.model_copy(update={"archived": CODE in self.files})
        archived, why_not = CODE in self.files, ""
        if self.code.is_too_large:
            why_not = f"it has more than {MOST_CODE_BYTES // 1024**2} MB"
            _logger.warning(
                "The code is not kept among the run's artifacts: %s. Name what is not code in "
                ".dockerignore, or set record_code to 'always'",
                why_not,
            )
        elif plan.sent_to is None:
            why_not = "it is in the folder of its driver: repeat the run that has started it"
        elif plan.image_project is not None:
            why_not = "it is in the image"
        elif not archived and tree is None:
            why_not = f"record_code was '{self._policy}'"
        return RecordedCode(
            digest=self.digest,
            commit=tree.commit if tree else "",
            # A fetched project is found at its address again.
            repository=str(tree.repository) if tree and not plan.is_fetched else "",
            subdirectory=tree.subdirectory if tree else "",
            archived=archived,
            why_not=why_not,
        )


def _committed(plan: Plan) -> GitTree | None:
    """The repository whose current commit has all that is sent; None if there is none."""
    directory = plan.project.directory
    tree = read_git_tree(plan.repository, directory)
    return tree if tree and tree.has_all_of(included_files(directory)) else None


def _packed_context(image: ImagePlan) -> bytes:
    """The build context without the project's files, which are in the code.

    What is from outside of the project is kept, too, unless there is much of it.
    """
    own, outside = {}, {}
    for path, content in image.context.items():
        if not path.startswith(PROJECT_FILES):
            own[path] = content
        elif is_outside(path.removeprefix(PROJECT_FILES)):
            outside[path] = content
    if sum(map(size_of, outside.values())) <= MOST_OUTSIDE_BYTES:
        own |= outside
    return gzip.compress(b"".join(packed(own)), compresslevel=1, mtime=0)
