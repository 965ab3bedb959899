"""Training without a workflow: what is saved is given back."""

from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from latentgen.networks.checkpoints import checkpoint_paths, load_weights
from latentgen.training.loop import train
from latentgen.training.plan import TrainingPlan
from latentgen.training.resuming import Resume


def train_here(network, data, **settings):
    """Train a network; return the result and the weights saved, by epoch."""
    with TemporaryDirectory() as folder:
        resume = Resume(Path(folder), "a-run", {})
        result = train(network, data, TrainingPlan(**settings), resume)
        saved = {
            epoch: {name: torch.from_numpy(weights) for name, weights in load_weights(path).items()}
            for epoch, path in checkpoint_paths(resume.checkpoints).items()
        }
    return result, saved
