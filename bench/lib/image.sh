# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154
# Parts of making a bench's initrd. Sourced by `image` of each bench, which sets $kernel and $flavour.

is_older() { # file sources...
	local out=$1
	shift
	[ ! -f "$out" ] || [ "$(stat -L -c '%Y' "$out")" -lt "$(stat -L -c '%Y' "$@" | sort -n | tail -n 1)" ]
}

our_modules=()

# Builds our modules, if they are wanted; sets the array `our_modules` to the files of a driver and what
# it needs.
make_our_modules() { # driver ["ours"]
	local module
	[ "${2-}" = ours ] || return 0
	guest/build "$flavour"
	for module in winhv vsc vsc_hv vmbus_vsc "$1"; do
		our_modules+=("build/guest/$flavour/$module.ko")
	done
}

# Without what is for debuggers, which is most of them; adds to the array `parts`.
add_our_modules() {
	local path name
	for path in "${our_modules[@]}"; do
		name=${path##*/}
		strip --strip-debug -o "$tmp/$name" "$path"
		parts+=(--file "$tmp/$name:lib/ours/$name")
	done
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
