"""The surroundings of the integration tests."""

from tests.integration.conftest import (  # noqa: F401 fixtures
    _store,
    _worker,
    base,
    engine,
    example_image,
    fresh,
    own_state,
    own_store,
    project,
    script,
    workplace,
)
