"""Objects of the frozen models, made field by field.

The ``__init__`` of a frozen attrs class goes through ``object.__setattr__`` for each field, which costs more than
everything else that is done with a quote. A draft is an object of a subclass that can be written to, and becomes the
model's own by having its class assigned::

    quote = QuoteDraft()
    quote.symbol_id, quote.bid, … = row
    quote.__class__ = Quote
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Callable, Dict

import attrs


@lru_cache(maxsize=None)
def draft_of(model: type) -> Any:
    """The class of ``model``'s drafts. Every field of a draft must be set, and then its class, before anybody sees it.

    :param model: a frozen, slotted attrs class
    """
    # An empty one takes no values. And both of the others, or Python would look up by name what sets each field.
    methods = {
        "__init__": object.__init__,
        "__setattr__": object.__setattr__,
        "__delattr__": object.__delattr__,
    }
    # Without slots of its own an object's layout is the model's, or the class could not be assigned.
    return type(f"{model.__name__}Draft", (model,), {"__slots__": (), "__module__": __name__, **methods})


def copier_of(model: Any, *changed: str) -> Callable[..., Any]:
    """A function that copies objects of ``model`` but for some fields, whose values it takes in their order."""
    lines = [
        f"copy.{field.name} = {field.name if field.name in changed else f'original.{field.name}'}"
        for field in attrs.fields(model)
    ]
    names: Dict[str, Any] = {"Draft": draft_of(model), "Model": model}
    body = "; ".join(["copy = Draft()", *lines, "copy.__class__ = Model", "return copy"])
    exec(f"def copier(original, {', '.join(changed)}): {body}", names)  # noqa: S102 - of our own models' names
    copier: Callable[..., Any] = names["copier"]
    return copier
