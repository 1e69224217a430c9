"""The towers compute what open_clip computes, without batch norms and with the normalisation inside."""

import open_clip
import torch

from serve_app.models.demo import demo_model_folder
from serve_app.models.load import load_model
from serve_app.models.tower import ImageFeatures


def has_batch_norms(module):
    return any(isinstance(each, torch.nn.BatchNorm2d) for each in module.modules())


@torch.inference_mode()
def test_a_tower_of_convolutions_loses_its_batch_norms_and_nothing_else():
    views = torch.randint(0, 256, (3, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    network = open_clip.create_model(f"local-dir:{demo_model_folder()}").eval()
    assert has_batch_norms(network.visual)
    planes = (views.permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.25
    expected = network.encode_image(planes, normalize=True)

    features = ImageFeatures(load_model("embedded:demo-shapes")).eval()

    assert not has_batch_norms(features)
    torch.testing.assert_close(features(views), expected, atol=1e-5, rtol=0)


class Wayward(torch.nn.Module):
    """A tower whose way depends on what it sees, which torch.fx cannot follow."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 8, 8), torch.nn.BatchNorm2d(4), torch.nn.Flatten())

    def forward(self, planes):
        return self.layers(planes) if planes.sum() > 0 else self.layers(-planes)


@torch.inference_mode()
def test_a_tower_that_cannot_be_followed_keeps_its_batch_norms(make_model):
    model = load_model(str(make_model("tiny")))
    model.network.visual = Wayward().eval()
    features = ImageFeatures(model).eval()
    assert has_batch_norms(features)
    assert torch.isfinite(features(torch.zeros((2, 32, 32, 3), dtype=torch.uint8))).all()


@torch.inference_mode()
def test_a_transformer_computes_what_open_clip_computes_from_normalised_planes(make_model):
    model = load_model(str(make_model("tiny")))
    views = torch.randint(0, 256, (3, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    planes = ((views.float() / 255 - torch.tensor(model.mean)) / torch.tensor(model.std)).permute(0, 3, 1, 2)
    expected = torch.nn.functional.normalize(model.network.visual(planes), dim=-1)
    for _ in range(2):  # making features of a model leaves the model as it is
        torch.testing.assert_close(ImageFeatures(model).eval()(views), expected, atol=1e-5, rtol=0)
