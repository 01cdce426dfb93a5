"""What each trial may use, and where: flags and what they come to."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass, replace

from spaces.errors import InputError
from trainable.basics.machine import local_cores
from trainable.basics.wording import parse_duration

DEVICES = ("auto", "cpu", "gpu")


@dataclass(frozen=True)
class Resources:
    """Where trials run and what each may use. Changes how fast a study goes, not what it finds.

    Attributes:
        address: ``auto`` (a cluster named by RAY_ADDRESS, else this machine), ``local``, or a
            cluster's address.
        cpus_per_trial, gpus_per_trial: what Ray sets aside for a trial. GPUs may be fractions; None
            means one where there are any, and is settled once the cluster is asked.
        max_concurrent: trials at a time, or None for as many as fit.
        report_timeout: seconds without a report after which a trial counts as hanging.
        devices: ``cpu``, ``gpu``, or ``auto``: GPUs where there are any.
        patience: seconds to wait for a cluster's first node that a trial fits on.
    """

    address: str
    cpus_per_trial: int
    gpus_per_trial: float | None
    max_concurrent: int | None
    report_timeout: float = 1800.0
    devices: str = "auto"
    patience: float = 600.0

    @property
    def device(self) -> str:
        """Where a trial trains."""
        return "cuda" if self.gpus_per_trial else "cpu"

    @property
    def cluster(self) -> str | None:
        """The address of a running cluster, or None for this machine alone."""
        if self.address == "auto":
            return os.environ.get("RAY_ADDRESS")
        return None if self.address == "local" else self.address


def add_resources(group: argparse._ActionsContainer, trial: str = "trial") -> None:
    """The flags that `resolve_resources` reads; `trial` is what a user of the command calls one."""
    group.add_argument(
        "--cpus-per-trial", type=int, default=1, metavar="N", help=f"of a {trial} (default: 1)"
    )
    group.add_argument(
        "--devices", choices=DEVICES, default="auto",
        help="what to train on (default: auto, GPUs where there are any)",
    )  # fmt: skip
    group.add_argument(
        "--gpus-per-trial", type=_float_or_auto, metavar="N",
        help=f"GPUs of a {trial}; may be a fraction (default: auto)",
    )  # fmt: skip
    group.add_argument(
        "--max-concurrent", type=int, metavar="N",
        help=f"how many {trial}s run at a time (default: as many as fit)",
    )  # fmt: skip
    group.add_argument(
        "--address",
        default="auto",
        help="a Ray cluster's address, local, or auto: RAY_ADDRESS if set, else local",
    )
    group.add_argument(
        "--wait-for-nodes", default="10m", metavar="TIME",
        help=f"how long to wait for a cluster that has no node yet for a {trial} (default: 10m)",
    )  # fmt: skip


def _float_or_auto(text: str) -> float | None:
    return None if text == "auto" else float(text)


# `Parser` names the type in its message: "--gpus-per-trial is 'x', but must be a number or auto".
_float_or_auto.__name__ = "a number or auto"


def resolve_resources(args: argparse.Namespace) -> Resources:
    """What each trial may use.

    Raises:
        InputError: a number is out of range, or this machine has not what it asks for.
    """
    asked = check_resources(args)
    if asked.cluster is not None:
        return asked
    return replace(asked, gpus_per_trial=_local_gpus(asked))


def check_resources(args: argparse.Namespace) -> Resources:
    """What is asked for, before any GPU is looked for: that takes PyTorch, and seconds.

    Raises:
        InputError: a number is out of range, or this machine has fewer cores.
    """
    for name in ("cpus_per_trial", "max_concurrent"):
        value = getattr(args, name)
        if value is not None and value < 1:
            flag = name.replace("_", "-")
            raise InputError(f"--{flag} is {value}, but must be at least 1")
    gpus = args.gpus_per_trial
    if gpus is not None:
        if not (0 < gpus <= 1 or (gpus > 0 and gpus.is_integer())):
            raise InputError(
                f"--gpus-per-trial is {gpus:g}, but must be a fraction above 0 or a whole "
                "number; to train without GPUs, use --devices cpu"
            )
        if args.devices == "cpu":
            raise InputError(f"--gpus-per-trial {gpus:g} contradicts --devices cpu; remove one")
    asked = Resources(
        args.address, args.cpus_per_trial, 0.0 if args.devices == "cpu" else gpus,
        args.max_concurrent, devices=args.devices,
        patience=parse_duration(args.wait_for_nodes, "--wait-for-nodes"),
    )  # fmt: skip
    if "report_timeout" in args:
        asked = replace(
            asked, report_timeout=parse_duration(args.report_timeout, "--report-timeout")
        )
        if asked.report_timeout < 1:
            raise InputError(f"--report-timeout is {args.report_timeout}, but must be at least 1s")
    if asked.cluster is None and args.cpus_per_trial > local_cores():
        raise InputError(
            f"--cpus-per-trial is {args.cpus_per_trial}, but this machine has {local_cores()} "
            "cores; lower it, or name a cluster with --address"
        )
    return asked


def _local_gpus(asked: Resources) -> float:
    """The GPUs of a trial on this machine: None means one where there is one.

    Raises:
        InputError: there are fewer GPUs than one trial asks for.
    """
    if asked.devices == "cpu":
        return 0.0
    import torch

    there = torch.cuda.device_count()
    if asked.devices == "gpu" and not there:
        raise InputError(
            "--devices is gpu, but this machine has no usable GPU; use --devices cpu, or name a "
            "cluster with --address"
        )
    gpus = asked.gpus_per_trial
    if gpus is None:
        return 1.0 if there else 0.0
    if gpus > there:
        raise InputError(
            f"--gpus-per-trial is {gpus:g}, but this machine has {there} usable GPUs; "
            "lower it, or name a cluster with --address"
        )
    return gpus
