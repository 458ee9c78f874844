"""The exceptions: one tree, one class for each code."""

from __future__ import annotations

import pickle

import pytest

import repliq
from repliq import _repliq


def test_every_code_of_the_core_has_a_class_with_its_name_number_and_flags() -> None:
    classes = {one._code: one for one in repliq.Error.__subclasses__()}
    codes = _repliq.codes()
    assert [(code.name, code.value) for code in repliq.Code] == [row[:2] for row in codes]
    for name, number, flags in codes[1:]:
        error = classes[repliq.Code(number)]("text")
        words = "".join(part.capitalize() for part in name.split("_"))
        assert type(error).__name__ == words + "Error"
        assert (error.retriable, error.requires_rollback, error.fatal) == (
            bool(flags & 1),
            bool(flags & 2),
            bool(flags & 4),
        )
        assert getattr(repliq, words + "Error") is type(error)


def test_an_error_says_what_was_done_and_which_message_was_refused(queue: repliq.Queue) -> None:
    with pytest.raises(repliq.TooLargeError) as caught:
        queue.put_many([b"fine", repliq.Message(b"x", key=b"k" * 70_000)])
    error = caught.value
    assert error.code is repliq.Code.TOO_LARGE and error.message_index == 1
    assert "70000 bytes" in str(error) and error.cause is repliq.Code.OK
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error) and again.message_index == 1 and str(again) == str(error)


def test_three_of_them_are_builtin_exceptions_too(store: repliq.Store, queue: repliq.Queue) -> None:
    with pytest.raises(TimeoutError):
        slow = store.consumer("slow", queue)
        store.wait(queue.put(b"x"), at="consumer:slow", timeout=0.01)
    slow.close()
    with pytest.raises(ValueError):
        repliq.Token.parse("no token")
    assert issubclass(repliq.PermissionError, PermissionError)
