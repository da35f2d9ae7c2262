import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from support.code_blocks import ROOT, blocks

from keras_smes.data.store.cache import cache_folder, cached, fingerprints

GUIDE = ROOT / "docs" / "guides" / "own_log.md"

RECIPE = {"sources": ("a", 1), "rows": 3}


def build(out: Path) -> dict[str, object]:
    (out / "deep").mkdir()
    (out / "deep" / "numbers").write_text("1 2 3")
    return {"count": 3, "pair": (1, 2)}


def never(out: Path) -> dict[str, object]:
    raise AssertionError(f"made again in {out}")


def test_is_made_once_and_found_again(tmp_path: Path) -> None:
    folder, values = cached(tmp_path, "numbers", RECIPE, build)
    assert folder.parent == tmp_path
    assert folder.name.startswith("numbers-")
    assert (folder / "deep" / "numbers").read_text() == "1 2 3"
    assert values == {"count": 3, "pair": [1, 2]}
    assert cached(tmp_path, "numbers", dict(reversed(RECIPE.items())), never) == (folder, values)
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_what_was_not_used_for_long_is_deleted_by_the_command_of_the_guide(tmp_path: Path) -> None:
    cache = tmp_path / ".cache" / "keras_smes"
    old, used = (cached(cache, "numbers", {**RECIPE, "rows": rows}, build)[0] for rows in (1, 2))
    inner, _ = cached(used, "inner", RECIPE, build)
    long_ago = time.time() - 40 * 86_400
    for folder in (old, used, inner):
        os.utime(folder / "manifest.json", (long_ago, long_ago))
    cached(cache, "numbers", {**RECIPE, "rows": 2}, never)
    (command,) = (code for _, code in blocks(GUIDE.read_text(encoding="utf-8"), "bash") if "find" in code)
    subprocess.run(["bash", "-c", command], env={**os.environ, "HOME": str(tmp_path)}, check=True)
    assert [folder.exists() for folder in (old, used, inner)] == [False, True, False]
    assert cached(cache, "numbers", {**RECIPE, "rows": 2}, never)[0] == used


def test_another_recipe_is_another_folder(tmp_path: Path) -> None:
    one, _ = cached(tmp_path, "numbers", RECIPE, build)
    other, _ = cached(tmp_path, "numbers", {**RECIPE, "rows": 4}, build)
    assert one != other


def test_what_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    def half(out: Path) -> dict[str, object]:
        (out / "numbers").write_text("1")
        raise RuntimeError("no space left")

    with pytest.raises(RuntimeError, match="no space left"):
        cached(tmp_path, "numbers", RECIPE, half)
    assert list(tmp_path.iterdir()) == []
    cached(tmp_path, "numbers", RECIPE, build)


def test_the_slower_of_two_builders_waits_and_takes_what_the_faster_made(tmp_path: Path) -> None:
    is_building, may_end, found = threading.Event(), threading.Event(), []

    def slow(out: Path) -> dict[str, object]:
        is_building.set()
        assert may_end.wait(30)
        return build(out)

    first = threading.Thread(target=lambda: found.append(cached(tmp_path, "numbers", RECIPE, slow)))
    first.start()
    assert is_building.wait(30)
    second = threading.Thread(target=lambda: found.append(cached(tmp_path, "numbers", RECIPE, never)))
    second.start()
    second.join(0.3)
    assert second.is_alive()
    may_end.set()
    first.join()
    second.join()
    assert found[0] == found[1]
    assert list(tmp_path.iterdir()) == [found[0][0]]


def test_what_a_killed_builder_left_is_cleared(tmp_path: Path) -> None:
    folder, _ = cached(tmp_path, "numbers", RECIPE, build)
    folder.rename(tmp_path / f".{folder.name}")  # as a process that was killed before the renaming leaves it
    (tmp_path / f".{folder.name}" / "half").write_text("")
    assert cached(tmp_path, "numbers", RECIPE, build)[0] == folder
    assert not (folder / "half").exists()
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("damage", ["cut short", "removed", "no manifest", "other manifest"])
def test_damage_is_refused(tmp_path: Path, damage: str) -> None:
    folder, _ = cached(tmp_path, "numbers", RECIPE, build)
    manifest = folder / "manifest.json"
    if damage == "cut short":
        (folder / "deep" / "numbers").write_text("1")
    elif damage == "removed":
        (folder / "deep" / "numbers").unlink()
    elif damage == "no manifest":
        manifest.unlink()
    else:
        manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "recipe": {}}))
    with pytest.raises(ValueError, match="is damaged: delete it"):
        cached(tmp_path, "numbers", RECIPE, never)


def test_fingerprints_tell_a_changed_file(tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    file.write_text("1,2")
    before = fingerprints([file])
    assert before == fingerprints([file])
    os.utime(file, ns=(1, 1))
    after = fingerprints([file])
    assert after != before
    file.write_text("1,2,3")
    assert fingerprints([file]) not in (before, after)


def test_where_caches_lie(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KERAS_SMES_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    assert cache_folder("here") == Path("here")
    monkeypatch.delenv("KERAS_SMES_CACHE")
    assert cache_folder() == Path.home() / ".cache" / "keras_smes"


def build_slowly(folder: Path) -> dict[str, int]:
    for number in range(20):
        (folder / f"{number}.bin").write_bytes(bytes(1000))
        time.sleep(0.002)
    return {"files": 20}


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.8, 0.95, 1.0, 1.1])
def test_a_builder_killed_at_any_moment_leaves_a_whole_folder_or_none(tmp_path: Path, share: float) -> None:
    started = time.perf_counter()
    cached(tmp_path / "apart", "made", {}, build_slowly)
    seconds = time.perf_counter() - started
    child = os.fork()
    if not child:
        cached(tmp_path, "made", {}, build_slowly)
        os._exit(0)
    time.sleep(share * seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    there = [path for path in tmp_path.glob("made-*") if path.is_dir()]
    assert all(len(list(path.glob("*.bin"))) == 20 for path in there)
    folder, values = cached(tmp_path, "made", {}, build_slowly)
    assert values == {"files": 20}
    assert [path.stat().st_size for path in folder.glob("*.bin")] == [1000] * 20
    assert not [path for path in tmp_path.glob(".made-*") if path.is_dir()]
