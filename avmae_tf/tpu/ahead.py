"""Compiles a serialized HloModuleProto for one core of a TPU, and prints what came out as JSON.

    python -m avmae_tf.tpu.ahead MODULE TOPOLOGY [EFFORT]

Runs in the compiler's environment: no TensorFlow, and of this package `pricing` alone. A program
too large for a core's memory fails here as it would there. What is printed are the fields of
`compiler.Compiled`.
"""

import json
import os
import re
import resource
import sys
from typing import Any

from avmae_tf.tpu.pricing import price

GIB = 2**30
# How much of too much memory: of a program as a whole, or of what it computes alone.
_USED = re.compile(r'(?:Used |temporaries \()([\d.]+)([KMG])(?: of [\d.]+[KMG] hbm|\) exceeds)')
_UNITS = {'K': 2**-20, 'M': 2**-10, 'G': 1.0}
_OPERATION = re.compile(r'= \S+ ([a-z][a-z\-]+)\(')
_ENVIRONMENT = {  # of JAX, which is to look for no TPU, nor for Google's metadata server
    'JAX_PLATFORMS': 'cpu',
    'TPU_SKIP_MDS_QUERY': '1',
    'TPU_WORKER_HOSTNAMES': 'localhost',
    'TPU_ACCELERATOR_TYPE': 'v5litepod-4',  # any: the topology decides
    'ALLOW_MULTIPLE_LIBTPU_LOAD': '1',  # several compilations at a time
}


def compile_module(path: str, topology: str, effort: str = '0') -> Any:
    """An executable for the first core; it cannot be run here.

    The `effort` for a quick program is from -1, the least, to 1.
    """
    os.environ.update(_ENVIRONMENT)  # before JAX is imported
    import jax  # noqa: F401 - before what is inside of it
    import numpy as np
    from jax._src import compiler
    from jax._src.interpreters import mlir
    from jax._src.lib import _jax, xla_client
    from jax._src.lib.mlir import ir
    from jax.experimental import topologies

    with open(path, 'rb') as f:
        computation = xla_client.XlaComputation(f.read())
    with mlir.make_ir_context():
        module = ir.Module.parse(_jax.mlir.xla_computation_to_mlir_module(computation))
    device = topologies.get_topology_desc(platform='tpu', topology_name=topology).devices[0]
    options = compiler.get_compile_options(
        num_replicas=1, num_partitions=1, device_assignment=np.array([[device.id]])
    )
    options.executable_build_options.exec_time_optimization_effort = float(effort)
    return device.client.compile(
        module, executable_devices=xla_client.DeviceList((device,)), compile_options=options
    )


def describe(executable: Any) -> dict:
    """Memory, bytes moved and the price of an executable."""
    memory, cost = executable.get_compiled_memory_stats(), executable.cost_analysis()
    cost = cost[0] if isinstance(cost, list) else cost
    found = price(executable.hlo_modules()[0].to_string())
    return {
        'outcome': 'compiles',
        'peak_gib': memory.peak_memory_in_bytes / GIB,
        'arguments_gib': memory.argument_size_in_bytes / GIB,
        'temporary_gib': memory.temp_size_in_bytes / GIB,
        'code_gib': memory.generated_code_size_in_bytes / GIB,
        'compiler_tflop': cost['flops'] / 1e12,
        'moved_gib': cost['bytes accessed'] / GIB,
        **found._asdict(),
    }


def explain(message: str) -> dict:
    """Why there is no executable: its memory, or the operation that the compiler refuses."""
    if used := _USED.search(message):
        return {'outcome': 'too large', 'peak_gib': float(used[1]) * _UNITS[used[2]]}
    operation = _OPERATION.search(message)
    first = message.strip().splitlines()[0]
    return {'outcome': 'refused', 'reason': f'{operation[1]}: {first}' if operation else first}


def peak_gib() -> float:
    """Most memory of this process so far; `getrusage` would count the one that started it, too."""
    with open('/proc/self/status') as f:
        return int(re.search(r'VmHWM:\s+(\d+) kB', f.read())[1]) / 2**20


def main() -> None:
    """Compiles what the arguments name."""
    try:
        found = describe(compile_module(*sys.argv[1:]))
    except Exception as error:
        found = explain(str(error) or repr(error))
    used = resource.getrusage(resource.RUSAGE_SELF)
    found['cpu_seconds'] = used.ru_utime + used.ru_stime
    found['compiler_gib'] = peak_gib()
    sys.stdout.write(json.dumps(found) + '\n')


if __name__ == '__main__':
    main()
