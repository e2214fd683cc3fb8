"""CUDA graphs: the kernels of a forward pass are recorded once for each shape, and start by one command."""

import threading
from collections.abc import Hashable

import torch
from torch import nn

from common.errors import print_warning

# a larger batch keeps the GPU busy for longer than its kernels take to start
LARGEST_BATCH = 16

# each graph keeps the memory of its activations
SHAPES = 4


class GraphedModel(nn.Module):
    """A model in evaluation mode that records a graph when a small shape comes for the second time.

    Where recording fails, each pass starts its kernels one by one, as without graphs.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self._graphs: dict[Hashable, _Graph | None] = {}
        self._works = True
        # a graph has one input: two threads must not fill it at once
        self._lock = threading.Lock()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the model's output for images (N, 3, H, W)."""
        if not self._works or len(images) > LARGEST_BATCH:
            return self.model(images)
        with self._lock:
            graph = self._graph_of(images)
            return self.model(images) if graph is None else graph.replay(images)

    def forget_graphs(self) -> None:
        """Give the graphs' memory back, and record no more."""
        self._works = False
        self._graphs.clear()

    def _graph_of(self, images: torch.Tensor) -> "_Graph | None":
        # a tensor made in inference mode cannot be filled outside it
        key = (images.shape, images.dtype, torch.is_inference_mode_enabled())
        if self._graphs.get(key) is None and key in self._graphs:
            self._graphs[key] = self._recorded(images)
        graph = self._graphs.pop(key, None)
        # the shape used last stands last
        self._graphs[key] = graph
        if len(self._graphs) > SHAPES:
            del self._graphs[next(iter(self._graphs))]
        return graph

    def _recorded(self, images: torch.Tensor) -> "_Graph | None":
        try:
            return _Graph(self.model, images)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:200]
        print_warning(f"the model runs without a CUDA graph, which takes longer for single images: {reason}")
        self.forget_graphs()
        return None


class _Graph:
    """The recorded pass of one shape, with its own input and output."""

    def __init__(self, model: nn.Module, images: torch.Tensor) -> None:
        self.images = images.clone()
        current, stream = torch.cuda.current_stream(images.device), torch.cuda.Stream(images.device)
        stream.wait_stream(current)
        self.graph = torch.cuda.CUDAGraph()
        # around both, because torch leaves its own stream in place where a recording cannot be ended
        with torch.cuda.stream(stream):
            # libraries set up their workspaces, which cannot be recorded
            model(self.images)
            current.wait_stream(stream)
            # other threads may allocate meanwhile: those that read images do
            with torch.cuda.graph(self.graph, stream=stream, capture_error_mode="thread_local"):
                self.output = model(self.images)

    def replay(self, images: torch.Tensor) -> torch.Tensor:
        """Return the output for images of the recorded shape."""
        self.images.copy_(images)
        self.graph.replay()
        # the next replay overwrites it
        return self.output.clone()
