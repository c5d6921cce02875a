# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# One socket, a core for each VP, one thread per core, APIC id = core = VP index.

repeat() { # value times
	local i
	for ((i = 0; i < $2; i++)); do echo "$1"; done | paste -sd ' '
}

expect_topology() { # cpus
	local ids places
	ids=$(seq 0 $(($1 - 1)) | paste -sd ' ')
	places=$(for vp in $ids; do echo "$vp,$vp,0"; done | paste -sd ' ')
	expect "threads per core, cores per socket, sockets" "$(said lscpu)" "1 $1 1"
	expect "VP, core, socket" "$(said places)" "$places"
	expect "siblings" "$(said cpuinfo_siblings)" "$(repeat "$1" "$1")"
	expect "cores" "$(said cpuinfo_cpu_cores)" "$(repeat "$1" "$1")"
	expect "core ids" "$(said cpuinfo_core_id)" "$ids"
	expect "package ids" "$(said cpuinfo_physical_id)" "$(repeat 0 "$1")"
	expect "APIC ids" "$(said cpuinfo_apicid)" "$ids"
	expect "initial APIC ids" "$(said cpuinfo_initial_apicid)" "$ids"
}

test_topology() { # flavour cpus
	begin "vm/$1, $2 VP: topology, and no features that were not asked for"
	new_disk "$work/disk.img" 16M
	boot_guest "$1" "$2" topology
	expect_good_end topology
	expect_topology "$2"
	expect "features" "$(said features)" ""
	finish
}

# The bed has SVM.
test_nested() { # flavour cpus
	begin "vm/$1, $2 VP: --nested"
	new_disk "$work/disk.img" 16M
	boot_guest "$1" "$2" topology --nested
	expect_good_end topology
	expect_match "features" "$(said features)" "^(svm|vmx) *$"
	finish
}
