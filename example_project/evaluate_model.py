"""Evaluate the model of another run: metrics, and a plot of predicted against actual salary."""

from __future__ import annotations

import argparse

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import mlflow
import numpy as np
import pandas as pd
import salary_data
from matplotlib.figure import Figure

PLOT = "predicted_vs_actual.png"


def plot(actual: pd.Series, predicted: np.ndarray) -> Figure:
    """Every point on the line would be a perfect model."""
    figure, axes = plt.subplots(figsize=(7, 7))
    axes.scatter(actual, predicted, alpha=0.6)
    limits = [min(actual.min(), predicted.min()), max(actual.max(), predicted.max())]
    axes.plot(limits, limits, linestyle="--", color="gray", label="perfect")
    axes.set(xlabel="Actual salary", ylabel="Predicted salary", title="Predicted against actual")
    axes.legend()
    return figure


def main() -> None:
    """Load the model, evaluate it on the data held back, log the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run-id", required=True, help="the run that trained the model")
    arguments = parser.parse_args()
    model = mlflow.sklearn.load_model(f"runs:/{arguments.run_id}/model")
    _, x_test, _, y_test = salary_data.load()
    predicted = model.predict(x_test)
    metrics = salary_data.scores(y_test, predicted)
    with mlflow.start_run():
        mlflow.log_metrics(metrics)
        mlflow.log_figure(plot(y_test, predicted), PLOT)
    for name, value in metrics.items():
        print(f"{name}: {value:.3f}")


if __name__ == "__main__":
    main()
