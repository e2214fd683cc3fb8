"""The order of an epoch is a function of (seed, epoch), can be entered anywhere, and weighs classes as asked."""

import contextlib
import multiprocessing
import queue
import threading
import time
from multiprocessing.reduction import ForkingPickler

import cv2
import numpy as np
import pytest
import torch

import data.dataset
from common.errors import RunError
from configs.compose import compose
from data.dataloader import BatchReader, eval_loader, train_loader
from data.dataset import ImageDataset, Sample, collate
from data.sampler import EpochBatches
from data.table import read_table
from data.transforms import EvalTransform, TrainTransform
from tests.helpers import kill_workers

LABELS = np.array([0] * 90 + [1] * 10)


def batches_of(sampler="shuffle", epoch=0, first=0, seed=0, size=8):
    batches = EpochBatches(np.arange(100), LABELS, size, sampler, seed)
    batches.epoch, batches.first_batch = epoch, first
    return list(batches)


def rows_of(batches):
    return [row for batch in batches for _, row in batch]


@pytest.mark.parametrize("sampler", ["shuffle", "balanced", "sqrt"])
def test_an_epoch_can_be_entered_anywhere(sampler):
    whole = batches_of(sampler, epoch=3)
    assert batches_of(sampler, epoch=3, first=5) == whole[5:]
    assert {epoch for batch in whole for epoch, _ in batch} == {3}


def test_shuffling_takes_each_image_once_and_differs_by_epoch_and_seed():
    first = rows_of(batches_of())
    assert sorted(first) == list(range(100))
    assert first == rows_of(batches_of())
    assert first != rows_of(batches_of(epoch=1))
    assert first != rows_of(batches_of(seed=1))
    assert first != sorted(first)


def test_the_last_batch_is_what_is_left():
    assert [len(batch) for batch in batches_of()] == [8] * 12 + [4]


def test_a_single_image_left_over_joins_the_batch_before():
    assert [len(batch) for batch in batches_of(size=33)] == [33, 33, 34]
    assert [len(batch) for batch in batches_of(size=1)] == [1] * 100
    assert [len(batch) for batch in batches_of(size=500)] == [100]
    assert rows_of(batches_of(size=33, first=2)) == rows_of(batches_of(size=33))[66:]


@pytest.mark.parametrize(("sampler", "share"), [("balanced", 0.5), ("sqrt", 0.25)])
def test_samplers_weigh_classes(sampler, share):
    # weights 1/n give both classes one half; 1/sqrt(n) gives sqrt(90) : sqrt(10) = 3 : 1
    rows = [row for epoch in range(50) for row in rows_of(batches_of(sampler, epoch=epoch))]
    assert (LABELS[rows] == 1).mean() == pytest.approx(share, abs=0.03)


def reader_of(pictures, workers):
    """Return a reader of 16 images in batches of 4, and the batches whose `epoch` it follows."""
    table = read_table(pictures / "train.csv", pictures / "train")
    transform = TrainTransform(compose("config", ["model.input_size=32"]).augmentation.train, 32, seed=0)
    dataset = ImageDataset(table.image_dir, table.image_ids, table.labels, transform)
    batches = EpochBatches(np.arange(16), table.labels, 4, "shuffle", seed=0)
    return BatchReader(dataset, batches, workers), batches


def views_of(pictures, workers):
    """Return the image bytes of two epochs, by (epoch, index), from one loader with persistent workers."""
    loader, batches = reader_of(pictures, workers)
    views = {}
    for epoch in range(2):
        batches.epoch = epoch
        for batch in loader:
            assert batch.images.dtype == torch.uint8
            assert batch.images.is_contiguous(memory_format=torch.channels_last)
            views |= {
                (epoch, int(index)): image.numpy().tobytes()
                for index, image in zip(batch.indices, batch.images, strict=True)
            }
    return views


def test_views_are_the_same_from_any_number_of_workers_and_new_in_each_epoch(pictures):
    alone = views_of(pictures, workers=0)
    assert len(alone) == 32
    assert views_of(pictures, workers=2) == alone
    assert all(alone[0, index] != alone[1, index] for index in range(16))


@pytest.mark.integration
@pytest.mark.parametrize(("dies", "ahead"), [(True, False), (False, False), (False, True)])
def test_a_broken_hand_over_means_that_a_worker_died_or_is_raised(pictures, monkeypatch, dies, ahead):
    loads = getattr(ForkingPickler, "loads")  # noqa: B009
    broken, read = [], data.dataset.read_image

    def read_slowly(path, reduction):
        # so that the batch which is lost is not the one waited for
        time.sleep(1 if ahead and path.name == first else 0)
        return read(path, reduction)

    def break_off_once(pickled):
        if not broken and multiprocessing.parent_process() is None:
            broken.append(pickled)
            # seen dead only later, as after a kill by the system
            worker = multiprocessing.active_children()[0]
            threading.Timer(0.5, worker.kill if dies else int).start()
            raise ConnectionResetError(104, "Connection reset by peer")
        return loads(pickled)

    monkeypatch.setattr(ForkingPickler, "loads", break_off_once)
    monkeypatch.setattr(data.dataset, "read_image", read_slowly)
    reader, batches = reader_of(pictures, workers=2)
    first = reader.dataset.image_ids[next(iter(batches))[0][1]]
    if dies:
        assert sorted(int(index) for batch in reader for index in batch.indices) == list(range(16))
        assert broken
    else:
        with pytest.raises(ConnectionResetError):
            list(reader)
        kill_workers()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError("Unable to allocate 21.6 GiB"), "MemoryError: Unable to allocate 21.6 GiB"),
        (cv2.error("Insufficient memory"), "error: Insufficient memory"),
        (ValueError("boom"), "ValueError: boom"),
    ],
)
@pytest.mark.parametrize("workers", [0, 1])
def test_a_transform_that_fails_costs_its_image_alone(pictures, error, reason, workers):
    table = read_table(pictures / "train.csv", pictures / "train")
    dataset = ImageDataset(table.image_dir, table.image_ids, table.labels, FailsAtOne(error))
    (batch,) = BatchReader(dataset, [[(0, 4), (0, 5), (0, 6)]], num_workers=workers)
    assert batch.indices.tolist() == [4, 6]
    assert batch.skipped == [(5, reason)]


@pytest.mark.integration
@pytest.mark.parametrize("always", [False, True])
def test_a_thread_that_pins_memory_and_ends_is_replaced_at_most_a_few_times(pictures, monkeypatch, always):
    """torch looks at it only where it waits without a limit; there is no CUDA here, so its loop is replaced."""
    started = []

    def loop(received, handed_on, _device_id, done, _device):
        started.append(0)
        while (not always and len(started) > 1) and not done.is_set():
            with contextlib.suppress(queue.Empty):
                handed_on.put(received.get(timeout=0.1))

    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "current_device_index", lambda: 0)
    monkeypatch.setattr("torch.utils.data._utils.pin_memory._pin_memory_loop", loop)
    monkeypatch.setattr("data.dataloader.SECONDS_BETWEEN_CHECKS", 0.5)
    monkeypatch.setattr("data.dataloader.DEATHS_IN_A_ROW", 2)
    reader, _ = reader_of(pictures, workers=1)
    reader.pin_memory, reader.timeout = True, 20
    if always:
        with pytest.raises(RunError, match="thread that pins memory ended"):
            list(reader)
        assert len(started) == 3
    else:
        assert sorted(int(index) for batch in reader for index in batch.indices) == list(range(16))
        assert len(started) == 2


@pytest.mark.parametrize(
    "told",
    [
        "Couldn't open shared file mapping: <torch_4711_1>, error code: <1455>",
        "unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)",
    ],
)
@pytest.mark.slow
def test_workers_without_shared_memory_are_told_with_the_remedy(pictures, monkeypatch, told):
    def refuse(size):
        raise RuntimeError(told)

    monkeypatch.setattr(torch.UntypedStorage, "_new_shared", refuse)
    reader, _ = reader_of(pictures, workers=1)
    with pytest.raises(RunError, match=r"cannot hand images over .*dataset\.num_workers=1.*paging file") as found:
        list(reader)
    assert told in str(found.value)


@pytest.mark.slow
def test_workers_that_do_not_start_are_told_with_the_remedy(pictures, monkeypatch):
    def break_pipe(loader):
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr("torch.utils.data.DataLoader.__iter__", break_pipe)
    reader, _ = reader_of(pictures, workers=1)
    with pytest.raises(RunError, match=r"do not start .*Broken pipe.*dataset\.num_workers=1"):
        list(reader)


def test_workers_put_their_batches_where_the_main_process_reads_them(pictures, monkeypatch):
    dataset = ImageDataset(pictures, ["a", "b"], np.array([0, 1]), EvalTransform(8, 1.0))
    samples = [Sample(row, row, np.full((8, 8, 3), row, np.uint8)) for row in range(2)]
    assert not collate(samples).images.is_shared()
    monkeypatch.setattr("data.dataset.get_worker_info", lambda: dataset)
    batch = collate(samples)
    assert batch.images.is_shared()
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert batch.images.float().mean((1, 2, 3)).tolist() == [0, 1]


@pytest.mark.parametrize(("words", "workers"), [(["dataset.num_workers=5"], (5, 5)), ([], (3, 2))])
def test_a_number_given_by_hand_is_kept(pictures, monkeypatch, words, workers):
    monkeypatch.setattr("common.processors.usable_cores", lambda: 3)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    config = compose("config", ["model.input_size=32", *words])
    table = read_table(pictures / "train.csv", pictures / "train")
    device = torch.device("cpu")
    batches = EpochBatches(np.arange(16), table.labels, 4, "shuffle", seed=0)
    training = train_loader(config, table, batches, device)
    validation = eval_loader(config, table, [0, 1], device, beside_training=True)
    assert (training.num_workers, validation.num_workers) == workers
    assert eval_loader(config, table, [0, 1], device).num_workers == workers[0]


class FailsAtOne:
    """A transform that fails for row 5."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __call__(self, image, epoch, index):
        if index == 5:
            raise self.error
        return image[:8, :8]


def test_a_batch_of_unreadable_images_is_empty_and_says_why(tmp_path):
    dataset = ImageDataset(tmp_path, ["a.jpg", "b.jpg"], np.array([0, 1]), EvalTransform(8, 1.0))
    (tmp_path / "b.jpg").write_bytes(b"")
    batch = collate([dataset[0, 0], dataset[0, 1]])
    assert (len(batch.images), len(batch.labels)) == (0, 0)
    assert [index for index, _ in batch.skipped] == [0, 1]
    assert "No such file" in batch.skipped[0][1]
    assert "the file is empty" in batch.skipped[1][1]
