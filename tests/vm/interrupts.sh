# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Interrupts and timers, on a KVM that has the whole of a LAPIC.

test_stimer() { # flavour cpus
	begin "vm/$1, $2 VP: synthetic timers"
	new_disk "$work/disk.img" 1M
	boot_guest "$1" "$2" timers --stimer
	expect "timer interrupts" "$(said has_stimer)" 1
	expect_good_end timers
	finish
}

# Those flat guests that find less to test on a software KVM.
test_flat() { # guest...
	FLAT_IN_BED=1 ENLITE=$ENLITE tests/flat/run "$@"
}
