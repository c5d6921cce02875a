# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Guest memory of each kind: what the host gives for it, and what the first use of it costs.

memory_mib=128 # used for the first time at once

worker_pid() { pgrep -o -f "enlite run --name vm "; }

# "RESIDENT HUGE" of the largest mapping of the worker process, which is guest RAM; bytes.
mapped_ram() {
	awk '/^[0-9a-f]+-[0-9a-f]+ / { if (rss > best) { best = rss; huge = h }; rss = h = 0 }
		/^Rss:/ { rss = $2 }
		/^(AnonHugePages|ShmemPmdMapped):/ { h += $2 }
		END { print best * 1024, huge * 1024 }' "/proc/$(worker_pid)/smaps"
}

# Of all virtual machines: there is one that runs.
exits_now() { cat /sys/kernel/debug/kvm/*-*/exits | awk '{ sum += $1 } END { printf "%d\n", sum }'; }

# One line per checkpoint: NAME EXITS RESIDENT HUGE
note_memory() { echo "$1 $(exits_now) $(mapped_ram)" >>"$work/memory"; }

noted() { # checkpoint column
	awk -v name="$1" -v column="$2" '$1 == name { print $column }' "$work/memory"
}

checkpoint_booted() { note_memory booted; }

checkpoint_touched() {
	note_memory touched
	ctl stats --json | jq .memory >"$work/memory.json"
}

checkpoint_worked() { note_memory worked; }

stat_of() { # key
	jq -r ".$1" "$work/memory.json"
}

# 0 when the guest did not get that far.
percent() { # part whole
	echo $((${1:-0} * 100 / ${2:-1}))
}

print_memory() { # flavour kind
	local booted touched touch_exits resident
	booted=$(noted booted 2) touched=$(noted touched 2) resident=$(noted worked 3)
	touch_exits=$((${touched:-0} - ${booted:-0}))
	echo "# $1, $2: exits of the boot $(noted booted 2), of the first use of $memory_mib MiB $touch_exits;" \
		"in huge pages: $(percent "$(noted booted 4)" "$(noted booted 3)") % after the boot," \
		"$(percent "$(noted touched 4)" "$(noted touched 3)") % then," \
		"$(percent "$(noted worked 4)" "$(noted worked 3)") % of $((${resident:-0} >> 20)) MiB after fio"
}

boot_with_memory() { # flavour cpus kind
	new_disk "$work/disk.img" 128M
	rm -f "$work/memory" "$work/memory.json"
	guest_set=mib=$memory_mib
	boot_guest "$1" "$2" memory ${3:+--memory-kind "$3"}
	expect_good_end memory
	print_memory "$1" "${3:-the default}"
}

# The bed's kernel has Debian's settings, or this host's kernel has its own.
test_huge_pages() { # flavour cpus
	begin "vm/$1, $2 VP: guest memory is in huge pages"
	boot_with_memory "$1" "$2" ''
	expect "kind" "$(stat_of guest_ram_kind)" anonymous
	expect_true "all that was used is resident" [ "$(stat_of guest_ram_resident)" -ge $((memory_mib << 20)) ]
	expect_true "80 % in huge pages" \
		[ "$(percent "$(stat_of guest_ram_huge)" "$(stat_of guest_ram_resident)")" -ge 80 ]
	finish
}

test_shared_memory() { # flavour cpus
	begin "vm/$1, $2 VP: shared guest memory"
	boot_with_memory "$1" "$2" shared
	expect "kind" "$(stat_of guest_ram_kind)" shared
	expect_true "all that was used is resident" [ "$(stat_of guest_ram_resident)" -ge $((memory_mib << 20)) ]
	finish
}
