import pytest
import timm
import torch

from tests.models.encoders import SMP, TIMM, encoder_of


@pytest.fixture(scope="session")
def weights() -> dict[str, torch.Tensor]:
    """A state dict of smp's encoder."""
    torch.manual_seed(1)
    return encoder_of(SMP).state_dict()


@pytest.fixture(scope="session")
def classifier() -> dict[str, torch.Tensor]:
    """A state dict of a whole timm model, with its classification head."""
    torch.manual_seed(2)
    return timm.create_model(TIMM).state_dict()
