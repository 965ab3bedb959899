"""The principal subspace of one class, and how many of its directions hold a share of the energy."""

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypeAlias

from torch import Tensor

Route: TypeAlias = Literal["gram", "moment", "krylov"]


class KrylovWork(NamedTuple):
    """What the Krylov way did for one class; its cost follows from this (`latentgen.probes.costs`)."""

    columns: int
    """Of the basis in the end."""
    checks: tuple[tuple[int, int], ...]
    """At how many columns convergence was looked at, and for how many directions (0: too few columns)."""
    kept: int
    """Directions that went into the float64 step."""
    rounds: int
    """How often that was done."""


@dataclass(frozen=True)
class ClassSubspace:
    """The leading principal directions of one class.

    Attributes
    ----------
    basis : Tensor, d × k, float64
        Unit eigenvectors of the uncentred moment matrix, by falling eigenvalue. k = 0 for a class with no
        items or with zero rows only: it has no direction.
    eigenvalues : Tensor, k, float64
        Their eigenvalues, in squared units of the activations.
    energy : float
        Sum of *all* eigenvalues, the squared Frobenius norm of the class.
    n_items : int
        Number of items of the class.
    route : str
        How the directions were found: from the ``"gram"`` or the ``"moment"`` matrix, or by ``"krylov"``.
    fell_back : bool
        Whether that was the exact way because the Krylov way, tried first, could not be certified.
    krylov : KrylovWork, optional
        What the Krylov way did, if it was taken.
    orthogonalized : bool
        Whether the directions from the Gram matrix had to be made orthogonal once more.
    complement : Tensor, d × (d − k), float64, optional
        Orthonormal basis of all that is orthogonal to the subspace, where it is at hand and the smaller of
        the two: ‖Uᵀx‖² = ‖x‖² − ‖U⊥ᵀx‖² then takes fewer operations by way of it.
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
        """Number of directions held, k."""
        return self.basis.shape[1]

    def components_for(self, variance: float) -> int:
        """Return k_c = #{j : (λ₁+…+λ_j)/Σλ ≤ variance} + 1, at most the number of directions held."""
        if self.n_components == 0:
            return 0
        return min(directions_for(self.eigenvalues, self.energy, variance), self.n_components)

    def truncated(self, components: int) -> "ClassSubspace":
        """Return the same subspace with its first `components` directions only (views, no copies)."""
        if components >= self.n_components:
            return self
        basis, eigenvalues = self.basis[:, :components], self.eigenvalues[:components]
        return replace(self, basis=basis, eigenvalues=eigenvalues, complement=None)


def directions_wanted(eigenvalues: Tensor, energy: float, variance: float | None, components: int) -> int:
    """Return how many directions a demand for a share of the variance and for a number of them comes to."""
    return components if variance is None else max(components, directions_for(eigenvalues, energy, variance))


def directions_for(eigenvalues: Tensor, energy: float, variance: float) -> int:
    """Return k_c = #{j : (λ₁+…+λ_j)/Σλ ≤ variance} + 1 from falling eigenvalues and their full sum."""
    return int((eigenvalues.cumsum(0) <= variance * energy).sum()) + 1
