# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# How often the threads of a VM's processes are woken, and what CPU time they take. Sourced.

# What `enlite run` has started, too.
processes_of() { # pid
	local child
	echo "$1"
	for child in $(pgrep -P "$1"); do
		processes_of "$child"
	done
}

# Who a thread works for: VPs sleep and wake with the guest.
kind_of() { # process of the VM, task, name
	case $3 in
	vp*) echo vps ;;
	io) echo io ;;
	*) if [ "$2" = "$1" ]; then echo control; else echo "$3"; fi ;;
	esac
}

# A line for each thread: id, kind, wake-ups so far (it had slept), CPU time so far in ns.
sample() { # pid
	local process task name
	for process in $(processes_of "$1"); do
		for task in "/proc/$process/task"/*; do
			name=$(cat "$task/comm") || continue
			echo "${task##*/} $(kind_of "$1" "${task##*/}" "${name// /_}")" \
				"$(sed -n 's/^voluntary_ctxt_switches:\t//p' "$task/status") $(cut -d' ' -f1 "$task/schedstat")"
		done
	done 2>/dev/null
}

# JSON: in the next SECONDS, each kind's wake-ups and CPU seconds.
measure() { # pid seconds
	local before began=$EPOCHREALTIME
	before=$(sample "$1")
	sleep "$2"
	{ echo "$before"; echo; sample "$1"; } | awk -v began="$began" -v ended="$EPOCHREALTIME" '
		!NF { after = 1; next }
		!after { wakeups[$1] = $3; ns[$1] = $4; next }
		{ sum[$2] += $3 - wakeups[$1]; cpu[$2] += $4 - ns[$1] } # a new thread began at 0
		END {
			printf "{\"seconds\":%f,\"threads\":{", ended - began
			for (kind in sum) {
				printf "%s\"%s\":{\"wakeups\":%d,\"cpu_seconds\":%f}", comma, kind, sum[kind], cpu[kind] / 1e9
				comma = ","
			}
			printf "}}\n"
		}'
}
