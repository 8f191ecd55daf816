import os

import mlflow

with open("handed.txt", "w") as file:
    file.write("from deep down")
mlflow.run("../look", parameters={"file": os.path.abspath("handed.txt"), "number": 1})
