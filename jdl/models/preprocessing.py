"""What published weights expect of photographs, by the reference that they belong to.

Where torchvision has several weights for a network, it is the first, IMAGENET1K_V1; ViT-H/14 has
none of that name, and IMAGENET1K_SWAG_LINEAR_V1 is the one for images of 224 pixels. Of timm, it is
the weights that the name alone stands for.
"""

from jdl.ops.preprocessing import Preprocessing

_STANDARD = Preprocessing()
_BICUBIC = Preprocessing(interpolation="bicubic")
# From −1 to 1, as the Inceptions and timm's vision transformers were trained.
_HALF = (0.5, 0.5, 0.5)
_VIT_TIMM = Preprocessing(248, 224, _HALF, _HALF, "bicubic")

PREPROCESSING: dict[str, Preprocessing] = {
    **{
        f"torchvision:{name}": _STANDARD
        for name in (
            "alexnet",
            *("densenet121", "densenet161", "densenet169", "densenet201"),
            "mobilenet_v2",
            *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
            *("vgg11", "vgg13", "vgg16", "vgg19"),
            *("vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn"),
            *("vit_b_16", "vit_b_32", "vit_l_32"),
        )
    },
    **{
        f"torchvision:efficientnet_b{i}": Preprocessing(resize, crop, interpolation="bicubic")
        for i, (resize, crop) in enumerate(
            (
                *((256, 224), (256, 240), (288, 288), (320, 300)),
                *((384, 380), (456, 456), (528, 528), (600, 600)),
            )
        )
    },
    # torchvision normalises for ImageNet, and these two shift that to −1 … 1 as they begin; here
    # they do so only with `transform_input`.
    "torchvision:googlenet": Preprocessing(256, 224, _HALF, _HALF),
    "torchvision:inception_v3": Preprocessing(342, 299, _HALF, _HALF),
    "torchvision:swin_t": Preprocessing(232, 224, interpolation="bicubic"),
    "torchvision:swin_s": Preprocessing(246, 224, interpolation="bicubic"),
    "torchvision:swin_b": Preprocessing(238, 224, interpolation="bicubic"),
    "torchvision:vit_l_16": Preprocessing(242, 224),
    "torchvision:vit_h_14": Preprocessing(224, 224, interpolation="bicubic"),
    "timm:efficientnet_lite0": _BICUBIC,
    "timm:inception_resnet_v2": Preprocessing(333, 299, _HALF, _HALF, "bicubic"),
    "timm:inception_v4": Preprocessing(341, 299, _HALF, _HALF, "bicubic"),
    "timm:mobilenetv2_140": _BICUBIC,
    "timm:swin_large_patch4_window7_224": Preprocessing(248, 224, interpolation="bicubic"),
    "timm:vit_small_patch16_224": _VIT_TIMM,
    "timm:vit_tiny_patch16_224": _VIT_TIMM,
}
