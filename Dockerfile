# The command `tfunc` in a container, for processors or for NVIDIA GPUs:
#     docker build --tag tfunc .
#     docker build --tag tfunc:gpu --build-arg EXTRAS=gpu .
#     docker run --rm --user "$(id -u):$(id -g)" --volume "$PWD:/study" tfunc train --method=baseline --dataset=brats
# With GPUs, `docker run --gpus all`, which needs NVIDIA's container toolkit on the host; CUDA itself comes with the packages.
ARG BASE=python:3.12.12-slim-bookworm

FROM ${BASE} AS wheel
WORKDIR /source
COPY setup.cfg pyproject.toml PACKAGE.md LICENSE ./
COPY data_prep data_prep
COPY tfunc tfunc
COPY launch launch
RUN python -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM ${BASE}
# extras of setup.cfg, such as gpu, or gpu,serving
ARG EXTRAS=""
COPY constraints/current.txt /opt/tfunc/constraints.txt
COPY --from=wheel /wheels /opt/tfunc/wheels
RUN wheel="$(echo /opt/tfunc/wheels/*.whl)" \
    && python -m pip install --no-cache-dir -c /opt/tfunc/constraints.txt "${wheel}${EXTRAS:+[$EXTRAS]}" \
    && useradd --create-home --uid 1000 tfunc
ENV TF_CPP_MIN_LOG_LEVEL=2 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
# data, runs and maps are wherever the user mounts a folder
WORKDIR /study
RUN chown tfunc:tfunc /study
USER 1000
ENTRYPOINT ["tfunc"]
CMD ["--help"]
