# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Integration services with stock guests and Debian's daemons.

checkpoint_ic_status() {
	ctl status >&2
}

checkpoint_ic_kvp() {
	set -x
	ctl kvp list >&2
	ctl kvp set Greeting "Grüße, Ωmega, 漢字, 🎉" >&2
	ctl kvp get Greeting >&2
	ctl kvp remove Greeting >&2
	ctl kvp get Greeting >&2
	ctl kvp list --pool external --json >&2
	set +x
}

checkpoint_ic_freeze() {
	set -x
	$ENLITE freeze vm -- $ENLITE ctl vm status >&2
	echo "freeze: $?" >&2
	$ENLITE freeze vm -- sh -c "exit 7" >&2
	echo "freeze: $?" >&2
	ctl thaw >&2
	set +x
}

test_ic() { # flavour cpus
	begin "vm/$1, $2 VP: ic"
	new_disk "$work/disk.img" 128M
	boot_guest "$1" "$2" ic
	expect_good_end ic
	cat $console $errors
	finish
}
