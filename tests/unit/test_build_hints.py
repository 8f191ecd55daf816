"""What is said about a failed build beside its own words."""

from __future__ import annotations

import pytest

from container_backend.build_hints import hint_for
from container_backend.buildkit import BuildFailed


@pytest.mark.parametrize(
    ("step", "said", "hint"),
    [
        (
            "[internal] load metadata for registry.test/a:1",
            "failed to do request: Head ...: dial tcp 127.0.0.1:1: connect: connection refused",
            "does not reach its registry",
        ),
        ("RUN sh /build/resolve.sh", "error sending request: connection refused", "package index"),
        ("RUN sh /build/resolve.sh", "invalid peer certificate: UnknownIssuer", "SSL_CERT_FILE"),
        ("RUN sh /build/resolve.sh", "No solution found when resolving", "cannot all be met"),
        ("RUN sh /build/install.sh", "error: command 'gcc' failed", "needs a compiler"),
        ("RUN sh /build/resolve.sh", "Git executable not found", "comes from git"),
        ("RUN sh /build/install.sh", "No space left on device (os error 28)", "disk is full"),
        ("RUN sh /build/install.sh", "something never seen", None),
    ],
)
def test_the_usual_causes(step, said, hint):
    found = hint_for(BuildFailed(said, step=step))
    assert (hint in found) if hint else found is None
