"""The SIMD vector type: every operation against NumPy, fewer lanes, and the kernels' cache."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from generate.engine.simd import tiles
from generate.engine.simd import vector as simd
from generate.engine.simd.compile import kernel, tree_digest
from generate.engine.simd.vector import LANES

Floats = np.ndarray[tuple[int], np.dtype[np.float32]]
ROOT = Path(__file__).parents[2]
TWO, THREE = (0,) * 2, (0,) * 3


@kernel("void(float32[::1], float32[::1], float32[::1])")
def _operations(a: Any, b: Any, out: Any) -> None:
    x, y = simd.load(a, 0), simd.load(b, 0)
    simd.store(out, 0 * LANES, x + y * 2.0)
    simd.store(out, 1 * LANES, 1.0 - x / y)
    simd.store(out, 2 * LANES, -x)
    simd.store(out, 3 * LANES, simd.maximum(x, y))
    simd.store(out, 4 * LANES, simd.minimum(x, y))
    simd.store(out, 5 * LANES, simd.where_positive(x, y))
    simd.store(out, 6 * LANES, simd.where_greater(x, y, simd.splat(3), simd.broadcast(b, 1)))
    simd.store(out, 7 * LANES, simd.copysign(y, x))
    simd.store(out, 8 * LANES, simd.sqrt(simd.absolute(x)))
    simd.store(out, 9 * LANES, simd.round_even(x * 2.0))
    simd.store(out, 10 * LANES, x * y + x)
    out[11 * LANES] = simd.total(x)
    out[11 * LANES + 1] = simd.largest(x)
    out[11 * LANES + 2] = simd.smallest(x)


@kernel("void(float32[::1], float32[::1])")
def _exp(a: Any, out: Any) -> None:
    for index in range(0, len(a), LANES):
        simd.store(out, index, simd.exp(simd.load(a, index)))


@kernel("void(float32[::1], float32[::1])")
def _tiles(a: Any, out: Any) -> None:
    rows = tiles.load_rows(a, 1, 40, THREE)
    simd.store(out, 0, tiles.combine(a, 2, rows))
    columns = tiles.load_rows(a, 7, 3, TWO)
    tile = tiles.load_tile(a, 0, 10, 5, THREE, TWO)
    tile = tiles.add_scaled(tile, a, 4, columns)
    tile = tiles.add_products(tile, a, 11, 6, columns)
    tiles.store_tile(out, LANES, 2 * LANES, LANES, TWO, tile)
    tiles.store_rows(out, 7 * LANES, LANES, tiles.positive_part(rows))
    tiles.store_rows(out, 10 * LANES, LANES, tiles.spread_tile(a, 3, TWO, TWO))
    tiles.store_rows(out, 14 * LANES, LANES, tiles.zero_tile(TWO, TWO))


def _random(size: int) -> Floats:
    numbers: Floats = np.random.default_rng(3).normal(size=size).astype(np.float32)
    return numbers


def test_operations_agree_with_numpy() -> None:
    x, y = _random(2 * LANES).reshape(2, LANES)
    out = np.full(12 * LANES, np.nan, np.float32)
    _operations(x.copy(), y.copy(), out)
    rows = out.reshape(12, LANES)
    expected = [
        x + y * 2,
        1 - x / y,
        -x,
        np.maximum(x, y),
        np.minimum(x, y),
        np.where(x > 0, y, 0),
        np.where(x > y, 3, y[1]),
        np.copysign(y, x),
        np.sqrt(np.abs(x)),
        np.rint(x * 2),
        x * y + x,
    ]
    for row, values in zip(rows, expected, strict=False):
        np.testing.assert_allclose(row, values, rtol=3e-7, atol=1e-7)
    np.testing.assert_allclose(rows[11, :3], [x.sum(), x.max(), x.min()], rtol=1e-6, atol=1e-6)


def test_exp_is_accurate_and_keeps_nan_and_infinity() -> None:
    inside = np.linspace(-86.9, 88.2, 64 * LANES).astype(np.float32)
    outside = np.resize(np.array([-np.inf, -100, 89, np.inf, np.nan], np.float32), 5 * LANES)
    out = np.empty_like(inside)
    _exp(inside, out)
    np.testing.assert_allclose(out, np.exp(inside.astype(np.float64)), rtol=3e-7)
    out = np.empty_like(outside)
    _exp(outside, out)
    np.testing.assert_array_equal(out[:5], [0, 0, np.inf, np.inf, np.nan])


def test_tiles_agree_with_numpy() -> None:
    a = _random(200)
    out = np.full(18 * LANES, np.nan, np.float32)
    _tiles(a, out)
    got = out.reshape(18, LANES)

    def at(index: int) -> Floats:
        return a[index : index + LANES]

    rows, columns = [at(1 + 40 * i) for i in range(3)], [at(7), at(10)]
    np.testing.assert_allclose(got[0], sum(a[2 + i] * rows[i] for i in range(3)), rtol=1e-5, atol=1e-6)
    for i in range(3):
        for j in range(2):
            expected = at(10 * i + 5 * j) + a[4 + i] * columns[j] + at(11 + 6 * i) * columns[j]
            np.testing.assert_allclose(got[1 + 2 * i + j], expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(got[7 + i], np.maximum(rows[i], 0))
    np.testing.assert_array_equal(got[10:14, 0], a[[3, 3, 4, 4]])
    np.testing.assert_array_equal(got[14:], 0)


@pytest.mark.parametrize(
    ("features", "lanes"), [("+sse2", 4), ("+avx,+avx2,-avx512f", 8), ("+avx2,+avx512f", 16), ("", 4), ("+neon", 4)]
)
def test_lanes_follow_the_features_of_the_machine(features: str, lanes: int) -> None:
    assert simd.lanes_for(features) == lanes


def run_python(code: str, cache: Path, cwd: str = str(ROOT), **environment: str) -> subprocess.Popen[str]:
    """Start a fresh interpreter in a folder, the checkout by default, with its own kernel cache."""
    settings = {**os.environ, "NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": str(ROOT), **environment}
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=cwd, env=settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize(
    ("features", "lanes"),
    [
        pytest.param("+sse2", 4),
        pytest.param("+avx2,+fma", 8, marks=pytest.mark.skipif(LANES < 8, reason="this machine has no AVX2")),
    ],
)
def test_operations_agree_with_numpy_on_smaller_machines(tmp_path: Path, features: str, lanes: int) -> None:
    code = (
        "from tests.generate import test_simd as t\n"
        "t.test_operations_agree_with_numpy()\n"
        "t.test_tiles_agree_with_numpy()\n"
        "print(t.LANES)"
    )
    process = run_python(code, tmp_path, NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES=features)
    out, error = process.communicate(timeout=120)
    assert (process.returncode, out.strip()) == (0, str(lanes)), error


KERNEL = """
from generate.engine.simd.compile import kernel
from toy_kernel_part import offset

@kernel("float64(float64)")
def shifted(x):
    return x + offset()

print(shifted(1.0), sum(shifted.stats.cache_hits.values()))
"""
PART = """
from generate.engine.simd.compile import part

@part
def offset():
    return {}
"""


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    """A copy of the vector type's package, with a kernel in one folder that calls a part in another."""
    engine = tmp_path / "generate" / "engine"
    for folder in ("", "simd"):
        (engine / folder).mkdir(parents=True, exist_ok=True)
        for source in (ROOT / "generate" / "engine" / folder).glob("*.py"):
            (engine / folder / source.name).write_bytes(source.read_bytes())
    for folder in ("toy", "deep", "deep/deeper"):
        (engine / folder).mkdir()
    (tmp_path / "generate" / "__init__.py").write_text("")
    (engine / "toy" / "kernel.py").write_text(KERNEL.replace("toy_kernel_part", "generate.engine.deep.deeper.part"))
    (engine / "deep" / "deeper" / "part.py").write_text(PART.format(1))
    return engine


def test_cached_kernels_follow_changes_anywhere_in_the_engine(engine: Path, tmp_path: Path) -> None:
    part = engine / "deep" / "deeper" / "part.py"

    def answer() -> str:
        process = run_python(
            "import generate.engine.toy.kernel", tmp_path / "cache", str(tmp_path), PYTHONPATH=str(tmp_path)
        )
        out, error = process.communicate(timeout=120)
        return out.strip() or error

    assert [answer(), answer()] == ["2.0 0", "2.0 1"]
    # As long as before, and as old: only the content tells.
    age = part.stat()
    part.write_text(PART.format(7))
    os.utime(part, ns=(age.st_atime_ns, age.st_mtime_ns))
    assert answer() == "8.0 0"


def test_the_stamp_of_the_cache_covers_the_whole_engine(engine: Path) -> None:
    seen = [tree_digest(engine), tree_digest(engine)]
    assert len(set(seen)) == 1
    for path in sorted(engine.rglob("*.py")):
        path.write_bytes(path.read_bytes() + b"\n")
        seen.append(tree_digest(engine))
        path.rename(path.with_name("moved.py"))
        seen.append(tree_digest(engine))
        path.with_name("moved.py").rename(path)
    assert len(set(seen)) == len(seen) - 1


TYPED_KERNEL = """
from numba import typeof, types
from generate.engine.simd.compile import kernel
from {module} import Pair

@kernel(types.float64(typeof(Pair(1.0, 2.0))))
def difference(pair):
    return pair.first - pair.second

print(difference(Pair(5.0, 3.0)))
"""
PAIR = """
from typing import NamedTuple

class Pair(NamedTuple):
    first: float
    second: float
"""


def test_a_cache_that_names_a_type_which_has_moved_is_made_anew(tmp_path: Path) -> None:
    for module in ("old_place", "new_place"):
        (tmp_path / "toy_kernel.py").write_text(TYPED_KERNEL.format(module=module))
        (tmp_path / f"{module}.py").write_text(PAIR)
        process = run_python("import toy_kernel", tmp_path / "cache", PYTHONPATH=f"{ROOT}{os.pathsep}{tmp_path}")
        out, error = process.communicate(timeout=120)
        assert out.strip() == "2.0", error
        (tmp_path / f"{module}.py").unlink()


def test_workers_that_start_together_share_an_empty_cache(tmp_path: Path) -> None:
    (tmp_path / "toy_kernel.py").write_text(KERNEL)
    (tmp_path / "toy_kernel_part.py").write_text(PART.format(1))
    path = f"{ROOT}{os.pathsep}{tmp_path}"
    workers = [run_python("import toy_kernel", tmp_path / "cache", PYTHONPATH=path) for _ in range(2)]
    ends = [worker.communicate(timeout=120) for worker in workers]
    assert [out.split()[0] for out, _ in ends] == ["2.0", "2.0"], ends
    later = run_python("import toy_kernel", tmp_path / "cache", PYTHONPATH=path)
    assert later.communicate(timeout=120)[0].strip() == "2.0 1"


def test_kernels_compile_without_any_writable_cache(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    environment = {"HOME": str(blocked), "XDG_CACHE_HOME": str(blocked), "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    (tmp_path / "toy_kernel_part.py").write_text(PART.format(1))
    code = "exec(open(" + repr(str(tmp_path / "toy.txt")) + ").read())"
    (tmp_path / "toy.txt").write_text(KERNEL.replace("sum(shifted.stats.cache_hits.values())", "0"))
    process = run_python(code, blocked / "cache", **environment)
    out, error = process.communicate(timeout=120)
    assert out.strip() == "2.0 0", error
