# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154
# The processes of a private copy of enlite, $enlite: workers, clients, brokers; and waiting for them.

enlite_pids() { # by the file they run
	local exe
	for exe in /proc/[0-9]*/exe; do
		[ "$exe" -ef "$enlite" ] || continue
		exe=${exe#/proc/}
		echo "${exe%/exe}"
	done
}

# The broker of a worker that was killed ends a moment later.
no_enlite() { [ -z "$(enlite_pids)" ]; }

# Waits until a condition holds; false after 10 s.
wait_until() { # command...
	local tries
	for tries in {1..200}; do
		"$@" && return 0
		sleep 0.05
	done
	return 1
}
