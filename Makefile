# fettle's shell: `make` lists what there is.
export CGO_ENABLED ?= 0
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
# Packages in which goroutines share memory.
CONCURRENT := ./internal/db ./internal/readings ./internal/backup ./internal/ingest ./internal/broker ./internal/bridge \
	./internal/child ./internal/tunnel ./internal/service ./internal/events ./internal/model ./internal/forecast ./internal/verdict ./internal/alarm ./internal/notify ./internal/train ./internal/spark ./internal/influx ./internal/api ./internal/app
STATICCHECK = $(CURDIR)/bin/staticcheck

.PHONY: help build dist dist-check run quick vet test needs race test-arm64 peers test-peers spark-matrix torture bench-readings story bench bench-outside bench-bands bench-neighbours bench-engine bench-spark bench-learning ett ett-choice picture gen docs clean
.DEFAULT_GOAL := help

help: ## This list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## One static binary, bin/fettle
	go build -trimpath -ldflags '$(LDFLAGS)' -o bin/fettle ./cmd/fettle

dist: ## What is released: archives for Linux, Windows and macOS with SHA256SUMS, in dist/
	@go run ./scripts/dist -version '$(VERSION)'

dist-check: ## The same, built twice: the bytes must be the same; about 10 minutes
	@go run ./scripts/dist -version '$(VERSION)' -check

run: ## The demo: three simulated machines, the page on http://127.0.0.1:8000
	go run ./cmd/fettle demo

vet: $(STATICCHECK) ## gofmt, go vet (Linux and Windows), staticcheck
	@unformatted=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); [ -z "$$unformatted" ] || { echo "gofmt -w $$unformatted"; exit 1; }
	go vet -tags 'browser peers_light peers story' ./...
	GOOS=windows go vet ./...
	cd tools && go vet ./compose
	$(STATICCHECK) -tags 'browser peers_light peers story' ./...

$(STATICCHECK): tools/go.mod
	cd tools && go build -o $@ honnef.co/go/tools/cmd/staticcheck

quick: vet ## Under 2 minutes: gofmt, vet, staticcheck, unit tests, fuzz seeds
	go test ./...

test: needs vet race ## At most 15 minutes: quick, race detector, Mosquitto clients, Chromium, kill -9
	go test -tags 'browser peers_light' ./...

needs: ; @scripts/needs.sh

race: ## The concurrent packages under the race detector, if there is a C compiler
	@if command -v cc >/dev/null; then CGO_ENABLED=1 go test -race $(CONCURRENT) && CGO_ENABLED=1 go test -race -run Pool ./patchtst/internal/kernel; else echo "race: no C compiler, left out"; fi

# In an emulator these take too long; the others cover what they do, on less.
ARM64_SKIP := TestPlans$$|TestPlanKeepsItsWord|TestShortcuts$$|TestBFloat16|TestTrainingGradients/more_patches

test-arm64: ## The engine's plain Go, with its gradients, and the formats of readings on arm64 in qemu; a few minutes
	@scripts/needs.sh arm64
	GOARCH=arm64 go build ./...
	GOARCH=arm64 go test -exec qemu-aarch64-static -timeout 60m -skip '$(ARM64_SKIP)' ./patchtst/... ./internal/days ./internal/codec

peers: ## Builds or fetches the heavy real peers, all of them, into the cache outside the tree
	@for script in scripts/peers/*.sh; do echo "$$script"; $$script -c pass >/dev/null || exit 1; done

test-peers: ## The heavy real peers; what they need is cached outside the tree
	go test -tags peers -timeout 55m ./patchtst ./internal/model ./internal/spark ./scripts/dist ./cmd/fettle

spark-matrix: ## The client of Spark Connect on the oldest and the newest Spark that it is for ($$FETTLE_SPARK: on that one)
	for version in $${FETTLE_SPARK:-4.0.1 4.3.0}; do FETTLE_SPARK=$$version go test -count=1 -tags peers -timeout 30m -v -run 'TestSpark$$' ./internal/spark || exit 1; done

torture: needs ## kill -9 and power cuts at random moments under load: 50 and 200 rounds, or $$FETTLE_TORTURE_ROUNDS of each
	FETTLE_TORTURE_ROUNDS=$${FETTLE_TORTURE_ROUNDS:-50} go test -count=1 -timeout 30m -v -run 'TestPowerCut$$|TestKill$$' ./internal/readings
	FETTLE_TORTURE_ROUNDS=$${FETTLE_TORTURE_ROUNDS:-200} go test -count=1 -timeout 60m -v -tags peers_light -run 'TestKill$$' ./cmd/fettle

bench-readings: ## What the store of readings takes of the disk, and how fast it is, beside Prometheus and VictoriaMetrics
	cd bench/readings/peers && go build -o $(CURDIR)/bin/readings-peers .
	go run ./bench/readings -peers bin/readings-peers

story: build ## The main job on real input ($$FETTLE_DATA): SKAB, NAB, the old system's model
	@test -n "$(FETTLE_DATA)" || { echo "FETTLE_DATA is not set: name the folder that holds skab, nab, ett, migration and patchtst-goldens"; exit 1; }
	FETTLE_DATA=$(abspath $(FETTLE_DATA)) go test -tags story ./patchtst ./internal/model ./internal/verdict ./internal/forecast
	FETTLE_DATA=$(abspath $(FETTLE_DATA)) go run ./story

bench: build ## Start-up, memory, messages a second beside Mosquitto, latency; about 3 minutes, best on a quiet machine
	@scripts/needs.sh bench
	PATH="$$PATH:/usr/sbin" go run ./bench -fettle bin/fettle

bench-outside: build ## Messages a second from a Mosquitto next door, each on disk before it is acknowledged; under a minute
	@scripts/needs.sh bench
	PATH="$$PATH:/usr/sbin" go run ./bench -fettle bin/fettle -part outside

bench-bands: ## How well the bands of forecasts hold: simulated machines, wandering series, NAB ($$FETTLE_DATA); about 3 minutes
	go run ./bench/bands $(if $(FETTLE_DATA),-nab $(FETTLE_DATA)/nab/machine_temperature_system_failure.csv)

bench-neighbours: build ## Line protocol beside a real InfluxDB, mirroring into it, moving in from it and out again; about 6 minutes, alone on the machine
	scripts/peers/influxd.sh >/dev/null
	go run ./bench/neighbours -fettle bin/fettle

bench-learning: build ## 1,000 machines forecast every minute, then twice as many and so on; requests while a model is trained; about 45 minutes, alone on the machine
	go run ./bench -fettle bin/fettle -part fleet
	go run ./bench -fettle bin/fettle -part training

bench-engine: ## The PatchTST engine beside PyTorch in all its modes and ONNX Runtime; about 15 minutes, alone on the machine
	go run ./bench/engine

bench-spark: build ## What training on a Spark cluster costs over training here, 200 small machines; about 10 minutes, alone on the machine
	scripts/peers/spark.sh >/dev/null
	go run ./bench/spark

ett: ## PatchTST on the ETTh1 benchmark ($$FETTLE_DATA) beside published results; about 5 minutes
	@test -n "$(FETTLE_DATA)" || { echo "FETTLE_DATA is not set: name the folder that holds ett/ETTh1.csv"; exit 1; }
	FETTLE_DATA=$(abspath $(FETTLE_DATA)) go run ./bench/ett

ett-choice: ## Which model fettle would let serve on ETTh1 ($$FETTLE_DATA), at all four horizons or up to $$FETTLE_HORIZON, beside the goal
	@test -n "$(FETTLE_DATA)" || { echo "FETTLE_DATA is not set: name the folder that holds ett/ETTh1.csv"; exit 1; }
	FETTLE_DATA=$(abspath $(FETTLE_DATA)) go run ./bench/ett -choice $(or $(FETTLE_HORIZON),720)

picture: needs ## docs/page.png anew: the page of a machine in the demo that overheats, in Chromium
	pictures=$$(mktemp -d) && FETTLE_PICTURES=$$pictures go test -count=1 -tags browser -run DemoInBrowser ./cmd/fettle && cp $$pictures/page.png docs/

gen: ## The kernels' assembly anew from its generators
	cd patchtst/internal/kernel/gen && go run .

docs: ## Writes the generated reference pages anew
	go test ./internal/config -run Reference -update
	go test ./internal/api -run OpenAPI -update

clean: ## Removes what was built
	rm -rf bin dist
