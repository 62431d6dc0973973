"""Locks on files: held by one at a time, ended with their block, and missing on some machines."""

import errno
import threading

import pytest

from labutils import locks
from labutils.locks import locked


@pytest.fixture
def refuse(monkeypatch):
    """`refuse(number)`: from now on flock fails with this error, as Lustre's and FUSE's do."""

    def install(number):
        def flock(file, how):
            raise OSError(number, "Operation not supported")

        monkeypatch.setattr(locks.fcntl, "flock", flock)
        locks._tell_no_locks.cache_clear()

    return install


def test_one_at_a_time_and_the_other_is_told_once(tmp_path):
    path, order = tmp_path / "a" / ".lock", []
    asked, done = threading.Event(), threading.Event()

    def other():
        with locked(path, lambda: (order.append("waits"), asked.set())) as held:
            order.append(("other", held))
        done.set()

    with locked(path) as held:
        thread = threading.Thread(target=other)
        thread.start()
        assert asked.wait(20) and not done.wait(0.1)
        order.append(("first", held))
    thread.join(20)
    assert order == ["waits", ("first", True), ("other", True)]


def test_who_does_not_want_to_wait_is_refused(tmp_path):
    path = tmp_path / ".lock"
    with locked(path), pytest.raises(BlockingIOError), locked(path, wait=False):
        raise AssertionError("two have the lock")
    with locked(path, wait=False) as held:
        assert held


@pytest.mark.parametrize("number", [errno.ENOTSUP, errno.ENOSYS, errno.ENOLCK])
def test_where_a_file_system_has_no_locks_work_goes_on_and_one_line_tells(
    tmp_path, caplog, refuse, number
):
    refuse(number)
    for name in ("one.lock", "other.lock"):
        with locked(tmp_path / name, pytest.fail) as held:
            assert held is False
    (record,) = caplog.records
    assert record.message == (
        f"no locks in {tmp_path} (Operation not supported): of several processes each may do the "
        "same work"
    )
    with locked(tmp_path / "another" / "lock"):
        assert len(caplog.records) == 2, "each folder is told of"


def test_an_interruption_is_no_missing_lock(tmp_path, refuse):
    refuse(errno.EINTR)
    with pytest.raises(InterruptedError), locked(tmp_path / "lock"):
        raise AssertionError("it went on without the lock")


def test_what_goes_wrong_while_waiting_is_not_taken_for_a_missing_lock(tmp_path):
    def broken():
        raise BrokenPipeError("nobody reads")

    with locked(tmp_path / "lock"), pytest.raises(BrokenPipeError):
        with locked(tmp_path / "lock", broken):
            raise AssertionError("two have the lock")


def test_windows_has_none(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "fcntl", None)
    with locked(tmp_path / "lock") as first, locked(tmp_path / "lock") as second:
        assert (first, second) == (False, False)


def test_a_folder_that_can_not_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError), locked(tmp_path / "file" / "folder" / "lock"):
        raise AssertionError("there is no such file")
