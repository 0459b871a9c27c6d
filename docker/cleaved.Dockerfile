# The server: built and run on Debian slim, as nobody, with the default bundle.
# docker build -f docker/cleaved.Dockerfile -t cleaved .
# For other CPUs: docker buildx build --platform linux/amd64,linux/arm64 …
FROM debian:12-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends \
    gcc libc6-dev cmake ninja-build pkg-config libmicrohttpd-dev \
    libgnutls28-dev libcurl4-openssl-dev libjansson-dev libzstd-dev libjpeg-dev
COPY . /src
WORKDIR /src
RUN cmake --preset release -DBUILD_TESTING=OFF -DCMAKE_INSTALL_PREFIX=/usr \
    && cmake --build --preset release \
    && DESTDIR=/out cmake --install build/release

FROM debian:12-slim
RUN apt-get update && apt-get install -y --no-install-recommends \
    libmicrohttpd12 libgnutls30 libjansson4 libzstd1 libjpeg62-turbo \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/usr/bin/cleaved /usr/bin/cleaved
COPY --from=build /out/usr/share/cleave /usr/share/cleave
USER 65532:65532
# It writes no file: run it with a read-only root and without capabilities.
# Settings by environment, so that the health check sees the same ones.
ENV CLEAVE_LISTEN=0.0.0.0:8080
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=7s --start-period=30s --retries=3 \
    CMD ["/usr/bin/cleaved", "--healthcheck"]
ENTRYPOINT ["/usr/bin/cleaved"]
