"""The scenarios, by the parts of the API."""

from tests.difference.areas import (
    assistants,
    crons,
    javascript,
    runs,
    state,
    stateless,
    store,
    streams,
    system,
    thread_streams,
    threads,
    waits,
)
from tests.difference.areas import sdk as sdk_calls

AREAS = (
    system.area,
    assistants.area,
    threads.area,
    state.area,
    waits.area,
    runs.area,
    stateless.area,
    streams.area,
    thread_streams.area,
    store.area,
    crons.area,
    sdk_calls.area,
    javascript.area,
)
"""Every area, in the order in which it is played and reported."""
