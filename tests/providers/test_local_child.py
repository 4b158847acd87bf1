"""What a local model's process leaves behind when it dies."""

import pytest

from execution_platform.providers.local.child import _FOLDERS


@pytest.mark.parametrize(
    ("log", "told"),
    [
        ("cannot open /opt/venv/lib/python3.11/model.gguf: no such file", "cannot open model.gguf: no such file"),
        ('File "/root/x y/server.py", line 3', 'File "x y/server.py", line 3'),
        ("GET http://127.0.0.1:1/v1/models", "GET http://127.0.0.1:1/v1/models"),
        ("either/or and 1/2", "either/or and 1/2"),
    ],
)
def test_a_callers_error_names_files_and_no_folders_of_the_machine(log: str, told: str) -> None:
    assert _FOLDERS.sub("", log) == told
