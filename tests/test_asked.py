"""Ids that are made where the caller gives none."""

import uuid

from hypothesis import given
from hypothesis import strategies as st

from bento.asked import fresh_id

MS = st.integers(0, 2**48 - 1)
NOISE = st.binary(min_size=10, max_size=10)


@given(MS, NOISE)
def test_an_id_is_a_uuid_of_version_7(now_ms: int, noise: bytes) -> None:
    made = fresh_id(now_ms, noise)
    read = uuid.UUID(made)
    assert (read.hex, read.version, read.variant) == (made, 7, uuid.RFC_4122)
    assert read.int >> 80 == now_ms


@given(MS, MS, NOISE, NOISE)
def test_ids_sort_by_the_time_at_which_they_were_made(
    one: int, other: int, noise: bytes, more: bytes
) -> None:
    if one != other:
        assert (fresh_id(one, noise) < fresh_id(other, more)) == (one < other)


def test_every_random_bit_that_the_version_leaves_counts() -> None:
    noises = [(1 << bit).to_bytes(10) for bit in range(80)]
    changed = {fresh_id(0, noise) for noise in noises} - {fresh_id(0, bytes(10))}
    assert len(changed) == 74
