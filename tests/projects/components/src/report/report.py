import os

print("reported in", os.uname().nodename)
