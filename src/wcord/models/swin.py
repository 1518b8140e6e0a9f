"""A small Swin transformer for small pictures (Liu et al., ICCV 2021, arXiv 2103.14030), built of timm's modules."""

from torch import nn

from wcord.checks import UsageError, require_counts

PATCH, WINDOW, HEAD_WIDTH = 2, 4, 16
SIZE = (32, 32)
"""Height and width of the pictures if none are named."""


def small_swin(
    *,
    num_classes: int,
    in_channels: int,
    image_size: tuple[int, int] = SIZE,
    width: int = 48,
    depths: tuple[int, ...] = (2, 2, 2),
) -> nn.Module:
    """Return a Swin transformer with patches of 2×2 pixels and windows of 4×4 patches.

    Each stage but the first halves height and width and doubles the width; a head has 16 channels. There is no drop
    path. It is built for one size of pictures, since a stage whose map is smaller than a window has a window of its own
    size.

    Args:
        num_classes: number of logits.
        in_channels: channels of the input.
        image_size: height and width of the pictures.
        width: of the first stage.
        depths: blocks of each stage.

    Raises:
        UsageError: the sides are not multiples of 8 (of 2 to the power of the number of stages).

    >>> import torch
    >>> network = small_swin(num_classes=10, in_channels=1, image_size=(16, 16))
    >>> network(torch.zeros(2, 1, 16, 16)).shape
    torch.Size([2, 10])
    """
    require_counts(width=width, num_classes=num_classes, in_channels=in_channels)
    unit = PATCH * 2 ** (len(depths) - 1)
    if any(side % unit for side in image_size):
        near = max(unit, unit * round(image_size[0] / unit))
        raise UsageError(
            f"this Swin takes pictures whose sides are multiples of {unit}, received {image_size[0]}×{image_size[1]}: "
            f"resize them, e.g. --image-size {near}"
        )
    from timm.models.swin_transformer import SwinTransformer  # takes seconds, so only when it is used

    return SwinTransformer(
        img_size=image_size,
        patch_size=PATCH,
        in_chans=in_channels,
        num_classes=num_classes,
        embed_dim=width,
        depths=depths,
        num_heads=tuple(width * 2**stage // HEAD_WIDTH for stage in range(len(depths))),
        window_size=WINDOW,
        drop_path_rate=0.0,
    )
