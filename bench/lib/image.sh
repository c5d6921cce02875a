# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154
# Parts of making a bench's initrd. Sourced by `image` of each bench, which sets $kernel.

is_older() { # file sources...
	local out=$1
	shift
	[ ! -f "$out" ] || [ "$(stat -L -c '%Y' "$out")" -lt "$(stat -L -c '%Y' "$@" | sort -n | tail -n 1)" ]
}

# Adds to the array `parts`, for mkinitrd. Not every flavour has all of them; `run` refuses a peer that
# has no driver.
add_modules() { # module...
	local module
	for module; do
		! grep -qE "(^|/)$module\.ko" "$kernel"/lib/modules/*/modules.{dep,builtin} ||
			parts+=(--module "$module")
	done
}
