"""Labels, tags, environment variables and paths: names that other processes and versions read.

The names are an interface: do not change one without need.
"""

from __future__ import annotations

from typing import Final

# Labels of images and containers. A project may not set labels with this prefix.
LABEL_PREFIX: Final = "container-backend."
LABEL_ENVIRONMENT_HASH: Final = LABEL_PREFIX + "environment-hash"
LABEL_BASE_IMAGE: Final = LABEL_PREFIX + "base-image"
LABEL_BASE_DIGEST: Final = LABEL_PREFIX + "base-digest"
LABEL_CODE_DIGEST: Final = LABEL_PREFIX + "code-digest"
LABEL_LOCK_DIGEST: Final = LABEL_PREFIX + "lock-digest"
LABEL_PYTHON: Final = LABEL_PREFIX + "python"
LABEL_VERSION: Final = LABEL_PREFIX + "version"
# Labels of project images. LABEL_ENVIRONMENT_HASH would make one count as an environment image.
LABEL_MLPROJECT: Final = LABEL_PREFIX + "mlproject"
LABEL_OF_ENVIRONMENT: Final = LABEL_PREFIX + "of-environment"
LABEL_PACKAGES: Final = LABEL_PREFIX + "packages"
LABEL_RUN_ID: Final = LABEL_PREFIX + "run-id"
LABEL_EXPERIMENT_ID: Final = LABEL_PREFIX + "experiment-id"
LABEL_TRACKING_URI: Final = LABEL_PREFIX + "tracking-uri"
LABEL_PROJECT: Final = LABEL_PREFIX + "project"
LABEL_ENTRY_POINT: Final = LABEL_PREFIX + "entry-point"
LABEL_IMAGE: Final = LABEL_PREFIX + "image"
LABEL_EXPERIMENT: Final = LABEL_PREFIX + "experiment"
# The run's record (see runs/record.py), for the process that finishes the run.
LABEL_RECORD: Final = LABEL_PREFIX + "record"
# The user whose supervisor finishes the run (see machine/owner.py).
LABEL_OWNER: Final = LABEL_PREFIX + "owner"
# The run's entry in the ledger (see runs/ledger).
LABEL_SUBMISSION: Final = LABEL_PREFIX + "submission"
# The user whose supervisor removes an image of shared code (see container/shared_code.py).
LABEL_SHARED_CODE: Final = LABEL_PREFIX + "shared-code"
# Proves that a process of the owner set the labels that finish the run (see runs/ledger/signature.py).
LABEL_SIGNATURE: Final = LABEL_PREFIX + "signature"
# Settings of the run: see BackendConfig.
LABEL_KEEP: Final = LABEL_PREFIX + "keep"
LABEL_TIMEOUT: Final = LABEL_PREFIX + "timeout"
LABEL_RETRIES: Final = LABEL_PREFIX + "retries"
# Names of the variables by which other processes reach the store as the client did.
LABEL_LOGINS: Final = LABEL_PREFIX + "logins"
LABEL_MOST_OUTPUT: Final = LABEL_PREFIX + "most-output"
LABEL_RETRY_PROGRAM: Final = LABEL_PREFIX + "retry-program"
# Project folders that the run shares with others, by the names of their volumes.
LABEL_VOLUMES: Final = LABEL_PREFIX + "volumes"
# Every label, empty: a container would otherwise inherit these labels from its image.
NO_LABELS: Final[dict[str, str]] = {
    str(value): ""
    for name, value in list(globals().items())
    if name.startswith("LABEL_") and name != "LABEL_PREFIX"
}
# The prefix of labels that images of all tools have.
# https://github.com/opencontainers/image-spec/blob/main/annotations.md
OCI: Final = "org.opencontainers.image."
# Tags of MLflow runs.
TAG_PREFIX: Final = "container_backend."
TAG_CONTAINER_ID: Final = TAG_PREFIX + "container_id"
TAG_IMAGE: Final = TAG_PREFIX + "image"
TAG_IMAGE_DIGEST: Final = TAG_PREFIX + "image_digest"
TAG_ENVIRONMENT_HASH: Final = TAG_PREFIX + "environment_hash"
TAG_ENGINE: Final = TAG_PREFIX + "engine"
TAG_REASON: Final = TAG_PREFIX + "reason"
TAG_EXIT_CODE: Final = TAG_PREFIX + "exit_code"
TAG_OUT_OF_MEMORY: Final = TAG_PREFIX + "out_of_memory"
TAG_CAUSE: Final = TAG_PREFIX + "cause"
TAG_ATTEMPTS: Final = TAG_PREFIX + "attempts"
TAG_SUBMISSION: Final = TAG_PREFIX + "submission"
# For a rerun: the image in a registry (NAME@DIGEST), the digest of the code, the repeated run.
TAG_REPOSITORY_DIGEST: Final = TAG_PREFIX + "repository_digest"
TAG_BASE_DIGEST: Final = TAG_PREFIX + "base_digest"
TAG_CODE_DIGEST: Final = TAG_PREFIX + "code_digest"
TAG_RERUN_OF: Final = TAG_PREFIX + "rerun_of"
# MLflow's own tags (mlflow.utils.mlflow_tags).
MLFLOW_USER: Final = "mlflow.user"
MLFLOW_RUN_NAME: Final = "mlflow.runName"
MLFLOW_NOTE: Final = "mlflow.note.content"
MLFLOW_PARENT_RUN: Final = "mlflow.parentRunId"
MLFLOW_SOURCE_NAME: Final = "mlflow.source.name"
MLFLOW_SOURCE_TYPE: Final = "mlflow.source.type"
MLFLOW_GIT_COMMIT: Final = "mlflow.source.git.commit"
MLFLOW_GIT_ADDRESS: Final = "mlflow.source.git.repoURL"
MLFLOW_GIT_BRANCH: Final = "mlflow.source.git.branch"
MLFLOW_ENTRY_POINT: Final = "mlflow.project.entryPoint"
MLFLOW_ENVIRONMENT: Final = "mlflow.project.env"
MLFLOW_BACKEND: Final = "mlflow.project.backend"
MLFLOW_IMAGE_NAME: Final = "mlflow.docker.image.uri"
MLFLOW_IMAGE_ID: Final = "mlflow.docker.image.id"
# Environment variables.
# With this one, MLflow measures in the program itself, or nothing is measured at all.
ENV_SYSTEM_METRICS: Final = "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING"
ENV_BASE_IMAGE: Final = "CONTAINER_BACKEND_BASE_IMAGE"
# In a container that may use the engine: the owner whose supervisor finishes the runs it starts.
ENV_OWNER: Final = "CONTAINER_BACKEND_OWNER"
ENV_OWNER_KEY: Final = "CONTAINER_BACKEND_OWNER_KEY"
# In a container whose program may start steps: what the launcher knows of them (JSON), and its token.
ENV_STEPS: Final = "CONTAINER_BACKEND_STEPS"
ENV_STEPS_TOKEN: Final = "CONTAINER_BACKEND_STEPS_TOKEN"  # noqa: S105 the name of a variable
# Paths in a container.
CODE_DIRECTORY: Final = "/mlflow/projects/code"
# The project of a step that was fetched; its depth follows.
STEP_DIRECTORY: Final = "/mlflow/projects/step"
# What a step has downloaded for its parameters.
DOWNLOADS_DIRECTORY: Final = "/mlflow/home/downloads"
HOME_DIRECTORY: Final = "/mlflow/home"
LAUNCHER_DIRECTORY: Final = "/mlflow/launcher"
# The process that finishes the run copies these files to the run's artifacts.
RECORD_DIRECTORY: Final = "/mlflow/record"
# The shell empties this file, as any user, to show that the image's entry point has started it.
MARK_DIRECTORY: Final = "/mlflow/mark"
REACHED: Final = MARK_DIRECTORY + "/reached"
NOT_REACHED: Final = "not reached"
ENVIRONMENT_DIRECTORY: Final = "/mlflow/environment"
# Paths in a project image.
RUNNER_DIRECTORY: Final = "/mlflow/runner"
RESULTS_DIRECTORY: Final = "/mlflow/results"
# The prefix of a run's temporary folders on this machine.
TEMPORARY_PREFIX: Final = "container-backend-"
# The repository of environment images on an engine; the tag is the hash's first digits.
IMAGE_REPOSITORY: Final = "container-backend/python{python}"
HASH_DIGITS_IN_TAG: Final = 12
# The name of an image until it has its labels.
UNFINISHED_REPOSITORY: Final = "container-backend/unfinished"
# The repository of images of shared code.
CODE_REPOSITORY: Final = "container-backend/code"
RUNNER_PROGRAM: Final = "runner.py"
