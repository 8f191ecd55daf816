import json
import sys

with open(sys.argv[1]) as file:
    assert json.load(file) == {"depth": 3, "rows": 3}
print("the model is as it was trained")
