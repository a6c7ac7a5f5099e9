"""The line that says how far a run is."""

from __future__ import annotations

import io

import pytest

from bertcli.outputs.progress import Progress, clock_time, progress, progress_line


def test_the_line_has_count_rate_and_time_left() -> None:
    """The time left is known only where the total is."""
    assert progress_line(1500, 4500, 30.0) == "1,500 of 4,500 records  50.0/s  1:00 left"
    assert progress_line(1500, None, 3.0) == "1,500 records  500/s"
    assert progress_line(0, 10, 0.0) == "0 of 10 records  0.0/s"


def test_times_are_read_like_a_clock() -> None:
    """Seconds always have two digits."""
    assert [clock_time(s) for s in (5, 65, 3725)] == ["0:05", "1:05", "1:02:05"]


def test_it_draws_at_most_five_times_a_second_and_clears_up() -> None:
    """A hundred records in a second cost five drawings, and no trace stays."""
    now = iter(i / 100 for i in range(102))
    stream = io.StringIO()
    shown = Progress(100, stream, lambda: next(now))
    for _ in range(100):
        shown.advance()
    shown.clear()
    assert stream.getvalue().count("records") <= 5
    assert stream.getvalue().endswith("\r\x1b[K")


def test_it_is_silent_unless_enabled(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is written to a stderr that is no terminal, and never to stdout."""
    with progress(False, 10) as advance:
        advance(5)
    with progress(True, 10) as advance:
        advance(5)
    assert capsys.readouterr() == ("", "")
