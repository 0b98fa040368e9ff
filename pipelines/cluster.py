"""Steps on a Ray cluster: the executor, and what each asset asks of a node.

Only `executor: ray` uses this. What an asset needs follows from the profile: GPUs where its stage
runs a model in process, starts a server for one or trains one, else a CPU. `machines` of the
profile overrides it.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from chillguard.calls import roles as model_roles
from pipelines import parts
from pipelines.documents import meant
from pipelines.parts import Machine
from pipelines.profile import Profile, ProfileError, environment

TAG = "dagster-ray/config"
# For a worker that is lost; Dagster has no policy that leaves out steps that fail by themselves.
_RETRY = dg.RetryPolicy(max_retries=1)
_GIB = 2**30


def executor(home: Path) -> dg.ExecutorDefinition:
    """Each step as a job on the Ray whose dashboard RAY_ADDRESS names.

    Secrets do not travel with a step, since Ray shows what does: its nodes have them.
    """
    try:
        from dagster_ray import ray_executor
    except ImportError:
        raise ProfileError(
            "executor ray needs dagster-ray: install the group `scale` (make .venv/scale)"
        ) from None
    settings = {"address": {"env": "RAY_ADDRESS"}, "env_vars": environment(home)}
    found: dg.ExecutorDefinition = ray_executor.configured({"ray": settings}, name="ray")
    return found


def placed(
    assets: Iterable[dg.AssetsDefinition], machines: Mapping[str, Machine]
) -> list[dg.AssetsDefinition]:
    """Assets, or checks, with what their step asks of Ray, and made again if a worker is lost."""
    return [_placed(asset, machines) for asset in assets]


def machines(
    profile: Profile, jurors: Sequence[str], keys: Iterable[dg.AssetKey]
) -> dict[str, Machine]:
    """What assets need beside a CPU, by key; raises `ProfileError` for a key that there is not."""
    assets = {key.to_user_string() for key in keys}
    strange = sorted(profile.machines.keys() - assets)
    if strange:
        raise ProfileError(
            f"profile {profile.name}: machines: there is no asset {strange[0]!r} in this profile"
            f"{meant(strange[0], assets)}"
        )
    return {**_models(profile, jurors), **_trained(profile.training), **profile.machines}


def _placed(asset: dg.AssetsDefinition, known: Mapping[str, Machine]) -> dg.AssetsDefinition:
    names = [key.to_user_string() for key in asset.keys]
    machine = next((known[name] for name in names if name in known), Machine())
    op = asset.op
    # Assets are defined before the profile is known, and only a new op takes other tags.
    node = dg.OpDefinition(
        compute_fn=op.compute_fn,
        name=op.name,
        ins={one.name: dg.In.from_definition(one) for one in op.input_defs},
        outs={one.name: dg.Out.from_definition(one) for one in op.output_defs},
        description=op.description,
        config_schema=op.config_schema,
        required_resource_keys=set(op.required_resource_keys),
        tags={**op.tags, TAG: json.dumps(_asked(machine))},
        retry_policy=_RETRY,
        pool=op.pool,
    )
    return type(asset)(**{**asset.get_attributes_dict(), "node_def": node})


def _asked(machine: Machine) -> dict[str, Any]:
    """In Ray's words; a step that asks for nothing would start whatever the cluster is doing."""
    asked: dict[str, Any] = {"num_cpus": machine.cpus or 1}
    if machine.gpus:
        asked["num_gpus"] = machine.gpus
    if machine.memory_gib:
        asked["memory"] = int(machine.memory_gib * _GIB)
    if machine.image:
        asked["runtime_env"] = {"image_uri": machine.image}
    return asked


def _models(profile: Profile, jurors: Sequence[str]) -> dict[str, Machine]:
    """Assets whose stage runs a model in process, or starts servers, one after another."""
    embedder, translator = profile.embedder.gpus, profile.translator.gpus
    gpus = {
        "refresh_plan": max(embedder, translator),
        "post_index": embedder,
        "synthesized_prompts": embedder,
        "candidate_prompts": translator,
    }
    roles = {**profile.roles, **dict(zip(jurors, profile.jurors, strict=True))}
    served = {name for name, role in roles.items() if role.serve}
    for asset, asked in model_roles.asked_by(jurors).items():
        gpus[asset] = max(gpus.get(asset, 0), int(not served.isdisjoint(asked)))
    return {asset: Machine(gpus=count) for asset, count in gpus.items() if count}


def _trained(part: parts.Training | None) -> dict[str, Machine]:
    """Assets that train or predict in their own step; the other launchers ask by themselves."""
    if part is None or part.executor.kind != "local":
        return {}
    found = {"iteration_2/generator": part.generator.machine}
    for one in part.classifiers:
        looped = one.name == part.loop_size
        for n in (0, 1, 2) if looped else one.iterations:
            name = "" if looped else f"/{one.name}"
            found[f"iteration_{n}/classifier{name}"] = one.machine
        if looped:
            found["iteration_2/graded_prompts"] = one.machine
    return found
