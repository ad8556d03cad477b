"""Computations evaluated one operation at a time, so that each may be done in another way."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, JaxprEqn, Literal

Apply = Callable[[JaxprEqn, list[Any]], list[Any]]

# Calls whose body stands for them. What has a gradient of its own (`custom_vjp_call`) keeps it.
CALLS = {"jit": "jaxpr", "custom_jvp_call": "call_jaxpr"}


def interpret(computation: ClosedJaxpr, arguments: Sequence[Any], apply: Apply) -> list[Any]:
    """Evaluates a computation, each of its operations by a function of yours.

    Calls are opened: a ReLU arrives as the maximum with zero that it is. Loops are not; they arrive
    whole.

    Args:
        computation: from `jax.make_jaxpr`.
        arguments: one for each of its arguments; of any type that `apply` understands.
        apply: (operation, its operands) → its results.

    Returns:
        What the computation returns.

    Example:
        >>> import jax.numpy as jnp
        >>> def twice_as_much(equation, operands):
        ...     return [2 * result for result in evaluate(equation, operands)]
        >>> computation = jax.make_jaxpr(jax.jit(lambda x: x + 1))(1.0)
        >>> interpret(computation, [1.0], twice_as_much)
        [Array(4., dtype=float32, weak_type=True)]
    """
    jaxpr = computation.jaxpr
    values = dict(zip(jaxpr.constvars, computation.consts, strict=True))
    values |= zip(jaxpr.invars, arguments, strict=True)

    def read(variable: Any) -> Any:
        return variable.val if isinstance(variable, Literal) else values[variable]

    for equation in jaxpr.eqns:
        operands = [read(variable) for variable in equation.invars]
        body = CALLS.get(equation.primitive.name)
        if body is None:
            results = apply(equation, operands)
        else:
            results = interpret(equation.params[body], operands, apply)
        values |= zip(equation.outvars, results, strict=True)
    return [read(variable) for variable in jaxpr.outvars]


def evaluate(equation: JaxprEqn, operands: Sequence[Any]) -> list[Any]:
    """Does an operation as it is.

    Args:
        equation: the operation.
        operands: arrays.

    Returns:
        Its results.

    Example:
        >>> (addition,) = jax.make_jaxpr(lambda x: x + 1)(1.0).jaxpr.eqns
        >>> float(evaluate(addition, [2.0, 3.0])[0])
        5.0
    """
    primitive = equation.primitive
    results = primitive.bind(*operands, **primitive.get_bind_params(equation.params))
    return list(results) if primitive.multiple_results else [results]


def is_rectifier(equation: JaxprEqn) -> bool:
    """Tells whether an operation is max(x, 0), written in this order, as ReLUs are.

    Flax holds the variance of a normalisation above zero by max(0, x), which is none.

    Example:
        >>> import jax.numpy as jnp
        >>> (operation,) = jax.make_jaxpr(lambda x: jnp.maximum(x, 0))(1.0).jaxpr.eqns
        >>> is_rectifier(operation)
        True
    """
    if equation.primitive.name != "max":
        return False
    zero = equation.invars[1]
    return isinstance(zero, Literal) and bool(zero.val == 0)


def with_rectifier(function: Callable[..., Any], rectifier: Callable) -> Callable[..., Any]:
    """Puts another rectifier in the place of each max(x, 0) that a function computes.

    Of ReLU6 = min(max(x, 0), 6), the inner half is one. Those inside loops (`jax.lax.scan`) stay.

    Args:
        function: of arrays.
        rectifier: of one array.

    Returns:
        The function with it.

    Example:
        >>> softer = with_rectifier(lambda x: jax.nn.relu(x) + 1, jax.nn.softplus)
        >>> round(float(softer(0.0)), 3)  # 1 + log 2
        1.693
    """

    def apply(equation: JaxprEqn, operands: list[Any]) -> list[Any]:
        if is_rectifier(equation):
            return [rectifier(operands[0])]
        return evaluate(equation, operands)

    def replaced(*arguments: Any) -> Any:
        computation, shapes = jax.make_jaxpr(function, return_shape=True)(*arguments)
        results = interpret(computation, jax.tree.leaves(arguments), apply)
        return jax.tree.unflatten(jax.tree.structure(shapes), results)

    return replaced


def count_rectifiers(function: Callable[..., Any], *arguments: Any) -> int:
    """Counts the operations of a function that are max(x, 0), without computing it.

    Args:
        function: of arrays.
        *arguments: them, or their `jax.ShapeDtypeStruct`s.

    Example:
        >>> count_rectifiers(lambda x: jax.nn.relu6(jax.nn.relu(x)), 1.0)
        2
    """
    count = 0

    def rectify(x):
        nonlocal count
        count += 1
        return jax.nn.relu(x)

    jax.eval_shape(with_rectifier(function, rectify), *arguments)
    return count
