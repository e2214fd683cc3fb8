# The kit on the torch of an image for NVIDIA GPUs. Build and run:
#   docker build --build-arg USER_ID=$(id -u) -t flower-kit .
#   docker run --gpus all --shm-size=8g -it -v "$PWD/data/flower100:/kit/data/flower100" -v "$PWD/results:/kit/results" flower-kit
# Processes that read images hand them over in shared memory, of which Docker gives 64 MB by default.
FROM pytorch/pytorch:2.7.1-cuda12.8-cudnn9-runtime

ENV PIP_NO_CACHE_DIR=1 PYTHONUTF8=1 PYTHONUNBUFFERED=1

# a user who can write the folders that are mounted: its number is that of the first user of most machines
ARG USER_ID=1000
RUN useradd --create-home --non-unique --uid ${USER_ID} flower
WORKDIR /kit
RUN chown flower /kit

# before the code, so that a changed line of code installs nothing again
COPY requirements.txt install_beside_torch.py ./
RUN python install_beside_torch.py

COPY --chown=flower *.py *.md pyproject.toml LICENSE requirements*.txt ./
COPY --chown=flower autopilot autopilot
COPY --chown=flower benchmarks benchmarks
COPY --chown=flower cli cli
COPY --chown=flower common common
COPY --chown=flower competition competition
COPY --chown=flower configs configs
COPY --chown=flower data data
COPY --chown=flower evaluation evaluation
COPY --chown=flower models models
COPY --chown=flower prediction prediction
COPY --chown=flower results results
COPY --chown=flower studio studio
COPY --chown=flower tools tools
COPY --chown=flower training training

USER flower
CMD ["bash"]
