"""Tests, on real engines, real stores and real projects."""

import signal

# In the background of a script this process ignores interrupts, and under nohup the end of its
# terminal; so would every command that a test starts and sends one of them.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
