# The server: built and run on Debian slim, as nobody, with the default bundle.
# docker build -f docker/cleaved.Dockerfile -t cleaved .
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
EXPOSE 8080
ENTRYPOINT ["/usr/bin/cleaved", "--listen", "0.0.0.0:8080"]
