"""Claims of several drivers on the same runs, and what becomes of them when a driver ends or stops."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from generate import leases as module
from generate.leases import EXPIRY_SECONDS, Leases


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.lease"))


def age(folder: Path, seconds: float) -> None:
    for path in files(folder):
        changed = path.stat().st_mtime - seconds
        os.utime(path, (changed, changed))


def test_a_claim_keeps_others_from_any_of_its_runs(tmp_path: Path) -> None:
    first, second = Leases(tmp_path), Leases(tmp_path)
    assert first.claim(["a", "b"])
    assert not second.claim(["b", "a"])
    assert not second.claim(["b", "c"]), "a pack that was formed otherwise"
    assert second.claim(["c", "d"])
    assert not first.claim(["d"])
    assert first.shared
    assert second.shared
    first.release(["a", "b"])
    assert second.claim(["b", "a"])
    second.close()
    assert not files(tmp_path)


def test_a_driver_alone_sees_no_other(tmp_path: Path) -> None:
    leases = Leases(tmp_path / "new")
    assert leases.claim(["a"])
    assert leases.claim(["b"])
    assert not leases.shared


def test_a_driver_sees_at_its_start_that_another_works(tmp_path: Path) -> None:
    first = Leases(tmp_path)
    first.claim(["a"])
    assert Leases(tmp_path).shared
    first.close()
    assert not Leases(tmp_path).shared


def test_a_claim_ends_with_its_process(tmp_path: Path) -> None:
    code = f"from pathlib import Path; from generate.leases import Leases; Leases(Path({str(tmp_path)!r})).claim(['a'])"
    process = subprocess.Popen([sys.executable, "-c", code + "; input()"], stdin=subprocess.PIPE)
    while not files(tmp_path):
        assert process.poll() is None
    second = Leases(tmp_path)
    assert not second.claim(["a"])
    process.kill()
    while Path(f"/proc/{process.pid}/stat").exists() and " Z " not in Path(f"/proc/{process.pid}/stat").read_text():
        pass
    assert second.claim(["a"]), "not yet waited for, and dead all the same"
    process.communicate()


def test_a_process_that_got_the_id_of_another_holds_nothing(tmp_path: Path) -> None:
    first = Leases(tmp_path)
    first.claim(["a"])
    (path,) = files(tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), "started": "1"}))
    assert Leases(tmp_path).claim(["a"])


def test_a_claim_that_nobody_renews_expires(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that was stopped, or one on another machine; it does not touch what is another's by then."""
    stopped, other = Leases(tmp_path), Leases(tmp_path)
    stopped.claim(["a"])
    age(tmp_path, EXPIRY_SECONDS - 10)
    assert not other.claim(["a"])
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.0)
    stopped.beat()
    age(tmp_path, 20)
    assert not other.claim(["a"]), "renewed"
    age(tmp_path, EXPIRY_SECONDS)
    assert other.claim(["a"])
    before = files(tmp_path)[0].read_text()
    age(tmp_path, 50)
    aged = files(tmp_path)[0].stat().st_mtime
    stopped.beat()
    stopped.close()
    assert files(tmp_path)[0].read_text() == before
    assert files(tmp_path)[0].stat().st_mtime == aged


def test_another_machine_s_process_ids_say_nothing(tmp_path: Path) -> None:
    Leases(tmp_path).claim(["a"])
    (path,) = files(tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), "machine": "another", "process": 2**22 + 1}))
    assert not Leases(tmp_path).claim(["a"])


@pytest.mark.parametrize("content", ["", "[]", '{"runs": 3}', "{"])
def test_a_damaged_lease_expires(content: str, tmp_path: Path) -> None:
    Leases(tmp_path).claim(["a"])
    files(tmp_path)[0].write_text(content)
    second = Leases(tmp_path)
    assert not second.claim(["a"])
    age(tmp_path, EXPIRY_SECONDS + 1)
    assert second.claim(["a"])


def test_where_no_lease_can_be_written_the_sweep_goes_on(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    leases = Leases(tmp_path / "file" / "leases")
    assert leases.claim(["a"])
    leases.beat()
    leases.close()
