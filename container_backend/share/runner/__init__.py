"""What a project image starts: it reads the command line and becomes the program.

It uses the standard library of Python 3.8 and nothing else, and those modules of this package that
it shares with the backend: see :mod:`container_backend.share.runner_files`.
"""
