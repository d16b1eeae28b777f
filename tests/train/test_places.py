import numpy as np
import torch

from sarpipe.train.places import dates_with_data


def test_which_dates_hold_data() -> None:
    frames = np.full((4, 4, 4, 64, 64), np.nan, np.float16)
    frames[0] = 1
    frames[1, [0, 2]] = 1
    frames[2, 3, 0, 5, 6] = 1
    there = dates_with_data(frames)
    assert there[:3].tolist() == [[True] * 4, [True, False, True, False], [False, False, False, True]]
    # Nothing is drawn from a place without any: its views are its cube.
    assert there[3].all()
    assert dates_with_data(frames[:0]).shape == (0, 4)
    assert torch.from_numpy(there).dtype == torch.bool
