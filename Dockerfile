# The image of testudo. Built for the machine it is built on; the release builds it on amd64 and on arm64 and joins both
# (.github/workflows/release.yaml).
#
#   docker build --tag testudo .
FROM docker.io/library/rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# A static binary, of glibc and not of musl: the allocator of musl is slow where several threads share memory, as the extender's
# do. With the target named, what runs while it is compiled (procedural macros) is linked as usual.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    host=$(rustc --print host-tuple) && \
    RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked --package testudo --target "$host" && \
    install -D "target/$host/release/testudo" /out/testudo

# Certificates of authorities and an account that is not root; no shell, no libraries.
FROM gcr.io/distroless/static-debian12:nonroot
LABEL org.opencontainers.image.source=https://github.com/testudo-dev/testudo \
      org.opencontainers.image.licenses=Apache-2.0 \
      org.opencontainers.image.description="Places GPU pods by MIG slices, NVLink domains and gangs, beside kube-scheduler"
COPY --from=build /out/testudo /testudo
# By number: Kubernetes cannot see that a name is not root. Nothing is written, so the root file system may be read only.
USER 65532:65532
ENTRYPOINT ["/testudo"]
