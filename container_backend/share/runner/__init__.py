"""The entry point of project images: reads the command line and becomes the program.

Uses only the standard library of Python 3.8 and the modules of this package that
:mod:`container_backend.share.runner_files` names.
"""
