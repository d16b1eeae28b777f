import os
import subprocess
import sys

ALONE = """
import os
from pathlib import Path
import torch
from sarpipe.ssl import processes

with processes.joined("cpu"):
    torch.optim.AdamW(torch.nn.Linear(2, 2).parameters())
    processes.wait(torch.device("cpu"))
    print(*(task.joinpath("comm").read_text().strip() for task in Path("/proc/self/task").iterdir()))
print(*(task.joinpath("comm").read_text().strip() for task in Path("/proc/self/task").iterdir()))
"""


def test_of_a_group_that_is_left_no_thread_stays() -> None:
    where = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(
        [sys.executable, "-c", ALONE], env={**os.environ, **where}, capture_output=True, text=True, check=True
    )
    within, afterwards = done.stdout.splitlines()
    assert "gloo" in within
    assert "gloo" not in afterwards
