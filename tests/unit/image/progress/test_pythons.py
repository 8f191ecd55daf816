"""Failures that another Python mends: what is said, and what to write."""

from __future__ import annotations

import pytest

from container_backend.environment import PythonChoice
from container_backend.image.progress.pythons import explain_python, ranges

BASE = "python:3.11-slim"
NONE_DECLARED = PythonChoice("3.11", form="Write `python: \"{version}\"` into '/p/python_env.yaml'")
PATCH = PythonChoice("3.11.7", "/p/conda.yaml", "Write `- python={version}` into '/p/conda.yaml'")


@pytest.mark.parametrize(
    ("versions", "said"),
    [
        (["3.9"], "Python 3.9"),
        (["3.9", "3.10", "3.8"], "Python 3.8 to 3.10"),
        (["3.6", "3.8", "3.9"], "Python 3.6 and 3.8 to 3.9"),
        (["3.6", "3.8", "3.10", "3.11"], "Python 3.6, 3.8 and 3.10 to 3.11"),
    ],
)
def test_versions_are_ranges(versions, said):
    assert ranges(versions) == said


def test_pins_without_a_wheel_are_named_with_what_to_write():
    output = [
        "error: something long",
        "container-backend: no wheel: scikit-learn==0.24.2: 3.6 3.7 3.8 3.9",
        "container-backend: works with Python 3.9",
    ]
    message, remedy = explain_python(output, NONE_DECLARED, BASE)
    assert message == (
        "There are no wheels for Python 3.11 of:\n    scikit-learn==0.24.2: wheels for Python 3.6 to 3.9\n"
        "The project names no version of Python: 3.11 of this interpreter was taken."
    )
    assert remedy == (
        "Write `python: \"3.9\"` into '/p/python_env.yaml', or choose other versions of the packages."
    )


def test_where_no_python_has_all_wheels_other_versions_are_the_way():
    output = ["container-backend: no wheel: a==1: 3.6", "container-backend: no wheel: b==1: 3.8"]
    message, remedy = explain_python(output, PATCH, BASE)
    assert "'/p/conda.yaml' asks for Python 3.11.7." in message
    assert remedy == "No Python has wheels for all of them: choose other versions."


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ("3.6", "3.6 3.7", "Python 3.6, which has them all, is too old to install packages for (Python 3.8"),
        ("3.6 3.7 3.9", "3.7 3.9 3.10", "Python 3.9, which has them all, does not go with the other"),
        ("3.9 3.10", "3.9 3.10", "Python 3.10, which has them all, does not go with the other"),
    ],
)  # fmt: skip
def test_a_python_that_has_all_wheels_and_cannot_be_taken_is_named_with_the_reason(
    first, second, said
):
    output = [
        f"container-backend: no wheel: {each}" for each in (f"a==1: {first}", f"b==1: {second}")
    ]
    assert explain_python(output, PATCH, BASE)[1].startswith(said)


def test_another_patch_version_of_the_base_is_answered_with_python_match():
    output = ["container-backend: Python 3.11.7 is wanted, but the base image has Python 3.11.2."]
    message, remedy = explain_python(output, PATCH, BASE)
    assert message == (
        "The base image 'python:3.11-slim' has Python 3.11.2, and not 3.11.7. "
        "'/p/conda.yaml' asks for Python 3.11.7."
    )
    assert '"python_match": "minor"' in remedy
    assert "python:" not in remedy


def test_another_minor_version_of_the_base_is_answered_with_an_image():
    output = ["container-backend: Python 3.8 is wanted, but the base image has Python 3.11.2."]
    choice = PythonChoice("3.8", "/p/conda.yaml", PATCH.form)
    remedy = explain_python(output, choice, BASE)[1]
    assert remedy == (
        "Write `- python=3.11` into '/p/conda.yaml'; or name an image with Python 3.8 in the backend "
        'config: "base_image": {"3.8": "IMAGE"}.'
    )


def test_other_failures_are_not_its_own():
    assert explain_python(["no space left on device"], PATCH, BASE) is None
