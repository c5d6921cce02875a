# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154
# The processes of a private copy of enlite, $enlite: workers, clients, brokers.

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
