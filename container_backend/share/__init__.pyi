from .sharing import build_and_share as build_and_share
