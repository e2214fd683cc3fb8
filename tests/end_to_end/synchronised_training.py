"""train.py with an imitation of SyncBatchNorm for gloo: python synchronised_training.py <arguments of train.py>.

torch synchronises BatchNorm on CUDA only. The imitation exchanges as torch does: in training mode, and if the group of
the layer has more than one process.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from torch import distributed, nn

import common.distributed
import train


def forward(layer: nn.SyncBatchNorm, images: torch.Tensor) -> torch.Tensor:
    """Wait for all processes of the group in each forward pass, as the exchange of statistics does."""
    if layer.training and distributed.get_world_size(layer.process_group) > 1:
        distributed.all_reduce(images.detach().mean(), group=layer.process_group)
        print(f"exchanged on rank {distributed.get_rank()}", file=sys.stderr, flush=True)
    return nn.functional.batch_norm(
        images,
        layer.running_mean,
        layer.running_var,
        layer.weight,
        layer.bias,
        layer.training,
        layer.momentum or 0.1,
        layer.eps,
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    setattr(nn.SyncBatchNorm, "forward", forward)  # noqa: B010
    # torch's refusals on a CPU
    nn.parallel.DistributedDataParallel._passing_sync_batchnorm_handle = lambda self, module: None
    common.distributed.check_sync_batchnorm = lambda wanted, device: None
    sys.exit(train.main(sys.argv[1:]))
