"""The curvature of a linear softmax layer: its Gauss-Newton matrix, held by eigenvalues and eigenvectors.

Of weights W [C, H] over features h the matrix is the sum over rows of (diag p - p p') (x) h h'. A constant added to all
logits changes nothing, so the weights are seen in C - 1 orthonormal contrasts of the classes, V = Q' W [E, H]: the
matrix loses nothing but its null space, and a prior that is isotropic in W is so in V. For two classes that is
the difference of the rows, divided by the root of 2.

For a linear layer the Gauss-Newton matrix is the Hessian. Where its side would be larger than `LARGEST` it is
approximated by a Kronecker product (K-FAC, arXiv 1503.05671): the mean of the first factor (x) the sum of the second.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]

LARGEST: Final = 4096
"""The side of the largest matrix that is held in full: 134 MB, and half a minute for its eigenvectors on one core."""


class Curvature(ABC):
    """A curvature by its eigenvalues, and what its eigenvectors do; the weights are V [E, H]."""

    structure: ClassVar[str]

    @property
    @abstractmethod
    def eigenvalues(self) -> Array:
        """All of them, in a shape of the curvature's own; none is negative."""

    @abstractmethod
    def to_weights(self, coordinates: Array) -> Array:
        """Return the weights [E, H] that have these coordinates along the eigenvectors."""

    @abstractmethod
    def spread(self, features_NH: Array, variances: Array) -> Array:
        """Return the covariance [N, E, E] of V h, where the coordinates of V have these variances."""


@dataclass(frozen=True, slots=True)
class FullCurvature(Curvature):
    """All of the matrix: `values` [P], and `vectors` [E, H, P], of all P = E x H weights."""

    values: Array
    vectors: Array

    structure = "full"

    @property
    def eigenvalues(self) -> Array:
        """The P eigenvalues."""
        return self.values

    def to_weights(self, coordinates: Array) -> Array:
        """See `Curvature`."""
        weights_EH: Array = self.vectors @ coordinates
        return weights_EH

    def spread(self, features_NH: Array, variances: Array) -> Array:
        """See `Curvature`."""
        covariance_EHEH = np.tensordot(self.vectors * variances, self.vectors, axes=(2, 2))
        contrasts, hidden = covariance_EHEH.shape[:2]
        right = features_NH @ covariance_EHEH.reshape(contrasts, hidden, contrasts * hidden)
        right = right.reshape(contrasts, -1, contrasts, hidden)
        covariance_NEE: Array = np.einsum("enfh,nh->nef", right, features_NH)
        return covariance_NEE


@dataclass(frozen=True, slots=True)
class KroneckerCurvature(Curvature):
    """The product of a matrix of contrasts and one of features, each by its eigenvalues and eigenvectors."""

    values_E: Array
    vectors_EE: Array
    values_H: Array
    vectors_HH: Array

    structure = "kronecker"

    @property
    def eigenvalues(self) -> Array:
        """The products of both factors' eigenvalues, [E, H]."""
        return np.outer(self.values_E, self.values_H)

    def to_weights(self, coordinates: Array) -> Array:
        """See `Curvature`."""
        return self.vectors_EE @ coordinates @ self.vectors_HH.T

    def spread(self, features_NH: Array, variances: Array) -> Array:
        """See `Curvature`."""
        along_NE = (features_NH @ self.vectors_HH) ** 2 @ variances.T
        covariance_NEE: Array = np.einsum("ea,na,fa->nef", self.vectors_EE, along_NE, self.vectors_EE)
        return covariance_NEE


def contrasts(classes: int) -> Array:
    """Return Helmert's orthonormal contrasts [C, E]: together with the constant they are a basis."""
    basis_CE = np.triu(-np.ones((classes, classes - 1)))
    basis_CE[np.arange(1, classes), np.arange(classes - 1)] = np.arange(1, classes)
    unit_CE: Array = basis_CE / np.linalg.norm(basis_CE, axis=0)
    return unit_CE


def curvature_of(features_NH: Array, probs_NC: Array, *, largest: int = LARGEST) -> Curvature:
    """Return the curvature of the summed cross-entropy, in full where its side is at most `largest`."""
    basis_CE = contrasts(probs_NC.shape[1])
    along_NE = probs_NC @ basis_CE
    blocks_NEE = np.einsum("ce,nc,cf->nef", basis_CE, probs_NC, basis_CE) - along_NE[:, :, None] * along_NE[:, None]
    if basis_CE.shape[1] * features_NH.shape[1] <= largest:
        return _full(features_NH, blocks_NEE)
    values_E, vectors_EE = np.linalg.eigh(blocks_NEE.mean(0))
    values_H, vectors_HH = np.linalg.eigh(features_NH.T @ features_NH)
    return KroneckerCurvature(np.maximum(values_E, 0), vectors_EE, np.maximum(values_H, 0), vectors_HH)


def _full(features_NH: Array, blocks_NEE: Array) -> FullCurvature:
    sides, hidden = blocks_NEE.shape[1], features_NH.shape[1]
    matrix_EHEH = np.empty((sides, hidden, sides, hidden))
    for row in range(sides):
        for column in range(sides):
            matrix_EHEH[row, :, column] = (features_NH * blocks_NEE[:, row, column, None]).T @ features_NH
    values, vectors = np.linalg.eigh(matrix_EHEH.reshape(sides * hidden, sides * hidden))
    return FullCurvature(np.maximum(values, 0), vectors.reshape(sides, hidden, -1))
