# SPDX-License-Identifier: MIT
# shellcheck shell=sh disable=SC2034,SC2154,SC3045
# Guest side of both benches. Sourced by tests/vm/guest/init.

# The host types nothing meanwhile.
pause() { # seconds
	read -r -t "$1" skip </dev/console
}

# Sets $busy: how long VPs have not been idle by now, in 1/100 s, as the guest sees it. Idle time is
# exact, what Linux books as user or system is sampled. What exits and a busy host cost the guest is
# part of it. No process is started for it.
count_busy() {
	read -r up skip </proc/uptime
	read -r skip skip skip skip idle waiting skip </proc/stat
	busy=$((${up%.*}${up#*.} * vps - idle - waiting))
}

loaded_modules() {
	sed -nE 's/^((hv_)?(storvsc|netvsc|vmbus)|vsc|vsc_hv|vmbus_vsc|winhv) .*/\1/p' /proc/modules | sort | tr '\n' ' '
}

# The guest beside the one that is measured: it uses its VP, and nothing else.
job_neighbour() {
	checkpoint next
	while :; do :; done
}
