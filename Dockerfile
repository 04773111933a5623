# fettle alone in an image: no shell, no libraries, not root. docs/docker.md
# tells how to use it.
FROM --platform=$BUILDPLATFORM golang:1.26.8-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TARGETOS=linux
ARG TARGETARCH
ARG VERSION=container
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -buildvcs=false -ldflags "-s -w -buildid= -X main.version=$VERSION" -o /out/fettle ./cmd/fettle
RUN mkdir -p /out/data /out/tmp

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/fettle /fettle
COPY --from=build --chown=65532:65532 /out/data /data
COPY --from=build --chown=65532:65532 /out/tmp /tmp
USER 65532:65532
# Programs outside the container are strangers to it, and are asked for a key.
ENV PATH=/ FETTLE_DATA_DIR=/data FETTLE_HTTP_LISTEN=127.0.0.1:8000 FETTLE_HTTP_KEYED_LISTEN=0.0.0.0:8001
VOLUME /data
EXPOSE 8001 1883 9001
HEALTHCHECK --interval=30s --timeout=10s --start-period=1m --retries=3 CMD ["/fettle", "status", "--resources"]
ENTRYPOINT ["/fettle"]
CMD ["serve"]
