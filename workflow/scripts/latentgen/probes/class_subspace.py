"""The principal subspace of one class, and the number of directions for a fraction of the energy."""

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor

Route: TypeAlias = Literal["gram", "moment", "krylov"]


class KrylovWork(NamedTuple):
    """Work of the Krylov method for one class, from which its cost follows (`latentgen.probes.costs`)."""

    columns: int
    """Columns of the final basis."""
    checks: tuple[tuple[int, int], ...]
    """Numbers of columns at which convergence was checked, and for how many directions (0: too few
    columns)."""
    kept: int
    """Number of directions in the float64 step."""
    rounds: int
    """How often that step was done."""


@dataclass(frozen=True)
class ClassSubspace:
    """The leading principal directions of one class.

    Attributes
    ----------
    basis : Tensor, d × k, float64
        Unit eigenvectors of the uncentred moment matrix, by decreasing eigenvalue. k = 0 for a class without
        examples or with only zero rows: it has no direction.
    eigenvalues : Tensor, k, float64
        Their eigenvalues, in squared units of the activations.
    energy : float
        Sum of *all* eigenvalues, the squared Frobenius norm of the class.
    n_items : int
        Number of examples of the class.
    route : str
        Method: from the ``"gram"`` or the ``"moment"`` matrix, or ``"krylov"``.
    fell_back : bool
        Whether the exact method was used because the Krylov method, tried first, could not be certified.
    krylov : KrylovWork, optional
        Work of the Krylov method, if it was used.
    orthogonalized : bool
        Whether the directions from the Gram matrix had to be orthogonalized again.
    complement : Tensor, d × (d − k), float64, optional
        Orthonormal basis of the orthogonal complement, if it is available and smaller than the basis:
        ‖Uᵀx‖² = ‖x‖² − ‖U⊥ᵀx‖² then takes fewer operations.
    """

    basis: Tensor
    eigenvalues: Tensor
    energy: float
    n_items: int
    route: Route
    fell_back: bool = False
    krylov: KrylovWork | None = None
    orthogonalized: bool = False
    complement: Tensor | None = None

    @property
    def n_components(self) -> int:
        """Number of directions, k."""
        return self.basis.shape[1]

    def components_for(self, variance: float) -> int:
        """Return k_c = #{j : (λ₁+…+λ_j)/Σλ ≤ variance} + 1, at most the number of directions."""
        if self.n_components == 0:
            return 0
        return min(directions_for(self.eigenvalues, self.energy, variance), self.n_components)

    def truncated(self, components: int) -> "ClassSubspace":
        """Return the same subspace with only its first `components` directions (views, no copies)."""
        if components >= self.n_components:
            return self
        basis, eigenvalues = self.basis[:, :components], self.eigenvalues[:components]
        return replace(self, basis=basis, eigenvalues=eigenvalues, complement=None)


def no_subspace(X: Tensor) -> ClassSubspace:
    """Return that of a class without examples, of as many features as X (n × d) has."""
    nothing = X.new_zeros(0, dtype=torch.float64)
    return ClassSubspace(nothing.view(X.shape[1], 0), nothing, 0.0, 0, "gram")


class Decomposition(NamedTuple):
    """The subspaces of classes, and what else probes on them need to be fitted."""

    subspaces: list[ClassSubspace]
    means: Tensor | None
    """C × d, float64: the mean of each class; None if no probe needs it."""
    counts: Tensor
    """C, int64: examples of each class."""


def directions_wanted(eigenvalues: Tensor, energy: float, variance: float | None, components: int) -> int:
    """Return the number of directions needed for a fraction of the variance and a least number of them."""
    return components if variance is None else max(components, directions_for(eigenvalues, energy, variance))


def directions_for(eigenvalues: Tensor, energy: float, variance: float) -> int:
    """Return k_c = #{j : (λ₁+…+λ_j)/Σλ ≤ variance} + 1 from decreasing eigenvalues and their full sum."""
    return int((eigenvalues.cumsum(0) <= variance * energy).sum()) + 1
