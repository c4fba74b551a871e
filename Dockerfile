# The image that pipelines run in: `make image IMAGE=name` builds it, `make image-check` executes
# its steps where no container engine is. docs/production.md says what it is for.
#
# DEVICE is what training finds: cpu, gpu (CUDA, from PyPI) or tpu (libtpu, from Google).
# The stage `beam` is the same for the workers of Dataflow, which start another command as root.
# A build goes through the stages that it needs alone (BuildKit, podman).
ARG DEVICE=cpu

# Everything that requirements.in asks for, in the versions of the lock: no developers' packages.
FROM python:3.10-slim-bookworm AS packages
ARG DEVICE
# crcmod and pyfarmhash come as source; the compiler stays behind in this stage
RUN apt-get update -q && apt-get install -yq --no-install-recommends g++
WORKDIR /build
COPY requirements.in requirements.lock requirements-gpu.lock requirements-tpu.lock ./
RUN python -m pip install -q --no-cache-dir --disable-pip-version-check "$(grep '^uv==' requirements.lock)"
# TFX's bound on tensorflow-hub is overridden (see CONTRIBUTING.md). tensorflow-tpu takes the place
# of tensorflow, which others ask for; it comes with libtpu, which is on Google's own list alone.
RUN grep '^tensorflow-hub==' requirements.lock > overrides \
 && case "$DEVICE" in \
      cpu) : ;; \
      gpu) more='-r requirements-gpu.lock' ;; \
      tpu) more='-r requirements-tpu.lock' && echo "tensorflow; sys_platform == 'none'" >> overrides ;; \
      *) echo "DEVICE must be cpu, gpu or tpu, got '$DEVICE'" >&2 && exit 2 ;; \
    esac \
 && uv venv -q /opt/avmae \
 && uv pip install -q --no-cache --compile-bytecode --python /opt/avmae/bin/python \
      -r requirements.in $more --constraint requirements.lock --override overrides

FROM python:3.10-slim-bookworm AS cpu
ARG AVMAE_COMMIT=unknown
COPY --from=packages /opt/avmae /opt/avmae
COPY requirements.lock /opt/code/
COPY avmae_tf /opt/code/avmae_tf
COPY beam_jobs /opt/code/beam_jobs
COPY components /opt/code/components
COPY pipeline /opt/code/pipeline
ENV PATH=/opt/avmae/bin:$PATH PYTHONPATH=/opt/code PYTHONUNBUFFERED=1 TF_CPP_MIN_LOG_LEVEL=2 AVMAE_COMMIT=$AVMAE_COMMIT
# what Kubeflow's launcher copies a component's inputs to, as the same user
RUN python -m compileall -q /opt/code && useradd --uid 1000 --create-home avmae && mkdir -m 1777 /gcs /s3 /minio

FROM cpu AS gpu
# TensorFlow does not look for all of the CUDA libraries that PyPI has; drivers are mounted by
# Kubernetes Engine and Vertex AI where LD_LIBRARY_PATH says, by NVIDIA's runtime anywhere
RUN ls -d /opt/avmae/lib/python3.10/site-packages/nvidia/*/lib > /etc/ld.so.conf.d/cuda.conf && ldconfig \
 && ln -s /opt/avmae/lib/python3.10/site-packages/nvidia/cuda_nvcc/bin/ptxas /opt/avmae/bin/ptxas
ENV LD_LIBRARY_PATH=/usr/local/nvidia/lib64 NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility

FROM cpu AS tpu
# where Vertex AI wants libtpu, and what makes TensorFlow take it (PJRT, which v5e needs)
RUN ln -s /opt/avmae/lib/python3.10/site-packages/libtpu/libtpu.so /lib/libtpu.so
ENV NEXT_PLUGGABLE_DEVICE_USE_C_API=true TF_PLUGGABLE_DEVICE_LIBRARY_PATH=/lib/libtpu.so

FROM cpu AS beam
COPY --from=apache/beam_python3.10_sdk:2.60.0 /opt/apache/beam /opt/apache/beam
ENV RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1
ENTRYPOINT ["/opt/apache/beam/boot"]

FROM ${DEVICE} AS step
USER 1000
WORKDIR /home/avmae
ENTRYPOINT ["python", "-m", "pipeline.step"]
