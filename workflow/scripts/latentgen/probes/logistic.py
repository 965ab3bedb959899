"""Logistic regression for several classes."""

import math
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from latentgen.linalg import class_means
from latentgen.probes.base import Work
from latentgen.probes.classifier import ROWS, Classifier
from latentgen.probes.inputs import InputError

ADAM_EPOCHS = 20


class LogisticRegression(Classifier):
    """Logistic regression for several classes.

    Parameters
    ----------
    solver : {"lbfgs", "adam"}
        ``lbfgs``: the minimum of the mean cross entropy + ‖W‖² / (2 n); for two classes, as in scikit-learn,
        + ‖w‖² / (2 n) for the single vector w that separates them. ``adam``: as in the papers: Adam with
        learning rate 10⁻³, 20 epochs of shuffled batches of 128, no penalty. It does not converge in that
        time; its random numbers are always the same.

    Attributes
    ----------
    n_passes_ : int
        Number of passes over all examples for gradients.

    Examples
    --------
    >>> from latentgen.probes.logistic import LogisticRegression
    >>> X, y = [[1.0, 0.1], [2.0, 0.3], [0.2, 1.0], [0.1, 3.0]], ["cat", "cat", "dog", "dog"]
    >>> LogisticRegression().fit(X, y).predict([[5.0, 1.0]]).tolist()
    ['cat']
    """

    TOLERANCE = 1e-5
    """Largest entry of the gradient at which ``lbfgs`` stops (or after `ITERATIONS`)."""
    ITERATIONS = 2000
    _takes_squares = True

    n_passes_: int

    def __init__(self, solver: Literal["lbfgs", "adam"] = "lbfgs") -> None:
        self.solver = solver

    def _learn(self, X: Tensor, labels: Tensor, counts: Tensor) -> None:
        if self.solver not in ("lbfgs", "adam"):
            raise InputError(f"solver must be 'lbfgs' or 'adam', found {self.solver!r}.")
        self.n_passes_ = ADAM_EPOCHS
        fitted = (_fit_by_adam if self.solver == "adam" else self._minimum)(X, labels, len(counts))
        self.coef_, self.intercept_ = fitted[:, :-1], fitted[:, -1]

    def _block_scores(self, X: Tensor) -> Tensor:
        scores: Tensor = X.to(self.coef_.dtype) @ self.coef_.T + self.intercept_
        return scores

    def _minimum(self, X: Tensor, labels: Tensor, n_classes: int) -> Tensor:
        from scipy.optimize import minimize

        present = [c for c in range(n_classes) if c not in self.missing_classes_]
        n, d = X.shape
        # For two classes the weights are ±w/2, and ‖W‖² is half of ‖w‖².
        penalty = (2 if len(present) == 2 else 1) / n
        targets = one_hot(labels, n_classes)[:, present].to(X.dtype)
        mean = class_means(X, torch.zeros_like(labels), labels.new_tensor([n]))[0]
        B, L = _preconditioned(X, mean, penalty)
        # ‖W‖² without the intercepts, for W = V L⁻¹, is the trace of V Q Vᵀ.
        inverse = torch.linalg.solve_triangular(L, torch.eye(d + 1).to(L), upper=False)
        Q = inverse[:, :-1] @ inverse[:, :-1].T * penalty
        steepest = math.inf

        def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
            nonlocal steepest
            V = torch.from_numpy(flat).to(X.device).reshape(-1, d + 1)
            log_shares = (B @ V.to(X.dtype).T).log_softmax(1)
            VQ = V @ Q
            gradient = ((log_shares.exp() - targets).T @ B).to(torch.float64) / n + VQ
            loss = -(log_shares * targets).sum(dtype=torch.float64) / n
            by_weights = gradient @ L.T
            by_weights[:, :-1] += by_weights[:, -1:] * mean
            steepest = float(by_weights.abs().max())
            return float(loss + 0.5 * (VQ * V).sum()), gradient.cpu().numpy().ravel()

        def end_at_tolerance(xk: np.ndarray) -> None:
            if steepest <= self.TOLERANCE:
                raise StopIteration

        minimum = minimize(
            objective,
            np.zeros(len(present) * (d + 1)),
            jac=True,
            method="L-BFGS-B",
            callback=end_at_tolerance,
            options={"maxiter": self.ITERATIONS, "gtol": 0.0, "ftol": 0.0, "maxls": 50},
        )
        self.n_passes_ = int(minimum.nfev)
        weights = torch.zeros((n_classes, d + 1), dtype=torch.float64, device=X.device)
        weights[present] = torch.from_numpy(minimum.x).to(X.device).reshape(-1, d + 1) @ inverse
        weights[:, -1] -= weights[:, :-1] @ mean
        return weights

    def work(self, counts: list[int], m: int, item_size: int) -> Work:
        """Return its cost, by formula; parameters as in `Probe.work`."""
        n, d, C = sum(counts), self.n_features_in_, len(counts)
        fit = 4.0 * n * d * C * self.n_passes_
        if self.solver == "lbfgs":
            D, present = d + 1, C - len(self.missing_classes_)
            turned = 2 * n * D**2 + D**3 / 3 + n * D**2 + D**3 + 2 * D**2 * d
            evaluations = self.n_passes_ * (4 * n * D * present + 4 * present * D**2)
            fit = n * d + turned + evaluations + 2 * present * D**2 + 2 * C * d
        return Work(fit, 2 * m * d * C, self.coef_.element_size() * C * (d + 1))


def _preconditioned(X: Tensor, mean: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Precondition the inputs of a logistic regression so that its minimum is reached in few steps.

    Let A be X minus its mean, which changes only the intercepts, with a column of ones. The Hessian of the
    mean cross entropy is at most AᵀA/(2 n) for each class, which is so ill-conditioned for activations that
    optimization takes thousands of steps. With LLᵀ = AᵀA/(4 n) + I · penalty and weights V = W L, it is
    close to the identity. Any other L gives the same minimum: if rounding makes the matrix singular, as for
    large features, slightly more than the rounding error is added to its diagonal.

    Returns
    -------
    B : Tensor, n × (d + 1), as X
        A L⁻ᵀ, with which B Vᵀ = A Wᵀ.
    L : Tensor, (d + 1) × (d + 1), float64
        Lower triangular.
    """
    n, d = X.shape

    def with_ones(rows: Tensor) -> Tensor:
        return torch.cat([rows.to(torch.float64) - mean, mean.new_ones((len(rows), 1))], dim=1)

    curvature = torch.zeros((d + 1, d + 1), dtype=torch.float64, device=X.device)
    for rows in torch.split(X, ROWS):
        A = with_ones(rows)
        curvature.addmm_(A.T, A, alpha=1 / (4 * n))
    curvature.diagonal()[:-1] += penalty
    L, failed = torch.linalg.cholesky_ex(curvature)
    rounding = (d + 1) * torch.finfo(torch.float64).eps * curvature.diagonal().max()
    while bool(failed):
        curvature.diagonal().add_(rounding)
        rounding = 10 * rounding
        L, failed = torch.linalg.cholesky_ex(curvature)
    B = X.new_empty((n, d + 1))
    for turned, rows in zip(torch.split(B, ROWS), torch.split(X, ROWS), strict=True):
        turned.copy_(torch.linalg.solve_triangular(L, with_ones(rows).T, upper=False).T)
    return B, L


def _fit_by_adam(X: Tensor, labels: Tensor, n_classes: int) -> Tensor:
    from torch.optim.adam import adam

    generator = torch.Generator().manual_seed(0)
    bound = X.shape[1] ** -0.5
    weight = torch.empty(n_classes, X.shape[1]).uniform_(-bound, bound, generator=generator)
    bias = torch.empty(n_classes).uniform_(-bound, bound, generator=generator)
    parameters = [tensor.to(X.device).requires_grad_() for tensor in (weight, bias)]
    means, squares = ([torch.zeros_like(tensor) for tensor in parameters] for _ in range(2))
    steps = [torch.zeros((), device=X.device) for _ in parameters]
    for _ in range(ADAM_EPOCHS):
        order = torch.randperm(len(X), generator=generator).to(X.device)
        for batch in torch.split(order, 128):
            logits = X[batch].to(torch.float32) @ parameters[0].T + parameters[1]
            gradients = torch.autograd.grad(cross_entropy(logits, labels[batch]), parameters)
            with torch.no_grad():
                adam(
                    parameters, list(gradients), means, squares, [], steps, lr=1e-3, beta1=0.9, beta2=0.999,
                    eps=1e-8, weight_decay=0.0, amsgrad=False, maximize=False, fused=True,
                )  # fmt: skip
    return torch.cat([parameters[0], parameters[1][:, None]], dim=1).detach()
