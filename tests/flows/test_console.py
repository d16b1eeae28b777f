import pytest

from sarpipe.flows import console
from sarpipe.flows.console import Console


def test_where_there_is_no_terminal_a_line_is_written_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "LOG_SECONDS", 0.0)
    with Console() as screen:
        screen.progress("train", 3, 120, "loss 4.2")
        assert "train 3/120 loss 4.2\n" in capsys.readouterr().err
        monkeypatch.setattr(console, "LOG_SECONDS", 1e9)
        screen.progress("train", 4, 120, "loss 4.1")
        assert "4/120" not in capsys.readouterr().err
