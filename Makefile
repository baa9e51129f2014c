# Every target does the set-up it needs; `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PY := .venv/bin/python
NODE := python3 hack/node/node.py
BUILD := python3 hack/build/build.py
IMAGE ?= ghcr.io/etcd-operator/etcd-operator:dev
# The cluster that install, deploy and run speak to: yours with KUBECONFIG=..., else the throwaway node.
CLUSTER_KUBECONFIG := $(or $(KUBECONFIG),.node/kubeconfig)
KUBECTL := hack/kubectl --kubeconfig $(CLUSTER_KUBECONFIG)

##@ Start here
.PHONY: help demo test
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: deps ## Set everything up and run a three-member etcd cluster (KUBECONFIG=... for a cluster of yours)
	@hack/demo.sh

test: deps ## Set everything up and run every test (lint, unit, integration, end to end), with the time of each tier
	@hack/test.sh lint unit integration e2e e2e-outside

##@ Development
.PHONY: deps generate lint run build
deps: ## Make .venv from the hashed lock file
	@hack/venv.sh

generate: deps ## Write every generated file (CRDs, stubs, references) anew
	$(PY) hack/generate_stubs.py
	$(PY) hack/generate.py

lint: deps ## Format, lint, types, import rules, spelling, generated files up to date
	@hack/lint.sh

run: deps ## Run the operator from this checkout, outside of the cluster (the throwaway node, or KUBECONFIG=...)
	@hack/run.sh

build: ## Build the operator's image (OCI archive in the cache; loaded into the node by `make node`)
	$(BUILD) operator-image

##@ A Kubernetes to try it on
.PHONY: node node-stop kind-create kind-delete install uninstall deploy undeploy
node: ## Start the throwaway single-node Kubernetes (builds it the first time)
	$(NODE) up

node-stop: ## Stop it; nothing is left behind
	$(NODE) down

kind-create: ## Make a kind cluster with the operator's image in it (needs a container engine and kind)
	hack/kind.sh create

kind-delete: ## Delete that kind cluster
	hack/kind.sh delete

install: ## Install the CRDs
	$(KUBECTL) apply --server-side -f manifests/crds/etcd.etcd.io.yaml

uninstall: ## Remove the CRDs, and with them every EtcdCluster object
	$(KUBECTL) delete --ignore-not-found -f manifests/crds/etcd.etcd.io.yaml

deploy: ## Install the operator with its CRDs and RBAC
	$(KUBECTL) apply --server-side -f manifests/install.yaml
	$(KUBECTL) -n etcd-operator-system rollout status deployment/etcd-operator --timeout=120s

undeploy: ## Remove the operator, its RBAC and its CRDs
	$(KUBECTL) delete --ignore-not-found -f manifests/install.yaml

##@ Tests
.PHONY: test-setup test-unit test-integration test-e2e test-fast test-all test-coverage test-cleanup bench
test-setup: deps ## Build all that the tests need (cached by content in the user's cache folder)
	$(BUILD) all

test-unit: deps ## Unit tests and simulations
	@hack/test.sh unit

test-integration: deps ## Tests against a real API server and real etcd processes
	@hack/test.sh integration

test-e2e: deps ## Tests with real pods on the throwaway node; what is essential also with the operator outside of it
	@hack/test.sh e2e e2e-outside

test-fast: deps ## Lint and unit tests
	@hack/test.sh lint unit

test-all: deps ## Everything that `make test` runs and what does not fit there (all with the operator outside, several nodes, benchmarks)
	@hack/test.sh lint unit integration e2e e2e-long e2e-outside-all several-nodes bench

test-coverage: deps ## Unit tests with branch coverage
	$(PY) -m pytest tests/unit tests/simulation --cov --cov-report=term-missing:skip-covered

test-cleanup: ## Stop the node and remove what tests left in the checkout (the cache stays)
	-$(NODE) down
	-ETCD_OPERATOR_NODE=three $(NODE) down
	rm -rf .node .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache htmlcov .coverage*

bench: deps ## Measure; each bench prints a table and its ratio beside the limit
	@hack/bench.sh
