"""Several processes under torchrun: joining them, exchanging values, averaging gradients."""

from __future__ import annotations

import os
import time
import uuid
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import distributed, nn
from torch.distributed.rendezvous import rendezvous

from advcore.errors import AdvcoreError

T = TypeVar("T")
_JOIN_SECONDS = 600.0


@dataclass(frozen=True)
class World:
    """This process's number and how many there are."""

    rank: int = 0
    size: int = 1


def several() -> bool:
    """Whether torchrun started more processes than this one."""
    return os.environ.get("WORLD_SIZE", "1") != "1"


def world() -> World:
    """The processes torchrun started, joined on first call (NCCL on GPUs, gloo on CPUs); one process without torchrun."""
    if "RANK" not in os.environ or not distributed.is_available():
        return World()
    if not distributed.is_initialized():
        store, rank, size = next(rendezvous("env://"))
        backend = "nccl" if torch.cuda.is_available() else "gloo"
        distributed.init_process_group(backend, store=_fresh(store, rank, size), rank=rank, world_size=size)
    return World(distributed.get_rank(), distributed.get_world_size())


def _fresh(store: distributed.Store, rank: int, size: int) -> distributed.Store:
    """The store with a new prefix for all keys, agreed on by all processes, so that it is empty after a restart.

    torchrun keeps one store over all restarts. It still contains the addresses of killed processes, and a process that reads
    one before it is overwritten cannot connect.
    """
    own = uuid.uuid4().hex
    if rank:
        store.set(f"hello/{rank}", own)
        common = store.get(f"welcome/{own}").decode()  # blocks until it is set
        store.set(f"joined/{common}/{rank}", "")
        return distributed.PrefixStore(common, store)
    missing, deadline = set(range(1, size)), time.monotonic() + _JOIN_SECONDS
    while missing:
        if time.monotonic() > deadline:
            raise AdvcoreError(f"{len(missing)} of {size} processes have not joined; look at their machines and start again.")
        for other in tuple(missing):
            if store.check([f"hello/{other}"]):
                store.set(f"welcome/{store.get(f'hello/{other}').decode()}", own)
            if store.check([f"joined/{own}/{other}"]):
                missing.discard(other)
        time.sleep(0.02)
    return distributed.PrefixStore(own, store)


def device() -> torch.device | None:
    """The GPU of this process under torchrun, else None."""
    if world().size == 1 or not torch.cuda.is_available():
        return None
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def wrap(model: nn.Module, on: torch.device) -> nn.Module:
    """The model with its gradients averaged over all processes; the model itself when there is only one."""
    if world().size == 1:
        return model
    return nn.parallel.DistributedDataParallel(model, device_ids=[on.index] if on.type == "cuda" else None)


def unsynchronized(model: nn.Module) -> AbstractContextManager[None]:
    """A context for all but the last backward pass of a step: gradients add up and are averaged once, after the last pass."""
    return model.no_sync() if isinstance(model, nn.parallel.DistributedDataParallel) else nullcontext()


def gather(value: T) -> list[T]:
    """Every process's `value`, in rank order, on every process."""
    if world().size == 1:
        return [value]
    values: list[T] = [value] * world().size
    distributed.all_gather_object(values, value)
    return values


def from_first(value: T) -> T:
    """The `value` of rank 0, on every process. Every process must call it."""
    if world().size == 1:
        return value
    held = [value]
    distributed.broadcast_object_list(held)
    return held[0]


def close() -> None:
    """Leave the group of processes, if there is one."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()
