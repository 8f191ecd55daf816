"""The history of an image that an engine tells of, for an image on top of it."""

from __future__ import annotations

from container_backend.image.code_layer import history_of

# As of Docker Engine 20.10, without what does not matter.
TOLD = [
    {"Created": 3, "CreatedBy": 'CMD ["python"]', "Comment": "buildkit.dockerfile.v0", "Size": 0},
    {"Created": 2, "CreatedBy": "WORKDIR /x", "Comment": "buildkit.dockerfile.v0", "Size": 0},
    {"Created": 1, "CreatedBy": "/bin/sh -c #(nop) ENV A=1", "Comment": "", "Size": 0},
    {"Created": 0, "CreatedBy": "/bin/sh -c #(nop) ADD file", "Comment": "", "Size": 5},
]


def test_steps_are_in_the_order_in_which_they_were_made():
    steps = history_of(TOLD, 2)
    assert [step["created_by"] for step in steps] == [each["CreatedBy"] for each in TOLD[::-1]]
    assert [step["empty_layer"] for step in steps] == [False, True, False, True]
    assert steps[0]["created"] == "1970-01-01T00:00:00+00:00"


def test_a_history_that_may_be_of_other_layers_is_left_out():
    assert history_of(TOLD, 3) == []
