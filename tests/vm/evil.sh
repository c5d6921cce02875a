# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Our guest modules and a host that lies: tests/evil, around the host program. The guest's own disk and
# tools, of the first controller, are left alone.

evil_word() { printf '%s' "$1" | dd of="$work/evil" bs=1 conv=notrunc status=none; }
evil_count() { tail -c +17 "$work/evil" | head -n 1 | tr -d ' '; }

checkpoint_evil() { # begin|end
	case $1 in
	begin) evil_word 1 ;;
	end) evil_word 0 ;;
	esac
	evil_count
}

test_evil() { # flavour cpus [seed]
	begin "vm/$1, $2 VP: our modules${VM_BUS:+ on our bus} and an evil host"
	can_have_network || return
	local VM_DRIVERS=ours ENLITE=build/tests/evil/enlite wanted
	wanted=$(by_length 500 100000)
	printf '%64s' '' >"$work/evil"
	new_disk "$work/disk.img" 128M
	new_disk "$work/second.img" 32M
	begin_network
	add_tap net0 192.168.77.1 fd77::1
	ENLITE="env EVIL_CONTROL=$work/evil EVIL_SEED=${3:-1} $ENLITE"
	guest_timeout=$(by_length 900 14400)
	guest_set="host=192.168.77.1,me=192.168.77.2,host6=fd77::1,me6=fd77::2,lies=$wanted"
	boot_guest "$1" "$2" evil --disk "$work/second.img,controller=1" --net tap:net0
	end_network
	expect "exit status" "$status" 0
	expect "last words" "$(said done)" evil
	expect "failures" "$(said fail)" ""
	expect_true "lies of the host, $(evil_count), are $wanted" [ "$(evil_count)" -ge "$wanted" ]
	echo "# $test_name: $(evil_count) lies, $(said rounds) rounds: $(said evil)"
	finish
}
