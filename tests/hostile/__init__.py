"""Hostile projects, images, labels and records: each tries, and gets nothing.

Each has a control, in which the guard is taken out and the attack succeeds: an unrelated refusal does
not pass for a defence.
"""
