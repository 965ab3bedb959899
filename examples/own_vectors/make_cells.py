"""Write an example data set of vectors: data/cells.npz, 30 measurements of each of 569 tumours.

They are from scikit-learn (Wolberg, Street and Mangasarian, 1995).
"""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer

cells = load_breast_cancer()
Path("data").mkdir(exist_ok=True)
np.savez_compressed(
    "data/cells.npz",
    vectors=cells.data.astype(np.float32),
    labels=cells.target,
    class_names=cells.target_names,
)
