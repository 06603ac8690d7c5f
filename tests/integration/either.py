"""One test for a blocking library and its asynchronous twin: what may have to be awaited is, and otherwise is not."""

import inspect
from contextlib import asynccontextmanager


async def done(result):
    """Return a result, awaited if it has to be."""
    return await result if inspect.isawaitable(result) else result


@asynccontextmanager
async def inside(manager):
    """Enter a context manager of either kind."""
    if hasattr(manager, "__aenter__"):
        async with manager as entered:
            yield entered
    else:
        with manager as entered:
            yield entered


async def all_of(iterable):
    """Iterate over either kind."""
    if hasattr(iterable, "__aiter__"):
        return [item async for item in iterable]
    return list(iterable)
