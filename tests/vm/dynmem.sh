# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Dynamic memory with stock kernels: targets under pressure, memory that is added, resets with memory out.

dm_mib() { # key of "memory": target|granted|taken|added
	echo $(($(ctl status --json | jq ".memory.$1") >> 20))
}

dm_driver() { ctl status --json | jq -r .memory.driver; }

resident_mib() { echo $(($(ctl stats --json | jq .memory.guest_ram_resident) >> 20)); }

# Within one unit of 2 MiB.
dm_is_at() { # MiB
	local granted
	granted=$(dm_mib granted)
	[ $((granted - $1)) -le 2 ] && [ $(($1 - granted)) -le 2 ] && [ "$(dm_driver)" = idle ]
}

dm_wait_for() { # MiB; what was granted in the end
	local end=$((SECONDS + 240 * VM_PATIENCE))
	until dm_is_at "$1" || [ $SECONDS -gt $end ]; do sleep 0.2; done
	dm_mib granted
}

checkpoint_dm_begin() {
	until_is 60 idle dm_driver
	note "the driver" "$(dm_driver)" idle
	note_match "below the minimum" "$(ctl memory target 100M 2>&1)" "must be from 256M to"
	note_match "not a size" "$(ctl memory target much 2>&1)" "must be a size such as 700M"
}

checkpoint_dm_target() { # MiB, MemTotal before
	note "target $1 MiB" "$(ctl memory target "$1M" --json 2>&1 | jq .memory.target)" $(($1 << 20))
	note_match "granted" "$(dm_wait_for "$1")" "^($(($1 - 2))|$(($1 - 1))|$1|$(($1 + 1))|$(($1 + 2)))$"
	echo "# $test_name: target $1: $(ctl status --json | jq -c .memory)" >>"$work/notes"
}

# Used as much as the guest could: no more than is granted, and with all that the guest can use.
checkpoint_dm_filled() { # MiB|all, MemTotal
	local granted resident
	granted=$(dm_mib granted) resident=$(resident_mib)
	echo "# $test_name: granted $granted MiB, resident $resident MiB, the guest's MemTotal $2 MiB" >>"$work/notes"
	note_true "resident is at most 5 % above granted" [ $((resident * 100)) -le $((granted * 105)) ]
	note_true "what was given is used" [ $((resident * 100)) -ge $((granted * 80)) ]
}

note_true() { # name, command...
	if "${@:2}"; then note "$1" "" ""; else note "$1" "${*:2}" "true"; fi
}

checkpoint_dm_end() { ctl inspect memory/dynamic --json | jq -c . | sed 's/^/# /' >>"$work/notes"; }

random_targets() { # count
	local i
	for ((i = 0; i < $1; i++)); do
		printf '+%d' $(((256 + RANDOM % 768) / 2 * 2))
	done
}

dm_boot() { # flavour cpus job [memory]
	new_disk "$work/disk.img" 64M
	: >"$work/notes"
	guest_timeout=2400 guest_memory=${4:-512M,max=1G,min=256M,buffer=20%}
	BOOT_ARGS="$BOOT_ARGS memhp_default_state=online" boot_guest "$1" "$2" "$3"
	cat "$work/notes"
}

test_dynmem() { # flavour cpus [targets: MiB+MiB...]
	begin "vm/$1, $2 VP: dynamic memory"
	guest_set="targets=${3:-$(by_length 640+300 "400+640+256+1024+300$(random_targets 200)")}"
	dm_boot "$1" "$2" dynmem
	expect_good_end dynmem
	finish
}

# Block after block, each used before the next.
test_dynmem_grow() { # flavour cpus [to: MiB]
	local to=${3:-$(by_length 1024 4096)} at targets=
	begin "vm/$1, $2 VP: memory grows to $to MiB"
	for ((at = 640; at <= to; at += 128)); do
		targets+="+$at"
	done
	guest_set="targets=${targets#+}+512+$to"
	dm_boot "$1" "$2" dynmem "512M,max=${to}M,min=256M,buffer=20%"
	expect_good_end dynmem
	finish
}

# ---- resets ------------------------------------------------------------------

# Before the guest's driver is there. The target outlives a guest.
checkpoint_dm_again() { # MemTotal
	local boots
	boots=$(cat "$work/dm_boots" 2>/dev/null || echo 0)
	echo $((boots + 1)) >"$work/dm_boots"
	note "boot $boots: nothing is out" "$(dm_mib taken)" 0
	note "boot $boots: all is granted" "$(dm_mib granted)" 512
	echo "# $test_name: boot $boots: MemTotal $1 MiB" >>"$work/notes"
	case $boots in
	0) echo reset ;;
	1) echo kexec ;;
	*) ctl memory target 512M >/dev/null && echo last ;;
	esac
}

checkpoint_dm_take() { # MiB
	ctl memory target "$1M" >/dev/null
	note_match "$1 MiB are left" "$(dm_wait_for "$1")" "^($(($1 - 2))|$(($1 - 1))|$1|$(($1 + 1))|$(($1 + 2)))$"
}

test_dynmem_again() { # flavour cpus
	begin "vm/$1, $2 VP: a reset and a kexec with memory out"
	rm -f "$work/dm_boots"
	dm_boot "$1" "$2" dynmem_again
	expect "exit status" "$status" 0
	expect "last words" "$(said done)" dynmem_again
	finish
}

# ---- the driver again --------------------------------------------------------

checkpoint_dm_closed() {
	until_is 60 closed dm_driver
	note "closed: nothing is out" "$(dm_mib taken)" 0
	ctl memory target 512M >/dev/null
}

checkpoint_dm_reloaded() {
	until_is 60 idle dm_driver
	note "open again" "$(dm_driver)" idle
}

test_dynmem_reload() { # flavour cpus
	begin "vm/$1, $2 VP: hv_balloon goes and comes back"
	dm_boot "$1" "$2" dynmem_reload
	expect "exit status" "$status" 0
	expect "last words" "$(said done)" dynmem_reload
	finish
}
