"""The salary data, and how good a prediction is: the same for training and evaluation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error
from sklearn.model_selection import train_test_split

FILE = Path(__file__).with_name("Salary_predict.csv")
FEATURES = ["experience", "age", "interview_score"]
TARGET = "Salary"


def load() -> tuple[pd.DataFrame, pd.DataFrame, pd.Series, pd.Series]:
    """Features and salaries: those to train on, and those held back for testing."""
    data = pd.read_csv(FILE)
    # As floats: a column of integers could not hold a missing value later on.
    features = data[FEATURES].astype(float)
    x_train, x_test, y_train, y_test = train_test_split(
        features, data[TARGET], test_size=0.25, random_state=42
    )
    return x_train, x_test, y_train, y_test


def scores(actual: pd.Series, predicted: np.ndarray) -> dict[str, float]:
    """The errors in the salary's currency, and the share of its variance that is explained."""
    return {
        "rmse": root_mean_squared_error(actual, predicted),
        "mae": mean_absolute_error(actual, predicted),
        "r2": r2_score(actual, predicted),
    }
