# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# With all that a VM can offer, and a guest that halts for good: no thread of its host is woken. Sourced by
# tests/flat/run.

. bench/idle/lib.sh

idle_seconds=5

# Those kinds of threads that are woken more than once a second.
idle_woken() { # pid, seconds
	measure "$1" "$2" >"$log.json"
	jq -r "[.threads | to_entries[] | select(.value.wakeups > $2) |
		\"\\(.key) is woken \\(.value.wakeups) times in $2 s\"] | join(\", \")" "$log.json" 2>&1
}

# Sets $idle_problem. Its start takes a while.
idle_session() { # pid
	local tries
	guest_line
	[ "$guest_said" = idle ] || { idle_problem="the guest says '$guest_said'"; return; }
	for tries in {1..60}; do
		[ -n "$(idle_woken "$1" 1)" ] || break
	done
	idle_problem=$(idle_woken "$1" $idle_seconds)
}

guest_idle() {
	local idle_problem=
	label="$suite/idle" log=$log_dir/$suite-idle
	ENLITE_RUN_DIR=$(mktemp -d)
	export ENLITE_RUN_DIR
	: >"$log.out"
	coproc GUEST {
		exec $enlite run --kernel build/flat/idle.elf --name idle --console stdio --ic all --net null --disk null:1M \
			--memory 64M,min=32M,max=128M --vsock "$ENLITE_RUN_DIR/vsock" 2>"$log.err"
	}
	guest_job=$GUEST_PID
	exec 7<&"${GUEST[0]}" 8>&"${GUEST[1]}"
	idle_session "$guest_job"
	pause_tap "no thread is woken more than once a second" "$idle_problem"
	kill -TERM "$guest_job"
	exec 7<&- 8>&-
	wait "$guest_job"
	rm -rf "$ENLITE_RUN_DIR"
}
