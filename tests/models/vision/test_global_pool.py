import jax
import pytest

import jdl
from jdl.errors import UserError

POOLING = [
    "densenet121",
    "efficientnet_b0",
    "inception_resnet_v2",
    "inception_v3",
    "inception_v4",
    "mobilenet_v2",
    "resnet18",
]


@pytest.mark.parametrize("name", POOLING)
def test_networks_refuse_a_pooling_that_there_is_not(name):
    key = jax.eval_shape(lambda: jax.random.key(0))
    model = jdl.create_model(name, global_pool="mean")
    with pytest.raises(UserError, match="one of avg, max and avgmax, not 'mean'"):
        jax.eval_shape(model.init, key, *jdl.model_info(name).example)
