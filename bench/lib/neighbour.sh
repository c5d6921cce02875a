# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# The guest beside the one that is measured: it uses its VP, and nothing else. Sourced by
# tests/vm/guest/init.

job_neighbour() {
	checkpoint next
	while :; do :; done
}
