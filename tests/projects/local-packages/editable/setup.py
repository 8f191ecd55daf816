"""The old way."""

from setuptools import setup

setup(name="fixture-editable", version="1", py_modules=["fixture_editable"])
