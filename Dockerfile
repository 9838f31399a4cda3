FROM rust:1-bookworm AS build
WORKDIR /build
COPY . .
# The caches stay on the machine that builds: a change here does not build every dependency anew.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked --bin murph && cp target/release/murph /murph
# Copied below with its owner: the final image has no shell to make a directory in.
RUN mkdir /data

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /murph /murph
COPY --from=build --chown=65532:65532 /data /data
ENV MURPH__SERVER__LISTEN=0.0.0.0:8000 \
    MURPH__SERVER__DATA_DIR=/data \
    MURPH__DATABASE__URL=sqlite:///data/murph.db
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["/murph", "health"]
ENTRYPOINT ["/murph"]
CMD ["serve"]
