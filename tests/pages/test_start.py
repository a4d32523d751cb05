"""What a start of the app says and asks for."""

from __future__ import annotations

import pytest
from streamlit import config, net_util
from streamlit.web import bootstrap


def test_a_start_names_its_address_and_asks_nobody_for_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ask(*_: object, **__: object) -> None:
        raise AssertionError("it asked the network for its own address")

    monkeypatch.setattr(net_util, "_make_blocking_http_get", ask)
    monkeypatch.setattr(net_util, "_external_ip", None)
    config.get_config_options(force_reparse=True)
    bootstrap._print_url(False)
    assert "http://localhost:8501" in capsys.readouterr().out
