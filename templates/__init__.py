"""The Dockerfile templates and the scripts of their steps, as package data."""
