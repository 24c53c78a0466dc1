"""Content hashes: stable, sensitive to every byte and name, and independent of the cache."""

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from splatworks.pipeline import hashing
from splatworks.pipeline.errors import InputError
from splatworks.pipeline.hashing import hash_artifact, hash_directory, hash_file
from toys.kinds import TextDir, TextFile


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def large(path: Path, byte: bytes = b"x") -> Path:
    path.write_bytes(byte * (hashing.WORTH_CACHING_BYTES + 1))
    return path


def test_a_file_hashes_as_sha256sum_says(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"hello")
    assert hash_artifact(TextFile(path)) == hashlib.sha256(b"hello").hexdigest()


def test_a_sidecar_is_part_of_the_hash(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("hello")
    seen = {hash_artifact(TextFile(path))}
    for text in ("{}", "[]"):
        path.with_suffix(".json").write_text(text)
        seen.add(hash_artifact(TextFile(path)))
    assert len(seen) == 3
    path.with_suffix(".json").unlink()
    assert hash_artifact(TextFile(path)) in seen


names = st.sampled_from(["a", "b", "d/a", "d/b", "d/e/f", "ü", "a b"])


@settings(deadline=None, max_examples=30)
@given(
    files=st.dictionaries(names, st.binary(max_size=8), min_size=1),
    other=st.dictionaries(names, st.binary(max_size=8), min_size=1),
)
def test_directories_hash_alike_only_if_they_are_alike(
    tmp_path_factory: pytest.TempPathFactory, files: dict, other: dict
) -> None:
    def made(content: dict) -> Path:
        root = tmp_path_factory.mktemp("tree")
        for name, data in content.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(data)
        return root

    one, two = made(files), made(other)
    assert (hash_directory(one) == hash_directory(two)) == (files == other)
    assert hash_artifact(TextDir(one)) == hash_directory(made(files))


def test_large_files_are_remembered_and_changes_are_seen(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = large(tmp_path / "big")
    monkeypatch.setattr(hashing, "SETTLED_S", -60.0)
    first = hash_file(path)
    assert len(list((cache / "splatworks" / "hashes").rglob("*"))) == 2  # folder and entry
    monkeypatch.setattr(hashlib, "file_digest", None)  # Must not be needed again.
    assert hash_file(path) == first
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.setattr(hashing, "SETTLED_S", -60.0)
    times = path.stat()
    large(path, b"y")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # As a forger would.
    assert hash_file(path) != first


def test_a_file_that_was_just_written_is_not_remembered(tmp_path: Path, cache: Path) -> None:
    hash_file(large(tmp_path / "big"))
    assert not cache.exists()


def test_fresh_does_not_trust_the_cache(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashing, "SETTLED_S", -60.0)
    path = large(tmp_path / "big")
    right = hash_file(path)
    entry = next(p for p in cache.rglob("*") if p.is_file())
    entry.write_text("0" * 64)
    assert hash_file(path) == "0" * 64
    assert hash_file(path, fresh=True) == right
    assert hash_file(path) == right


def test_no_cache_directory_can_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(hashing, "SETTLED_S", -60.0)
    path = large(tmp_path / "big")
    assert hash_file(path) == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("damage", ["", "zz", "ü" * 64])
def test_a_damaged_cache_entry_is_ignored(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    monkeypatch.setattr(hashing, "SETTLED_S", -60.0)
    path = large(tmp_path / "big")
    right = hash_file(path)
    next(p for p in cache.rglob("*") if p.is_file()).write_text(damage)
    assert hash_file(path) == right


@pytest.mark.skipif(os.name == "nt", reason="links")
def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "x").write_text("1")
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "model").symlink_to("../blobs/x")
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "model").write_text("1")
    assert hash_directory(tree) == hash_directory(plain)
    (tree / "sub" / "up").symlink_to("..")
    with pytest.raises(InputError, match="links to its own parent"):
        hash_directory(tree)


@pytest.mark.skipif(os.name == "nt", reason="links")
def test_a_broken_link_is_named(tmp_path: Path) -> None:
    (tmp_path / "gone").symlink_to("nowhere")
    with pytest.raises(InputError, match="gone is neither a file"):
        hash_directory(tmp_path)
