from .process import run_program as run_program
