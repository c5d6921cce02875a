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

# A server is bound to the socket, and takes connections.
listens() { grep -q " 00010000 [^/]* $1\$" /proc/net/unix; } # path

# The broker of a worker that was killed ends a moment later.
no_enlite() { [ -z "$(enlite_pids)" ]; }

# Waits until a condition holds; false after two minutes.
wait_until() { # command...
	local tries
	for tries in {1..2400}; do
		"$@" && return 0
		sleep 0.05
	done
	return 1
}
