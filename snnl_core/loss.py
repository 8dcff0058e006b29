"""The soft nearest neighbor loss for training (equations 1 and 2 of Frosst et al. 2019), with a gradient of its own.

The gradient is that of equation 1 at the temperature used. Where that is the minimising one it is the gradient of
equation 2 as well, by the envelope theorem, so nothing is differentiated through the search. Few points take a direct
path; many are worked through in tiles, which the backward pass computes again, so memory grows with n d alone.
"""

import math
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from snnl_core import plain
from snnl_core.compiling import uncompiled
from snnl_core.distances import Distance, check_distance, check_points, check_tensor, full_precision, prepare
from snnl_core.distributed import agree, gather, gather_rows_with_grad, several
from snnl_core.masses import LOG2_E
from snnl_core.minimizing import Minimize, warn_of_rounding
from snnl_core.pairs import all_pairs
from snnl_core.plain import transformed
from snnl_core.saving import taken_apart

Reduction = Literal["mean", "sum", "none"]


@uncompiled
def soft_nearest_neighbor_loss(
    x: Tensor,
    labels: Tensor,
    temperature: float | Tensor = 1.0,
    *,
    distance: Distance = "sqeuclidean",
    reduction: Reduction = "mean",
) -> Tensor:
    """How entangled the classes of a batch are at one temperature: 0 when every neighbour is of the own class.

    Computed in log space in at least float32, so it is finite for every temperature, as far as that dtype holds the
    squared distances (float32 up to 3e38); differentiable with respect to `x` and to a tensor `temperature`, once. The
    error is of the order of eps * max |x - mean|^2 / temperature: pass float64 where that is too much.

    Args:
        x: points (n, ...), floating; flattened to (n, d).
        labels: class of each point (n,), any integers.
        temperature: T in (0, inf], in units of the distance; a float or a tensor of one element.
        distance: `sqeuclidean`, or `cosine` for 1 - cos; a row of zeros is at 0.5 from all others but such rows.
        reduction: `mean` over the points that have another of their class, `sum`, or `none` for (n,), where a point
            that is alone in its class gets 0.

    Returns:
        A scalar, or (n,) for `none`; 0 and differentiable when no point has another of its class. Of half-precision
        points it is float32, as cross-entropy is under autocast: float16 ends at 65504.

    Raises:
        TypeError: x is not floating, the labels are not integers, or the temperature is no number.
        ValueError: shapes do not match, n < 2, a label is 2^63 or more, or the temperature, distance or reduction is
            impossible.
    """
    if reduction not in get_args(Reduction):
        raise ValueError(f"unknown reduction {reduction!r}; known: {', '.join(get_args(Reduction))}.")
    points, labels = check_points(x, labels)
    beta = inverse(temperature, points)
    return _apply(prepare(points, distance), labels, beta, reduction)


class SoftNearestNeighborLoss(nn.Module):
    """The loss as a module, at a fixed temperature, at the best one of each batch, or at a learned one.

    After each call `last_temperature` is the temperature used, and with `minimize` `at_limit` counts the steps that
    ended at an end of the search (`cold`: the classes are apart; `hot`: they are mixed), where the gradient vanishes:
    an objective that must move such sets needs a fixed temperature of the size of the squared distances.

    Args:
        temperature: T in (0, inf]; `minimize` for equation 2, anew at every step; or `learn` to train log(1 / T). It
            may be set later, as by a schedule, but neither to nor from `learn`.
        distance: `sqeuclidean`, or `cosine` for 1 - cos; a row of zeros is at 0.5 from all others but such rows.
        gather: take the batches of all processes together: each process gets the loss of the global batch, and the
            gradients that DistributedDataParallel averages are those of one process with the whole batch. What one
            process refuses, all refuse; so they do where they differ in temperature or distance, or in whether they
            want a gradient.
        start: the temperature that `learn` starts from.

    Raises:
        TypeError, ValueError: a temperature, given here or set later, is no number in (0, inf] and neither of the two
            words.
    """

    def __init__(
        self,
        temperature: float | Literal["minimize", "learn"] = "minimize",
        distance: Distance = "sqeuclidean",
        gather: bool = False,
        *,
        start: float = 1.0,
    ) -> None:
        super().__init__()
        self.temperature, self.distance, self.gather = temperature, distance, gather
        self.last_temperature = math.nan
        self.at_limit = {"none": 0, "cold": 0, "hot": 0}
        check_distance(distance)
        _check_temperature(start, torch.float32)
        if not math.isfinite(start):
            raise ValueError(f"start must be a temperature in (0, inf), not {start}: there nothing is learned.")
        self.log_beta = nn.Parameter(torch.tensor(math.log(1 / float(start)))) if temperature == "learn" else None

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; the temperature, if it is one."""
        if name == "temperature":
            _check_setting(value, vars(self).get(name, value))
        super().__setattr__(name, value)

    @uncompiled
    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        """The mean loss, a scalar, of points (n, ...) and labels (n,); see `soft_nearest_neighbor_loss`."""
        if self.gather and several():
            (points, labels), rows = agree(lambda: self._checked(x, labels), **self._same())
            points, labels = gather_rows_with_grad(points, rows), gather(labels, rows)
        else:
            points, labels = check_points(x, labels)
        points = prepare(points, self.distance)
        beta = self._beta(points)
        loss = _apply(points, labels, beta, "mean")
        if isinstance(beta, Minimize) or not transformed():  # whose value may be out of sight
            found = beta.found if isinstance(beta, Minimize) else float(beta.detach())
            self.last_temperature = 1 / found if found else math.inf
        return loss

    def extra_repr(self) -> str:
        """The settings."""
        return f"temperature={self.temperature!r}, distance={self.distance!r}, gather={self.gather}"

    def _checked(self, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """This process's part of a batch, checked together with the temperature before anything is shared."""
        points, labels = check_points(x, labels, fewest=1)
        self._beta(points)
        return points, labels

    def _same(self) -> dict[str, object]:
        """What must be the same in all processes; tensors may drift by rounding."""
        temperature = "a tensor" if isinstance(self.temperature, Tensor) else self.temperature
        return {"temperature": temperature, "distance": self.distance}

    def _beta(self, points: Tensor) -> Tensor | Minimize:
        if self.log_beta is not None:
            return self.log_beta.to(points.dtype).exp()
        if isinstance(self.temperature, str):
            return Minimize(self.at_limit)
        return inverse(self.temperature, points)


def _check_setting(temperature: Any, before: Any) -> None:
    """Raise TypeError or ValueError unless it is a temperature of a module that has had another one before."""
    if not isinstance(temperature, str):
        least = torch.promote_types(torch.get_default_dtype(), torch.float32)  # which points are computed in
        inverse(temperature, torch.zeros((), dtype=least, device="cpu"))
    elif temperature not in ("minimize", "learn"):
        raise ValueError(f"temperature must be a number in (0, inf], 'minimize' or 'learn', not {temperature!r}.")
    if "learn" in (temperature, before) and temperature != before:
        raise ValueError(f"temperature cannot become {temperature!r} where it was {before!r}: make another module.")


def _apply(x: Tensor, labels: Tensor, beta: Tensor | Minimize, reduction: Reduction) -> Tensor:
    if transformed():
        return _plainly(x, labels, beta, reduction)
    # Inside, gradients are off in any case: whether one will be wanted is known here.
    loss: Tensor = _SoftNearestNeighborLoss.apply(x, labels, beta, reduction, torch.is_grad_enabled())
    return loss


def _plainly(x: Tensor, labels: Tensor, beta: Tensor | Minimize, reduction: Reduction) -> Tensor:
    """The same in operations that torch.func's transforms and forward mode reach into."""
    with full_precision(x.device):
        if isinstance(beta, Minimize):
            x, beta = beta.plainly(x, labels)
        losses, valid = plain.losses(x, labels, beta)
    if reduction == "none":
        return losses
    return losses.sum() / (valid.sum().clamp_min(1) if reduction == "mean" else 1)


class _SoftNearestNeighborLoss(torch.autograd.Function):
    """Points (n, d), labels (n,), an inverse temperature and a reduction -> the loss, (n,) or a scalar."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, labels: Tensor, beta: Tensor | Minimize, reduction: Reduction, wanted: bool
    ) -> Tensor:
        ctx.slope = wanted and isinstance(beta, Tensor) and beta.requires_grad
        with full_precision(x.device):
            ctx.factor = 1.0
            if isinstance(beta, Minimize):
                pairs, ctx.factor = beta.pairs(x, labels)
                beta, _ = beta.search(pairs, labels, ctx.factor)
            else:
                pairs = all_pairs(x, labels)
                warn_of_rounding(pairs, float(beta))
            look = pairs.look(beta, moments=2 if ctx.slope else 1, keep=wanted and x.requires_grad)
        losses = look.masses.losses()[0]
        share = look.masses.valid.sum().clamp_min_(1) if reduction == "mean" else 1
        if wanted:
            tensors, ctx.together = taken_apart((look, pairs.order, share))
            ctx.save_for_backward(x, beta, *tensors)  # saved as usual, they are checked, and freed with the graph
        return _restored(losses, pairs.order) if reduction == "none" else losses.sum() / share

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, None, Tensor | None, None, None]:
        points, used, *tensors = ctx.saved_tensors
        (look, order, share), x, beta = ctx.together(tensors), None, None
        with torch.no_grad(), full_precision(upstream.device):
            each = (upstream / share).expand(len(points))
            each = each if order is None else each[order]
            if ctx.needs_input_grad[0]:
                x = _restored(look.gradient(each), order)
                x = x if ctx.factor == 1 else x * ctx.factor
            if ctx.slope:
                beta = (each * look.masses.slopes()[0]).sum()
        if torch.is_grad_enabled():  # create_graph=True; without this a second derivative would silently be 0
            x, beta = (None if found is None else _Once.apply(found, upstream, points, used) for found in (x, beta))
        return x, None, beta, None, None


class _Once(torch.autograd.Function):
    """A gradient, which depends on its causes, but not in a way that can be differentiated."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, *causes: Tensor) -> Tensor:
        return gradient.clone()

    @staticmethod
    def backward(ctx: Any, *_: Any) -> None:
        raise NotImplementedError(
            "the soft nearest neighbor loss has no second derivative: keep it out of what a gradient penalty or a "
            "Hessian is made of, or use its gradient as a constant, with create_graph=False or detach()."
        )


class _Inverse(torch.autograd.Function):
    """1 / T; its gradient is 0, not NaN, where the upstream one is 0 and 1 / T^2 overflows."""

    @staticmethod
    def forward(ctx: Any, temperature: Tensor) -> Tensor:
        beta = 1 / temperature
        ctx.save_for_backward(beta)
        return beta

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> Tensor:
        (beta,) = ctx.saved_tensors
        return -upstream[0] * beta * beta


def _restored(values: Tensor, order: Tensor | None) -> Tensor:
    """Values by point in the caller's order."""
    if order is None:
        return values
    restored = torch.empty_like(values)
    restored[order] = values
    return restored


def inverse(temperature: float | Tensor, points: Tensor) -> Tensor:
    """beta = 1 / T as a scalar of the points' dtype.

    Raises:
        TypeError: T is no number.
        ValueError: T is not one number in (0, inf], or its inverse cannot be represented.
    """
    if not isinstance(temperature, Tensor):
        _check_temperature(temperature, points.dtype)
        return torch.tensor(1 / temperature, dtype=points.dtype, device=points.device)
    check_tensor("temperature", temperature)
    if temperature.numel() != 1:
        raise ValueError(f"temperature must be one number, not a tensor of shape {tuple(temperature.shape)}.")
    if transformed():  # whose value may be out of sight
        return temperature.to(points).reciprocal().reshape(())
    _check_temperature(temperature.detach(), points.dtype)
    return _Inverse.apply(temperature.to(points).reshape(()))  # type: ignore[no-any-return]


def _check_temperature(temperature: float | Tensor, dtype: torch.dtype) -> None:
    if isinstance(temperature, str):
        raise ValueError(f"temperature must be one number in (0, inf]; {temperature!r} is for SoftNearestNeighborLoss.")
    try:
        number = float(0 + temperature)  # bytes, of which float reads a number, are none
    except OverflowError as error:
        raise ValueError("temperature is beyond the largest float: give float('inf').") from error
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"temperature must be one number in (0, inf], not {temperature!r}.") from error
    if not number > 0:
        raise ValueError(f"temperature must be one number in (0, inf], not {number}.")
    if not 2 * LOG2_E / number < torch.finfo(dtype).max:
        raise ValueError(f"temperature {number} is too small for {dtype}: scale x up, or use float64.")
