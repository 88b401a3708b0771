"""A frozen linear layer behind its two products, whatever holds its weights.

The engine multiplies with a base's weights and never reads them. So a layer may keep them dense, as `DenseLinear`
does, or in a small form that each product dequantises and drops again: nothing dense is kept for the backward.
"""

from abc import ABC, abstractmethod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FrozenLinear(nn.Module, ABC):
    """y = W x + b with weights that are not trained. It may stand in a decoder in the place of an `nn.Linear`."""

    def __init__(self, *, in_features: int, out_features: int) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features

    @abstractmethod
    def product(self, x_TI: Tensor, residual_TO: Tensor | None = None) -> Tensor:
        """Return W x + b [T, O] in the dtype of x, with `residual_TO` added, which stays as it is."""

    @abstractmethod
    def product_backward(self, grad_TO: Tensor, grad_TI: Tensor | None = None) -> Tensor:
        """Return the gradient [T, I] of x; added to `grad_TI` in place if given, as where layers share their input."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer as an `nn.Linear` is applied: [..., I] -> [..., O]. For decoder layers of transformers."""
        y: Tensor = _Applied.apply(x, self)
        return y


class DenseLinear(FrozenLinear):
    """The products of an `nn.Linear`, on its own tensors: `weight_OI`, and `bias_O` or None."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(in_features=linear.in_features, out_features=linear.out_features)
        self.weight_OI = linear.weight
        self.bias_O = linear.bias

    def product(self, x_TI: Tensor, residual_TO: Tensor | None = None) -> Tensor:
        """Return W x + b + residual; the product itself adds the residual."""
        if residual_TO is None:
            return F.linear(x_TI, self.weight_OI, self.bias_O)
        y_TO = torch.addmm(residual_TO, x_TI, self.weight_OI.t())
        return y_TO if self.bias_O is None else y_TO.add_(self.bias_O)

    def product_backward(self, grad_TO: Tensor, grad_TI: Tensor | None = None) -> Tensor:
        """Return grad W, added to `grad_TI` by the product itself."""
        return grad_TO @ self.weight_OI if grad_TI is None else grad_TI.addmm_(grad_TO, self.weight_OI)


class _Applied(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, linear: FrozenLinear) -> Tensor:
        ctx.linear = linear
        return linear.product(x.flatten(0, -2)).unflatten(0, x.shape[:-1])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (grad,) = grads
        return ctx.linear.product_backward(grad.flatten(0, -2)).unflatten(0, grad.shape[:-1]), None


def is_linear(module: nn.Module) -> bool:
    """Tell whether adapters can sit on a module."""
    return isinstance(module, nn.Linear | FrozenLinear)


def frozen_linear(module: nn.Module, name: str) -> FrozenLinear:
    """Return the linear layer of that name within `module` behind its products."""
    linear = module.get_submodule(name)
    if isinstance(linear, FrozenLinear):
        return linear
    assert isinstance(linear, nn.Linear), f"{name} is a {type(linear).__name__}, and only linear layers are adapted"
    return DenseLinear(linear)
