# SPDX-License-Identifier: MIT
# Guest side: what the kernel made of the CPUID leaves.

cpuinfo() { # field; its values, one after the other
	sed -n "s/^$1[[:space:]]*: //p" /proc/cpuinfo | tr '\n' ' ' | sed 's/ $//'
}

job_topology() {
	find_disks || return
	with_tools lscpu >/tmp/lscpu
	say lscpu "$(sed -n 's/^\(Thread\|Core\|Socket\)(s) per [a-z]*: *//p; s/^Socket(s): *//p' /tmp/lscpu | tr '\n' ' ' | sed 's/ $//')"
	say places "$(with_tools lscpu --parse=CPU,CORE,SOCKET | grep -v '^#' | tr '\n' ' ' | sed 's/ $//')"
	for field in siblings 'cpu cores' 'core id' 'physical id' apicid 'initial apicid'; do
		say "cpuinfo_$(echo "$field" | tr ' ' _)" "$(cpuinfo "$field")"
	done
	say features "$(cpuinfo flags | tr ' ' '\n' | grep -xE 'vmx|svm|sgx|sgx_lc|perfctr_core|arch_perfmon|pdcm|ibs' | sort -u | tr '\n' ' ')"
	dmesg_findings
}
