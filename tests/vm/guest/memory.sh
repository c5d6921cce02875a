# SPDX-License-Identifier: MIT
# Guest side: it uses memory that it has not used before.

job_memory() {
	find_disks || return
	mkdir -p /fresh && mount -t tmpfs -o size=100% fresh /fresh || return
	checkpoint booted
	dd if=/dev/zero of=/fresh/file bs=1M count="$mib" 2>/dev/null
	is "first touch" $? 0
	checkpoint touched
	with_tools fio --name=read --filename="/dev/$disk" --direct=1 --ioengine=io_uring --rw=randrw \
		--bs=64k --iodepth=16 --size=64M --output=/dev/null
	is "fio" $? 0
	checkpoint worked
	dmesg_findings
}
